/** HTTP/1.1 on connections that a listener hands over. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Connections } from '../connections.ts';
import { type HttpResponder, type HttpRoutes, responder } from './routes.ts';

export interface HttpServerOptions {
  /** For the whole head of a request. */
  readonly headersTimeoutMs: number;
  /** For the whole request. */
  readonly requestTimeoutMs: number;
  /** How long an idle connection is kept for the next request. */
  readonly idleTimeoutMs: number;
  readonly onInternalError: (path: string, error: unknown) => void;
}

export class HttpServer {
  /** What the routes answer, also to requests that come by HTTP/2. */
  readonly respond: HttpResponder;
  readonly #server: Server;
  readonly #connections = new Connections<Socket>();

  constructor(routes: HttpRoutes, options: HttpServerOptions) {
    this.respond = responder(routes, options.onInternalError);
    this.#server = createServer(
      {
        headersTimeout: options.headersTimeoutMs,
        requestTimeout: options.requestTimeoutMs,
        keepAliveTimeout: options.idleTimeoutMs,
        connectionsCheckingInterval: Math.min(options.headersTimeoutMs, options.requestTimeoutMs),
      },
      (request, response) => {
        void answer(this.respond, request, response);
      },
    );
    this.#server.on('clientError', refuse);
    // Connections are handed in, so nobody calls listen(); this starts the server's watch over their timeouts.
    this.#server.emit('listening');
  }

  /** Takes a connection over; the bytes read from it so far were put back. */
  serve(socket: Socket): void {
    this.#connections.add(socket);
    socket.once('close', () => this.#connections.delete(socket));
    // A client that ends its side after the request still wants the answer.
    socket.allowHalfOpen = true;
    this.#server.emit('connection', socket);
  }

  /** Lets requests under way finish; cuts what is left after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    const release = (): void => {
      this.#server.close();
      this.#server.keepAliveTimeout = 1;
      this.#server.closeIdleConnections();
    };
    await this.#connections.end(graceMs, release, () => {
      for (const socket of this.#connections) socket.destroy();
    });
  }
}

const refusals: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
};

/** As Node itself does; but who does not begin with a method of HTTP does not speak it, and gets no answer in it. */
function refuse(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'HPE_INVALID_METHOD' || !socket.writable) socket.destroy();
  else socket.end(`HTTP/1.1 ${refusals[error.code ?? ''] ?? '400 Bad Request'}\r\nConnection: close\r\n\r\n`);
}

async function answer(respond: HttpResponder, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { status, headers, body } = await respond(request.method ?? 'GET', request.url ?? '/');
  if (response.destroyed) return;
  response.writeHead(status, headers);
  response.end(body);
}
