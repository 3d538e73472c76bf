import http2 from 'node:http2';
import * as grpc from '@grpc/grpc-js';
import type t from 'tap';
import { MethodCounters } from '../../../src/observe/method-counters.ts';
import { PlinthGrpcServer } from '../../../src/transport/grpc/server.ts';
import { GrpcJsServer } from '../../../src/transport/grpc-js/server.ts';
import {
  type GrpcServer,
  type GrpcServerOptions,
  type GrpcTransport,
  grpcTransports,
} from '../../../src/transport/grpc-server.ts';
import { Listener } from '../../../src/transport/listener.ts';
import { type Call, Code, type Method, RpcError, type ServerStream } from '../../../src/transport/rpc.ts';
import { withoutOpenssl } from '../../support/certificates.ts';
import { authority, serverIdentity } from './tls-support.ts';

export const identity = (bytes: Buffer): Buffer => bytes;

export interface Fixture {
  readonly server: GrpcServer;
  readonly client: grpc.Client;
  /** `127.0.0.1:12345` */
  readonly url: string;
  readonly credentials: grpc.ChannelCredentials;
  /** A client that knows of HTTP/2 only. */
  readonly connectHttp2: (settings?: http2.Settings) => http2.ClientHttp2Session;
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

/** With room for very little. */
export function tightOptions(onInternalError: GrpcServerOptions['onInternalError']): GrpcServerOptions {
  return {
    receivedMessageBytesMax: 1000,
    streamBufferedBytesMax: 1000,
    connectionBufferedBytesMax: 1000,
    concurrentStreamsMax: 1000,
    streamWindowBytes: 100_000,
    connectionWindowBytes: 100_000,
    keepaliveIntervalMs: 7_200_000,
    keepaliveTimeoutMs: 20_000,
    connectionIdleMsMax: 0,
    connectionAgeMsMax: 0,
    connectionAgeGraceMs: 0,
    pingIntervalMsMin: 5000,
    cancelledCallsBurst: 1000,
    cancelledCallsPerSecond: 33,
    counters: () => new MethodCounters(),
    onInternalError,
  };
}

export interface Answer {
  readonly code: number;
  readonly details: string;
  readonly message: Buffer | undefined;
}

export type Start = (
  test: Tap,
  methods: Record<string, Method>,
  options?: Partial<GrpcServerOptions>,
) => Promise<Fixture>;

export const startOn =
  (transport: GrpcTransport, tls = false): Start =>
  (test, methods, options = {}) =>
    startServer(transport, tls, test, methods, options);

/** What tests of gRPC run over: both transports, plain and with TLS. */
export const ways: readonly { readonly name: string; readonly transport: GrpcTransport; readonly start: Start }[] =
  grpcTransports.flatMap((transport) => [
    { name: transport, transport, start: startOn(transport) },
    ...(withoutOpenssl() ? [] : [{ name: `${transport}, TLS`, transport, start: startOn(transport, true) }]),
  ]);

/** For tests of what is above the transport. */
export const start = startOn('plinth');

async function startServer(
  transport: GrpcTransport,
  tls: boolean,
  test: Tap,
  methods: Record<string, Method>,
  options: Partial<GrpcServerOptions>,
): Promise<Fixture> {
  const counters = new Map<string, MethodCounters>();
  const internalErrors: unknown[] = [];
  const Server = transport === 'plinth' ? PlinthGrpcServer : GrpcJsServer;
  const server = new Server(new Map(Object.entries(methods)), {
    receivedMessageBytesMax: 1000,
    streamBufferedBytesMax: 64 * 1024,
    connectionBufferedBytesMax: 1024 * 1024,
    concurrentStreamsMax: 1000,
    streamWindowBytes: 1024 * 1024,
    connectionWindowBytes: 4 * 1024 * 1024,
    keepaliveIntervalMs: 7_200_000,
    keepaliveTimeoutMs: 20_000,
    connectionIdleMsMax: 0,
    connectionAgeMsMax: 0,
    connectionAgeGraceMs: 0,
    pingIntervalMsMin: 5000,
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
    tls: tls
      ? {
          identity: serverIdentity(),
          handshakeTimeoutMs: 60_000,
          // A client may go while it greets.
          onHandshakeFailed() {},
        }
      : undefined,
    onError: (error) => internalErrors.push(error),
  });
  const address = await listener.listen({ kind: 'tcp', host: '127.0.0.1', port: 0, tls });
  if (address.kind !== 'tcp') throw new Error('not a TCP address');
  const url = `127.0.0.1:${address.port}`;
  const ca = tls ? authority() : undefined;
  const credentials = ca ? grpc.credentials.createSsl(ca) : grpc.credentials.createInsecure();
  const client = new grpc.Client(url, credentials, {
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
    credentials,
    connectHttp2: (settings = {}) =>
      ca ? http2.connect(`https://${url}`, { ca, settings }) : http2.connect(`http://${url}`, { settings }),
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

/** Fails with the condition's own text: a test that only hangs tells nothing. */
export async function until(condition: () => boolean): Promise<void> {
  const end = performance.now() + 60_000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within a minute: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A gate that a handler waits at until the test opens it. */
export function gate(): { readonly passed: Promise<void>; readonly open: () => void } {
  let open = (): void => {};
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open };
}
