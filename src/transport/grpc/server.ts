/**
 * Serves Methods over HTTP/2 by @grpc/grpc-js. Its interceptor is used as the place to take over each call with two message
 * callbacks and a read request, which spares the stream objects that its own handlers are wrapped in.
 */
import type { Socket } from 'node:net';
import {
  type ConnectionInjector,
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
} from '@grpc/grpc-js';
import type { MethodCounters } from '../../observe/method-counters.ts';
import { Code, type Method, type Methods, type RpcError } from '../rpc.ts';
import { Backlogs } from './backlog.ts';
import { type CallContext, GrpcCall } from './call.ts';
import { deserialize, serialize } from './message.ts';
import { http2ServersOf, setHttp2Options, setUnknownMethodHandler } from './private-parts.ts';

export interface GrpcServerOptions {
  /** A longer request is answered RESOURCE_EXHAUSTED, with grpc-go's text up to four times this. */
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
  /** Calls that one connection may cancel at once, and per second. Above: the connection is closed. Needs Node 22. */
  readonly cancelledCallsBurst: number;
  readonly cancelledCallsPerSecond: number;
  readonly counters: (path: string, kind: Method['kind']) => MethodCounters;
  readonly onInternalError: (path: string, error: unknown) => void;
}

export class GrpcServer {
  readonly #server: Server;
  readonly #injector: ConnectionInjector;
  readonly #connections = new Set<Socket>();
  readonly #context: CallContext;
  #onIdle: (() => void) | undefined;

  constructor(methods: Methods, options: GrpcServerOptions) {
    this.#context = {
      receivedMessageBytesMax: options.receivedMessageBytesMax,
      streamBufferedBytesMax: options.streamBufferedBytesMax,
      backlogs: new Backlogs(options.connectionBufferedBytesMax),
      onInternalError: options.onInternalError,
      active: new Set(),
      stopped: undefined,
    };
    this.#server = new Server({
      'grpc.enable_channelz': 0,
      // grpc-js would refuse with another text than etcd, so it only guards against what is far too large.
      'grpc.max_receive_message_length': 4 * options.receivedMessageBytesMax,
      'grpc.max_send_message_length': -1,
      'grpc.max_concurrent_streams': options.concurrentStreamsMax,
      'grpc.keepalive_time_ms': options.keepaliveIntervalMs,
      'grpc.keepalive_timeout_ms': options.keepaliveTimeoutMs,
      interceptors: [this.#interceptor(methods, options)],
    });
    for (const path of methods.keys()) this.#server.register(path, unreachable, serialize, deserialize, 'bidi');
    setUnknownMethodHandler(this.#server, { func: unreachable, serialize, deserialize, type: 'bidi' });
    setHttp2Options(this.#server, {
      settings: { maxConcurrentStreams: options.concurrentStreamsMax, initialWindowSize: options.streamWindowBytes },
      streamResetBurst: options.cancelledCallsBurst,
      streamResetRate: options.cancelledCallsPerSecond,
    });
    this.#injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
    for (const http2Server of http2ServersOf(this.#server)) {
      http2Server.on('session', (session) => session.setLocalWindowSize(options.connectionWindowBytes));
    }
  }

  /** Takes a connection over; the bytes read from it so far were put back. */
  serve(socket: Socket): void {
    this.#connections.add(socket);
    socket.once('close', () => {
      this.#connections.delete(socket);
      if (this.#connections.size === 0) this.#onIdle?.();
    });
    this.#injector.injectConnection(socket);
  }

  /** Calls whose handler is running. */
  get activeCalls(): number {
    return this.#context.active.size;
  }

  /**
   * Ends streams with `reason`, tells clients to go elsewhere (GOAWAY), lets unary calls finish, and cuts what is left after
   * `graceMs`. Resolves when no connection is left.
   */
  async stop(reason: RpcError, graceMs: number): Promise<void> {
    this.#context.stopped = reason;
    for (const call of this.#context.active) call.stop(reason);
    const idle = new Promise<void>((resolve) => {
      this.#onIdle = resolve;
      if (this.#connections.size === 0) resolve();
    });
    const cut = setTimeout(() => {
      this.#server.forceShutdown();
      for (const socket of this.#connections) socket.destroy();
    }, graceMs);
    this.#injector.drain(graceMs);
    await idle;
    clearTimeout(cut);
    this.#server.forceShutdown();
  }

  #interceptor(methods: Methods, options: GrpcServerOptions): ServerInterceptor {
    const known = new Map<string, { method: Method; counters: MethodCounters }>();
    for (const [path, method] of methods) known.set(path, { method, counters: options.counters(path, method.kind) });
    const services = new Set([...methods.keys()].map(serviceOf));
    return ({ path }, base) => {
      const found = known.get(path);
      const start = found
        ? () => new GrpcCall(base, path, found.method, found.counters, this.#context).start()
        : () => base.sendStatus({ code: Code.UNIMPLEMENTED, details: unknownMethod(path, services) });
      // `start` never passes the call on, so no handler of grpc-js sees it.
      return new ServerInterceptingCall(base, { start });
    };
  }
}

/** `/etcdserverpb.KV/Range` → `etcdserverpb.KV` */
function serviceOf(path: string): string {
  return path.slice(1, path.lastIndexOf('/'));
}

/** grpc-go's texts. */
function unknownMethod(path: string, services: ReadonlySet<string>): string {
  const name = path.startsWith('/') ? path.slice(1) : path;
  const slash = name.lastIndexOf('/');
  if (slash < 0) return `malformed method name: ${JSON.stringify(path)}`;
  const service = name.slice(0, slash);
  return services.has(service)
    ? `unknown method ${name.slice(slash + 1)} for service ${service}`
    : `unknown service ${service}`;
}

function unreachable(): never {
  throw new Error('a call was passed on to grpc-js');
}
