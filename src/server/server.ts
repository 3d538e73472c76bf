/** The network side of a process: listeners in front, a service behind. Starts in order, stops in reverse. */
import type { Logger } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import { formatListenUrl, type ListenAddress } from '../transport/address.ts';
import { PlinthGrpcServer } from '../transport/grpc/server.ts';
import type { GrpcJsServer } from '../transport/grpc-js/server.ts';
import type { GrpcServer, GrpcTransport } from '../transport/grpc-server.ts';
import type { HttpRoutes } from '../transport/http/routes.ts';
import { HttpServer } from '../transport/http/server.ts';
import { Listener } from '../transport/listener.ts';
import { Code, type Method, type Methods, RpcError } from '../transport/rpc.ts';
import type { ServerConfig } from './config.ts';
import {
  cancelledCallsBurst,
  cancelledCallsPerSecond,
  connectionBufferedBytesMax,
  connectionWindowBytes,
  detectionTimeoutMs,
  grpcOverheadBytes,
  handshakeTimeoutMs,
  httpHeadersTimeoutMs,
  httpIdleTimeoutMs,
  httpRequestTimeoutMs,
  streamBufferedBytesMax,
  streamWindowBytes,
} from './limits.ts';
import { handshakeTeller, violationTeller } from './rejections.ts';

/** What is served. */
export interface Served {
  readonly methods: Methods;
  /** For all other paths; undefined: there are none. */
  readonly fallback?: Method | undefined;
  readonly routes: HttpRoutes;
}

/** The limits and addresses of the configuration that matter here. */
export type NetworkConfig = Pick<
  ServerConfig,
  | 'listenClient'
  | 'listenMetrics'
  | 'tls'
  | 'maxRequestBytes'
  | 'maxConcurrentStreams'
  | 'grpcKeepaliveIntervalMs'
  | 'grpcKeepaliveTimeoutMs'
  | 'grpcMaxConnectionIdleMs'
  | 'grpcMaxConnectionAgeMs'
  | 'grpcMaxConnectionAgeGraceMs'
  | 'grpcKeepaliveMinTimeMs'
  | 'grpcTransport'
>;

/** What clients of calls and streams are told that a stopping server ends: etcd's text. */
const stopped = new RpcError(Code.UNAVAILABLE, 'etcdserver: server stopped');

export class Server {
  /** Client URLs with the ports that were really bound. */
  readonly urls: readonly string[];
  readonly #listeners: readonly Listener[];
  readonly #grpc: GrpcServer;
  readonly #http: HttpServer;

  /** Rejects with an Error for operators if an address cannot be bound; nothing is bound then. */
  static async start(served: Served, config: NetworkConfig, metrics: Metrics, log: Logger): Promise<Server> {
    const onInternalError = (path: string, error: unknown): void => log.error({ path, error }, 'internal error');
    const http = new HttpServer(served.routes, {
      headersTimeoutMs: httpHeadersTimeoutMs,
      requestTimeoutMs: httpRequestTimeoutMs,
      idleTimeoutMs: httpIdleTimeoutMs,
      onInternalError,
    });
    const Grpc = await grpcServerClass(config.grpcTransport);
    const grpc: GrpcServer = new Grpc(served.methods, {
      receivedMessageBytesMax: config.maxRequestBytes + grpcOverheadBytes,
      streamBufferedBytesMax,
      connectionBufferedBytesMax,
      concurrentStreamsMax: config.maxConcurrentStreams,
      streamWindowBytes,
      connectionWindowBytes,
      cancelledCallsBurst,
      cancelledCallsPerSecond,
      keepaliveIntervalMs: config.grpcKeepaliveIntervalMs,
      keepaliveTimeoutMs: config.grpcKeepaliveTimeoutMs,
      connectionIdleMsMax: config.grpcMaxConnectionIdleMs,
      connectionAgeMsMax: config.grpcMaxConnectionAgeMs,
      connectionAgeGraceMs: config.grpcMaxConnectionAgeGraceMs,
      pingIntervalMsMin: config.grpcKeepaliveMinTimeMs,
      fallback: served.fallback,
      http: http.respond,
      counters: (path, kind) => metrics.method(path, kind),
      onInternalError,
      onViolation: violationTeller(log),
    });
    const common = {
      http: (socket: Parameters<HttpServer['serve']>[0]) => http.serve(socket),
      detectionTimeoutMs,
      tls: config.tls && { identity: config.tls, handshakeTimeoutMs, onHandshakeFailed: handshakeTeller(log) },
      onError: (error: Error) => log.error({ error }, 'cannot accept a connection'),
    };
    const clients = new Listener({ ...common, grpc: (socket) => grpc.serve(socket) });
    const probes = new Listener(common);
    if (config.tls) tellOfPlain([...config.listenClient, ...config.listenMetrics], log);
    try {
      const urls: string[] = [];
      for (const address of config.listenClient) urls.push(await bind(clients, address));
      for (const address of config.listenMetrics) await bind(probes, address);
      return new Server(urls, [clients, probes], grpc, http);
    } catch (error) {
      clients.close();
      probes.close();
      throw error;
    }
  }

  private constructor(urls: readonly string[], listeners: readonly Listener[], grpc: GrpcServer, http: HttpServer) {
    this.urls = urls;
    this.#listeners = listeners;
    this.#grpc = grpc;
    this.#http = http;
  }

  /**
   * Accepts nothing more, ends watches and other streams, lets requests under way finish, and cuts what is left after
   * `graceMs`. No handler starts afterwards.
   */
  async stop(graceMs: number): Promise<void> {
    for (const listener of this.#listeners) listener.close();
    await Promise.all([this.#grpc.stop(stopped, graceMs), this.#http.stop(graceMs)]);
  }
}

/** The library's is loaded only where it is asked for: it takes 11 MiB. */
async function grpcServerClass(transport: GrpcTransport): Promise<typeof PlinthGrpcServer | typeof GrpcJsServer> {
  if (transport === 'plinth') return PlinthGrpcServer;
  return (await import('../transport/grpc-js/server.ts')).GrpcJsServer;
}

const bindProblems: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the address is already in use, perhaps by another plinth or etcd',
  EADDRNOTAVAIL: 'this machine does not have the address',
  EACCES: 'no permission for this address',
  ENOENT: 'the directory of the socket does not exist',
};

/** etcd's text: somebody may think that all is encrypted. */
function tellOfPlain(addresses: readonly ListenAddress[], log: Logger): void {
  for (const address of addresses.filter(({ tls }) => !tls)) {
    const message = 'scheme is http or unix while key and cert files are present; ignoring key and cert files';
    log.warn({ url: formatListenUrl(address) }, message);
  }
}

async function bind(listener: Listener, address: ListenAddress): Promise<string> {
  try {
    return formatListenUrl(await listener.listen(address));
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    throw new Error(`cannot listen on ${formatListenUrl(address)}: ${bindProblems[code] ?? message}`);
  }
}
