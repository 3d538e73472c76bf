import * as grpc from '@grpc/grpc-js';
import type t from 'tap';
import { MethodCounters } from '../../../src/observe/method-counters.ts';
import { GrpcServer, type GrpcServerOptions } from '../../../src/transport/grpc/server.ts';
import { Listener } from '../../../src/transport/listener.ts';
import { type Call, Code, type Method, RpcError, type ServerStream } from '../../../src/transport/rpc.ts';

export const identity = (bytes: Buffer): Buffer => bytes;

export interface Fixture {
  readonly server: GrpcServer;
  readonly client: grpc.Client;
  readonly url: string;
  readonly counters: Map<string, MethodCounters>;
  readonly internalErrors: unknown[];
  readonly unary: (
    path: string,
    request: Uint8Array,
    options?: grpc.CallOptions,
    metadata?: grpc.Metadata,
  ) => Promise<Answer>;
  readonly bidi: (path: string, options?: grpc.CallOptions) => grpc.ClientDuplexStream<Buffer, Buffer>;
}

export interface Answer {
  readonly code: number;
  readonly details: string;
  readonly message: Buffer | undefined;
}

export async function start(
  test: Tap,
  methods: Record<string, Method>,
  options: Partial<GrpcServerOptions> = {},
): Promise<Fixture> {
  const counters = new Map<string, MethodCounters>();
  const internalErrors: unknown[] = [];
  const server = new GrpcServer(new Map(Object.entries(methods)), {
    receivedMessageBytesMax: 1000,
    streamBufferedBytesMax: 64 * 1024,
    connectionBufferedBytesMax: 1024 * 1024,
    concurrentStreamsMax: 1000,
    streamWindowBytes: 1024 * 1024,
    connectionWindowBytes: 4 * 1024 * 1024,
    keepaliveIntervalMs: 7_200_000,
    keepaliveTimeoutMs: 20_000,
    cancelledCallsBurst: 1000,
    cancelledCallsPerSecond: 33,
    counters: (path) => {
      const created = new MethodCounters();
      counters.set(path, created);
      return created;
    },
    onInternalError: (_path, error) => internalErrors.push(error),
    ...options,
  });
  const listener = new Listener({
    grpc: (socket) => server.serve(socket),
    http: (socket) => socket.destroy(),
    detectionTimeoutMs: 60_000,
    onError: (error) => internalErrors.push(error),
  });
  const address = await listener.listen({ kind: 'tcp', host: '127.0.0.1', port: 0 });
  if (address.kind !== 'tcp') throw new Error('not a TCP address');
  const url = `127.0.0.1:${address.port}`;
  const client = new grpc.Client(url, grpc.credentials.createInsecure(), {
    'grpc.max_receive_message_length': -1,
    'grpc.enable_retries': 0,
  });
  test.teardown(async () => {
    client.close();
    listener.close();
    await server.stop(new RpcError(Code.UNAVAILABLE, 'test over'), 0);
  });
  return {
    server,
    client,
    url,
    counters,
    internalErrors,
    unary: (path, request, callOptions = {}, metadata = new grpc.Metadata()) =>
      new Promise((resolve) => {
        client.makeUnaryRequest(
          path,
          identity,
          identity,
          Buffer.from(request),
          metadata,
          callOptions,
          (error, message) =>
            resolve(
              error
                ? { code: error.code, details: error.details, message: undefined }
                : { code: 0, details: '', message },
            ),
        );
      }),
    bidi: (path, callOptions = {}) => client.makeBidiStreamRequest(path, identity, identity, callOptions),
  };
}

export type Tap = Pick<typeof t, 'teardown'>;

export function unary(
  handle: (request: Uint8Array, call: Call) => Uint8Array | Uint8Array[] | Promise<Uint8Array>,
): Method {
  return { kind: 'unary', handle };
}

export function bidi(handle: (stream: ServerStream, call: Call) => Promise<void>): Method {
  return { kind: 'bidi', handle };
}

export function statusOf(stream: grpc.ClientDuplexStream<Buffer, Buffer>): Promise<grpc.StatusObject> {
  stream.on('error', () => {});
  return new Promise((resolve) => stream.on('status', resolve));
}

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** A gate that a handler waits at until the test opens it. */
export function gate(): { readonly passed: Promise<void>; readonly open: () => void } {
  let open = (): void => {};
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open };
}
