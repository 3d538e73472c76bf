/** What is answered to HTTP by a table of routes, in whatever version of HTTP it comes: as Go's mux and http.Error give it. */

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

/** An answer as it is sent. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | number>>;
  readonly body: Buffer;
}

/** `target`: path and query. Never rejects. */
export type HttpResponder = (method: string, target: string) => Promise<HttpAnswer>;

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

/** What a handler throws is told to `onInternalError`, and not to the client. */
export function responder(routes: HttpRoutes, onInternalError: (path: string, error: unknown) => void): HttpResponder {
  return async (method, target) => {
    const question = target.indexOf('?');
    const path = question < 0 ? target : target.slice(0, question);
    const query = new URLSearchParams(question < 0 ? '' : target.slice(question + 1));
    let reply: HttpReply;
    try {
      const handler = routes.get(path);
      if (method === 'OPTIONS') reply = { status: 200, body: '' };
      else if (handler) reply = await handler({ method, path, query });
      else reply = errorReply(404, '404 page not found');
    } catch (error) {
      onInternalError(path, error);
      reply = errorReply(500, 'internal error');
    }
    const body = Buffer.from(reply.body);
    const headers = { ...accessControlHeaders, ...reply.headers, 'Content-Length': body.length };
    return { status: reply.status, headers, body };
  };
}
