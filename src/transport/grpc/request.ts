/** What a request head says to gRPC. It is worked out once for all requests with the same head. */
import type { RequestHead } from '../http2/request-head.ts';
import type { MethodTable, Route } from '../method-table.ts';
import { Code } from '../rpc.ts';

export interface GrpcRequest {
  readonly route: Route | undefined;
  /** Messages may be compressed by gzip. */
  readonly gzip: boolean;
  /** Why it is answered without a handler. */
  readonly refusal: { readonly code: Code; readonly text: string } | undefined;
  /** Not gRPC as it should be: answered with this HTTP status. */
  readonly httpStatus: number | undefined;
  /** By its content-type it does not want to be gRPC. */
  readonly http: boolean;
}

export function grpcRequest(head: RequestHead, table: MethodTable): GrpcRequest {
  head.route ??= understand(head, table);
  return head.route as GrpcRequest;
}

/** A call whose timeout is malformed is none that is served. */
export function withMalformedTimeout(request: GrpcRequest, { tooLarge }: RequestHead, timeout: string): GrpcRequest {
  if (request.httpStatus !== undefined || tooLarge) return request;
  const refusal = { code: Code.INTERNAL, text: `malformed grpc-timeout: ${JSON.stringify(timeout)}` };
  return { ...request, refusal };
}

const otherHttp: GrpcRequest = {
  route: undefined,
  gzip: false,
  refusal: undefined,
  httpStatus: 415,
  http: true,
};

function understand(head: RequestHead, table: MethodTable): GrpcRequest {
  const contentType = field(head, 'content-type') ?? '';
  // As etcd tells them apart; of a head that is too large the field may be missing.
  if (!contentType.startsWith('application/grpc') && !head.tooLarge) return otherHttp;
  const route = table.find(head.path);
  const encoding = field(head, 'grpc-encoding') ?? 'identity';
  const request = { ...otherHttp, route, gzip: encoding === 'gzip', httpStatus: undefined, http: false };
  const refused = (code: Code, text: string): GrpcRequest => ({ ...request, refusal: { code, text } });
  if (head.tooLarge) return refused(Code.RESOURCE_EXHAUSTED, 'the header fields of the request are too large');
  if (!/^application\/grpc($|[+;])/.test(contentType)) return { ...request, httpStatus: 415 };
  if (head.method !== 'POST') return { ...request, httpStatus: 405 };
  if (route === undefined) return refused(Code.UNIMPLEMENTED, table.unknown(head.path));
  if (encoding !== 'gzip' && encoding !== 'identity') {
    // grpc-go's text.
    const text = `grpc: Decompressor is not installed for grpc-encoding ${JSON.stringify(encoding)}`;
    return refused(Code.UNIMPLEMENTED, text);
  }
  return request;
}

/** The first value of a field. */
export function field({ fields }: RequestHead, name: string): string | undefined {
  for (let i = 0; i < fields.length; i += 2) if (fields[i] === name) return fields[i + 1];
  return undefined;
}
