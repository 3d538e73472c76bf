/** Which method serves a path, with its counters; and what is said where there is none. */
import type { MethodCounters } from '../observe/method-counters.ts';
import type { GrpcServerOptions } from './grpc-server.ts';
import type { Method, Methods } from './rpc.ts';

export interface Route {
  readonly method: Method;
  readonly counters: MethodCounters;
}

export class MethodTable {
  readonly #routes = new Map<string, Route>();
  readonly #services: ReadonlySet<string>;
  readonly #other: Route | undefined;

  constructor(methods: Methods, { counters, fallback }: Pick<GrpcServerOptions, 'counters' | 'fallback'>) {
    for (const [path, method] of methods) this.#routes.set(path, { method, counters: counters(path, method.kind) });
    this.#services = new Set([...methods.keys()].map(serviceOf));
    // One series for all: the paths are the clients' choice.
    this.#other = fallback && { method: fallback, counters: counters('/other/other', fallback.kind) };
  }

  find(path: string): Route | undefined {
    return this.#routes.get(path) ?? this.#other;
  }

  /** grpc-go's texts for a path without a route. */
  unknown(path: string): string {
    const name = path.startsWith('/') ? path.slice(1) : path;
    const slash = name.lastIndexOf('/');
    if (slash < 0) return `malformed method name: ${JSON.stringify(path)}`;
    const service = name.slice(0, slash);
    return this.#services.has(service)
      ? `unknown method ${name.slice(slash + 1)} for service ${service}`
      : `unknown service ${service}`;
  }
}

/** `/etcdserverpb.KV/Range` → `etcdserverpb.KV` */
function serviceOf(path: string): string {
  return path.slice(1, path.lastIndexOf('/'));
}
