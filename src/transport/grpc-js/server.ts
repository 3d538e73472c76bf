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
import { Backlogs } from '../backlog.ts';
import { Connections } from '../connections.ts';
import type { GrpcServer, GrpcServerOptions } from '../grpc-server.ts';
import { MethodTable } from '../method-table.ts';
import { Code, type Methods, type RpcError } from '../rpc.ts';
import { type CallContext, GrpcCall } from './call.ts';
import { deserialize, serialize } from './message.ts';
import { http2ServersOf, setHttp2Options, setUnknownMethodHandler } from './private-parts.ts';

export class GrpcJsServer implements GrpcServer {
  readonly #server: Server;
  readonly #injector: ConnectionInjector;
  readonly #connections = new Connections<Socket>();
  readonly #context: CallContext;

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
      ...(options.connectionIdleMsMax > 0 && { 'grpc.max_connection_idle_ms': options.connectionIdleMsMax }),
      ...(options.connectionAgeMsMax > 0 && {
        'grpc.max_connection_age_ms': options.connectionAgeMsMax,
        'grpc.max_connection_age_grace_ms': options.connectionAgeGraceMs,
      }),
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

  serve(socket: Socket): void {
    this.#connections.add(socket);
    socket.once('close', () => this.#connections.delete(socket));
    this.#injector.injectConnection(socket);
  }

  get activeCalls(): number {
    return this.#context.active.size;
  }

  async stop(reason: RpcError, graceMs: number): Promise<void> {
    this.#context.stopped = reason;
    for (const call of this.#context.active) call.stop(reason);
    const release = (): void => this.#injector.drain(graceMs);
    await this.#connections.end(graceMs, release, () => {
      this.#server.forceShutdown();
      for (const socket of this.#connections) socket.destroy();
    });
    this.#server.forceShutdown();
  }

  #interceptor(methods: Methods, options: GrpcServerOptions): ServerInterceptor {
    const table = new MethodTable(methods, options);
    return ({ path }, base) => {
      const found = table.find(path);
      const start = found
        ? () => new GrpcCall(base, path, found.method, found.counters, this.#context).start()
        : () => base.sendStatus({ code: Code.UNIMPLEMENTED, details: table.unknown(path) });
      // `start` never passes the call on, so no handler of grpc-js sees it.
      return new ServerInterceptingCall(base, { start });
    };
  }
}

function unreachable(): never {
  throw new Error('a call was passed on to grpc-js');
}
