/**
 * The three places where grpc-js has no option for what is needed and its private members are used. Where another version
 * lacks one of them the server still works, with grpc-js's own behaviour; a test notices.
 */
import type { Http2Server, ServerOptions, Settings } from 'node:http2';
import type { Server } from '@grpc/grpc-js';

interface PrivateParts {
  commonServerOptions?: ServerOptions;
  http2Servers?: Map<Http2Server, unknown>;
  _retrieveHandler?(path: string): object | null;
}

function privatePartsOf(server: Server): PrivateParts {
  return server as unknown as PrivateParts;
}

/** HTTP/2 settings of all connections. grpc-js pins the receive window at 64 KiB, too little for anything with a delay. */
export function setHttp2Options(server: Server, settings: Settings): void {
  const options = privatePartsOf(server).commonServerOptions;
  if (options) options.settings = settings;
}

/** The Node servers behind, for what is set per session. */
export function http2ServersOf(server: Server): Http2Server[] {
  return [...(privatePartsOf(server).http2Servers?.keys() ?? [])];
}

/** Lets calls of unregistered methods reach the interceptor, so that they are answered like all others. */
export function setUnknownMethodHandler(server: Server, handler: object): void {
  const parts = privatePartsOf(server);
  const retrieve = parts._retrieveHandler;
  if (retrieve) parts._retrieveHandler = (path) => retrieve.call(server, path) ?? { ...handler, path };
}
