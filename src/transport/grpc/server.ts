/** Serves Methods over HTTP/2 of our own. */
import type { Socket } from 'node:net';
import { Backlog } from '../backlog.ts';
import { Connections } from '../connections.ts';
import type { GrpcServer, GrpcServerOptions } from '../grpc-server.ts';
import { HttpCall } from '../http/call.ts';
import { Connection } from '../http2/connection.ts';
import type { ConnectionOptions } from '../http2/connection-options.ts';
import { MethodTable } from '../method-table.ts';
import type { Methods, RpcError } from '../rpc.ts';
import { ActiveCalls } from './active-calls.ts';
import { type CallContext, GrpcCall } from './call.ts';
import { ConnectionCalls } from './connection-calls.ts';
import { requestBytesMax } from './limits.ts';
import { RefusedCall } from './refused-call.ts';
import { grpcRequest, withMalformedTimeout } from './request.ts';
import { parseTimeout } from './timeout.ts';

export class PlinthGrpcServer implements GrpcServer {
  readonly #options: GrpcServerOptions;
  readonly #table: MethodTable;
  readonly #context: CallContext;
  readonly #connections = new Connections<Connection>();
  #stopping = false;

  constructor(methods: Methods, options: GrpcServerOptions) {
    this.#options = options;
    this.#table = new MethodTable(methods, options);
    this.#context = {
      receivedMessageBytesMax: options.receivedMessageBytesMax,
      streamBufferedBytesMax: options.streamBufferedBytesMax,
      onInternalError: options.onInternalError,
      active: new ActiveCalls(),
      stopped: undefined,
    };
  }

  serve(socket: Socket): void {
    const connection = new Connection(socket, this.#connectionOptions());
    this.#connections.add(connection);
    if (this.#stopping) connection.drain();
  }

  #connectionOptions(): ConnectionOptions {
    const table = this.#table;
    const context = this.#context;
    const { connectionBufferedBytesMax, concurrentStreamsMax, http } = this.#options;
    const calls = new ConnectionCalls(new Backlog(connectionBufferedBytesMax, () => {}));
    return {
      ...this.#options,
      accept(connection, id, head, timeout) {
        // A handler goes on for a while after its call was cancelled.
        if (calls.running >= concurrentStreamsMax || calls.requestBytes > requestBytesMax) return undefined;
        const timeoutMs = timeout === undefined ? undefined : parseTimeout(timeout);
        const known = grpcRequest(head, table);
        const malformed = timeout !== undefined && timeoutMs === undefined;
        const request = malformed ? withMalformedTimeout(known, head, timeout) : known;
        if (request.http && http !== undefined) return new HttpCall(connection, id, head, http, calls);
        const { route, refusal, httpStatus } = request;
        return route === undefined || refusal !== undefined || httpStatus !== undefined
          ? new RefusedCall(connection, id, head, request)
          : new GrpcCall(connection, id, head, timeoutMs, request.gzip, route, context, calls);
      },
      onClosed: (connection) => this.#connections.delete(connection),
    };
  }

  get activeCalls(): number {
    return this.#context.active.size;
  }

  async stop(reason: RpcError, graceMs: number): Promise<void> {
    this.#stopping = true;
    this.#context.stopped = reason;
    for (const call of this.#context.active.all()) call.stop(reason);
    const release = (): void => {
      for (const connection of this.#connections) connection.drain();
    };
    await this.#connections.end(graceMs, release, () => {
      for (const connection of this.#connections) connection.destroy();
    });
  }
}
