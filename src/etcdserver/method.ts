import {
  type Call,
  Code,
  type Message,
  RpcError,
  type ServerStream,
  type StreamMethod,
  type UnaryMethod,
} from '../transport/rpc.ts';
import { malformedText, toRpcError } from './errors.ts';

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

/** The same for a bidirectional stream. */
export function bidirectional(handle: (stream: ServerStream, call: Call) => Promise<void>): StreamMethod {
  return { kind: 'bidi', handle: (stream, call) => handle(stream, call).catch(rethrowFromStream) };
}

/** The same for one request that is answered by a stream. Two requests, or none, are refused in the words of Go's gRPC. */
export function serverStreaming(
  handle: (request: Uint8Array, stream: ServerStream, call: Call) => Promise<void>,
): StreamMethod {
  const one = async (stream: ServerStream, call: Call) => {
    const request = await stream.read();
    if (request === undefined) throw cardinality('received no request message from');
    if ((await stream.read()) !== undefined) throw cardinality('received multiple request messages for');
    await handle(request, stream, call);
  };
  return { kind: 'server-stream', handle: (stream, call) => one(stream, call).catch(rethrowFromStream) };
}

function cardinality(what: string): RpcError {
  return new RpcError(Code.INTERNAL, `cardinality violation: ${what} non-client-streaming RPC`);
}

function rethrow(error: unknown): never {
  throw toRpcError(error);
}

function rethrowFromStream(error: unknown): never {
  throw toRpcError(error, malformedText.stream);
}
