/** HTTP/1.1 by a table of routes: small answers to GET requests, as Go's mux and http.Error give them. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
}

export interface HttpReply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string;
}

export type HttpHandler = (request: HttpRequest) => HttpReply | Promise<HttpReply>;

/** By path, for instance `/version`. */
export type HttpRoutes = ReadonlyMap<string, HttpHandler>;

export interface HttpServerOptions {
  /** For the whole head of a request. */
  readonly headersTimeoutMs: number;
  /** For the whole request. */
  readonly requestTimeoutMs: number;
  /** How long an idle connection is kept for the next request. */
  readonly idleTimeoutMs: number;
  readonly onInternalError: (path: string, error: unknown) => void;
}

/** What etcd adds to every answer, so that pages of any origin may ask. */
const accessControlHeaders = {
  'Access-Control-Allow-Headers': 'accept, content-type, authorization',
  'Access-Control-Allow-Methods': 'POST, GET, OPTIONS, PUT, DELETE',
  'Access-Control-Allow-Origin': '*',
};

/** As Go's http.Error: plain text with a line end. */
export function errorReply(status: number, text: string, headers: Readonly<Record<string, string>> = {}): HttpReply {
  return {
    status,
    headers: { ...headers, 'Content-Type': 'text/plain; charset=utf-8', 'X-Content-Type-Options': 'nosniff' },
    body: `${text}\n`,
  };
}

export function methodNotAllowed(): HttpReply {
  return errorReply(405, 'Method Not Allowed', { Allow: 'GET' });
}

export class HttpServer {
  readonly #server: Server;
  readonly #connections = new Set<Socket>();
  #onIdle: (() => void) | undefined;

  constructor(routes: HttpRoutes, options: HttpServerOptions) {
    this.#server = createServer(
      {
        headersTimeout: options.headersTimeoutMs,
        requestTimeout: options.requestTimeoutMs,
        keepAliveTimeout: options.idleTimeoutMs,
        connectionsCheckingInterval: Math.min(options.headersTimeoutMs, options.requestTimeoutMs),
      },
      (request, response) => {
        void answer(routes, options, request, response);
      },
    );
    // Connections are handed in, so nobody calls listen(); this starts the server's watch over their timeouts.
    this.#server.emit('listening');
  }

  /** Takes a connection over; the bytes read from it so far were put back. */
  serve(socket: Socket): void {
    this.#connections.add(socket);
    socket.once('close', () => {
      this.#connections.delete(socket);
      if (this.#connections.size === 0) this.#onIdle?.();
    });
    // A client that ends its side after the request still wants the answer.
    socket.allowHalfOpen = true;
    this.#server.emit('connection', socket);
  }

  /** Lets requests under way finish; cuts what is left after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    const idle = new Promise<void>((resolve) => {
      this.#onIdle = resolve;
      if (this.#connections.size === 0) resolve();
    });
    const cut = setTimeout(() => {
      for (const socket of this.#connections) socket.destroy();
    }, graceMs);
    this.#server.close();
    this.#server.keepAliveTimeout = 1;
    this.#server.closeIdleConnections();
    await idle;
    clearTimeout(cut);
  }
}

async function answer(
  routes: HttpRoutes,
  options: HttpServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const target = request.url ?? '/';
  const question = target.indexOf('?');
  const path = question < 0 ? target : target.slice(0, question);
  const query = new URLSearchParams(question < 0 ? '' : target.slice(question + 1));
  const method = request.method ?? 'GET';
  let reply: HttpReply;
  try {
    const handler = routes.get(path);
    if (method === 'OPTIONS') reply = { status: 200, body: '' };
    else if (handler) reply = await handler({ method, path, query });
    else reply = errorReply(404, '404 page not found');
  } catch (error) {
    options.onInternalError(path, error);
    reply = errorReply(500, 'internal error');
  }
  if (response.destroyed) return;
  const body = Buffer.from(reply.body);
  response.writeHead(reply.status, { ...accessControlHeaders, ...reply.headers, 'Content-Length': body.length });
  response.end(body);
}
