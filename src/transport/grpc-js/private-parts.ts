/**
 * The three places where grpc-js has no option for what is needed and its private members are used. Where another version
 * lacks one of them the server still works, with grpc-js's own behaviour; a test notices.
 */
import type { Http2Server, ServerOptions } from 'node:http2';
import type { Server } from '@grpc/grpc-js';

interface PrivateParts {
  commonServerOptions?: ServerOptions;
  http2Servers?: Map<Http2Server, unknown>;
  _retrieveHandler?(path: string): object | null;
}

function privatePartsOf(server: Server): PrivateParts {
  return server as unknown as PrivateParts;
}

export interface Http2Options extends Pick<ServerOptions, 'settings'> {
  /** Calls that a client may cancel at once, and per second: more ends the connection. Node 20 ignores them (1000 and 33). */
  readonly streamResetBurst: number;
  readonly streamResetRate: number;
}

/** Of all connections. grpc-js pins the receive window at 64 KiB, too little for anything with a delay. */
export function setHttp2Options(server: Server, http2Options: Http2Options): void {
  const options = privatePartsOf(server).commonServerOptions;
  if (options) Object.assign(options, http2Options);
}

/** The Node servers behind, for what is set per session. */
export function http2ServersOf(server: Server): Http2Server[] {
  return [...(privatePartsOf(server).http2Servers?.keys() ?? [])];
}

/** Lets calls of unregistered methods reach the interceptor, so that they are answered like all others. */
export function setUnknownMethodHandler(server: Server, handler: object): void {
  const parts = privatePartsOf(server);
  const retrieve = parts._retrieveHandler?.bind(server);
  if (retrieve) parts._retrieveHandler = (path) => retrieve(path) ?? { ...handler, path };
}
