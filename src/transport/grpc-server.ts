/** What serves gRPC on connections that a listener hands over: by HTTP/2 of our own (grpc/), or by a library (grpc-js/). */
import type { Socket } from 'node:net';
import type { MethodCounters } from '../observe/method-counters.ts';
import type { HttpResponder } from './http/routes.ts';
import type { Method, RpcError } from './rpc.ts';

export const grpcTransports = ['plinth', 'grpc-js'] as const;
export type GrpcTransport = (typeof grpcTransports)[number];

export interface GrpcServerOptions {
  /** A longer request is answered RESOURCE_EXHAUSTED, with grpc-go's text. */
  readonly receivedMessageBytesMax: number;
  /** Queued for one stream; above it `write` says false. */
  readonly streamBufferedBytesMax: number;
  /** Unary replies that one connection has not read, above which its next calls wait. */
  readonly connectionBufferedBytesMax: number;
  readonly concurrentStreamsMax: number;
  /** What a client may send before the server reads on: per stream and per connection. */
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  /** The server pings a silent connection after this time and closes it if no answer comes in keepaliveTimeoutMs. */
  readonly keepaliveIntervalMs: number;
  readonly keepaliveTimeoutMs: number;
  /** A connection without calls for so long, or so old, is asked to go; 0: never. What is left of an old one is cut after the grace. */
  readonly connectionIdleMsMax: number;
  readonly connectionAgeMsMax: number;
  readonly connectionAgeGraceMs: number;
  /** A client that pings more often is told to go. grpc-js does not look. */
  readonly pingIntervalMsMin: number;
  /** Calls that one connection may cancel at once, and per second. Above: the connection is closed. grpc-js needs Node 22 for it. */
  readonly cancelledCallsBurst: number;
  readonly cancelledCallsPerSecond: number;
  /** For paths that are not among the methods; undefined: UNIMPLEMENTED. */
  readonly fallback?: Method | undefined;
  /** Answers requests of HTTP/2 that are not gRPC; undefined: 415. grpc-js always says that. */
  readonly http?: HttpResponder | undefined;
  readonly counters: (path: string, kind: Method['kind']) => MethodCounters;
  readonly onInternalError: (path: string, error: unknown) => void;
  /** A connection is closed because its client broke the rules of HTTP/2. grpc-js does not tell. */
  readonly onViolation?: ((peer: string, code: string, reason: string) => void) | undefined;
}

export interface GrpcServer {
  /** Takes a connection over; the bytes read from it so far were put back. */
  serve(socket: Socket): void;
  /** Calls whose handler is running. */
  readonly activeCalls: number;
  /**
   * Ends streams with `reason`, tells clients to go elsewhere (GOAWAY), lets unary calls finish, and cuts what is left after
   * `graceMs`. Resolves when no connection is left.
   */
  stop(reason: RpcError, graceMs: number): Promise<void>;
}
