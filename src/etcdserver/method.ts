import type { Call, Message, ServerStream, StreamMethod, UnaryMethod } from '../transport/rpc.ts';
import { toRpcError } from './errors.ts';

/** A unary method whose errors from below become what clients of etcd know. Without a promise where the answer is there at once. */
export function unary(handle: (request: Uint8Array) => Message | Promise<Message>): UnaryMethod {
  return {
    kind: 'unary',
    handle(request) {
      try {
        const reply = handle(request);
        return reply instanceof Promise ? reply.catch(rethrow) : reply;
      } catch (error) {
        return rethrow(error);
      }
    },
  };
}

/** The same for a stream. */
export function streaming(
  kind: StreamMethod['kind'],
  handle: (stream: ServerStream, call: Call) => Promise<void>,
): StreamMethod {
  return { kind, handle: (stream, call) => handle(stream, call).catch(rethrow) };
}

function rethrow(error: unknown): never {
  throw toRpcError(error);
}
