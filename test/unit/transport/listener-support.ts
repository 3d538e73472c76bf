/** A listener with both protocols behind it. */
import { type ListenAddress, parseListenUrl } from '../../../src/transport/address.ts';
import { PlinthGrpcServer } from '../../../src/transport/grpc/server.ts';
import { GrpcJsServer } from '../../../src/transport/grpc-js/server.ts';
import type { GrpcTransport } from '../../../src/transport/grpc-server.ts';
import type { HttpHandler, HttpRoutes } from '../../../src/transport/http/routes.ts';
import { HttpServer } from '../../../src/transport/http/server.ts';
import { Listener } from '../../../src/transport/listener.ts';
import { Code, RpcError } from '../../../src/transport/rpc.ts';
import type { TlsOptions } from '../../../src/transport/tls.ts';
import { type Tap, tightOptions } from './grpc-support.ts';

export interface Fixture {
  readonly listener: Listener;
  readonly http: HttpServer;
  readonly addresses: ListenAddress[];
  readonly internalErrors: unknown[];
}

export interface FixtureOptions {
  readonly transport?: GrpcTransport;
  readonly detectionTimeoutMs?: number;
  readonly headersTimeoutMs?: number;
  /** Beside /hello and /broken. */
  readonly routes?: HttpRoutes;
  readonly tls?: TlsOptions;
  /** As where only metrics are served. */
  readonly httpOnly?: boolean;
}

/** Serves /test.Echo/Echo and HTTP routes on these URLs until the test is over. */
export async function start(test: Tap, urls: string[], options: FixtureOptions = {}): Promise<Fixture> {
  const internalErrors: unknown[] = [];
  const onInternalError = (_path: string, error: unknown): void => {
    internalErrors.push(error);
  };
  const httpServer = new HttpServer(
    new Map<string, HttpHandler>([
      ['/hello', ({ method, query }) => ({ status: 200, body: `${method} ${query.get('name')}\n` })],
      [
        '/broken',
        () => {
          throw new Error('secret');
        },
      ],
      ...(options.routes ?? []),
    ]),
    {
      headersTimeoutMs: options.headersTimeoutMs ?? 10_000,
      requestTimeoutMs: 30_000,
      idleTimeoutMs: 60_000,
      onInternalError,
    },
  );
  const Server = options.transport === 'grpc-js' ? GrpcJsServer : PlinthGrpcServer;
  const grpcServer = new Server(new Map([['/test.Echo/Echo', { kind: 'unary', handle: (request) => request }]]), {
    ...tightOptions(onInternalError),
    http: httpServer.respond,
  });
  const listener = new Listener({
    ...(options.httpOnly ? {} : { grpc: (socket) => grpcServer.serve(socket) }),
    http: (socket) => httpServer.serve(socket),
    detectionTimeoutMs: options.detectionTimeoutMs ?? 60_000,
    tls: options.tls,
    onError: (error) => internalErrors.push(error),
  });
  const addresses: ListenAddress[] = [];
  for (const url of urls) addresses.push(await listener.listen(parseListenUrl(url)));
  test.teardown(async () => {
    listener.close();
    await Promise.all([grpcServer.stop(new RpcError(Code.UNAVAILABLE, 'test over'), 0), httpServer.stop(0)]);
  });
  return { listener, http: httpServer, addresses, internalErrors };
}

export function portOf(address: ListenAddress | undefined): number {
  if (address?.kind !== 'tcp') throw new Error('not a TCP address');
  return address.port;
}
