/** grpc.health.v1: serving as long as the process answers, as etcd has it. Whether the storage answers is said at /health. */
import { grpc } from '../proto/generated/etcd.js';
import type { Call, StreamMethod, UnaryMethod } from '../transport/rpc.ts';
import { decodeWith } from './codec/decode.ts';
import { rpcError } from './errors.ts';
import { serverStreaming, unary } from './method.ts';

const { HealthCheckRequest, HealthCheckResponse } = grpc.health.v1;

const Status = { SERVING: 1, SERVICE_UNKNOWN: 3 } as const;

export function healthCheckMethod(): UnaryMethod {
  return unary((bytes) => {
    if (decodeWith(HealthCheckRequest, bytes).service !== '') throw rpcError('UnknownHealthService');
    return HealthCheckResponse.encode({ status: Status.SERVING }).finish();
  });
}

/** One message, and silence until the client or the server goes. */
export function healthWatchMethod(): StreamMethod {
  return serverStreaming(async (bytes, stream, call) => {
    const known = decodeWith(HealthCheckRequest, bytes).service === '';
    stream.write(HealthCheckResponse.encode({ status: known ? Status.SERVING : Status.SERVICE_UNKNOWN }).finish());
    await ended(call);
  });
}

function ended({ signal }: Call): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
