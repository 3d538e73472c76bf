/** The servers behind: one connection each, made when it is needed; calls go to one that is connected. */
import type * as grpc from '@grpc/grpc-js';
import type { Etcd3Options } from './options.ts';

/** What this side takes before the server must wait for it to be read. */
const windowBytes = 8 * 1024 * 1024;
const keepaliveMs = { interval: 30_000, timeout: 10_000 };
const reconnectMs = { first: 100, last: 2000 };

/** As of grpc-js. */
const ready = 2;
const shutdown = 4;

interface Endpoint {
  readonly url: string;
  readonly client: grpc.Client;
}

export class Endpoints {
  readonly #all: readonly Endpoint[];
  readonly #connectTimeoutMs: number;
  /** The one that calls go to while it is connected. */
  #current = 0;

  constructor(module: typeof grpc, { endpoints, tls, connectTimeoutMs }: Etcd3Options) {
    this.#connectTimeoutMs = connectTimeoutMs;
    this.#all = endpoints.map((url) => {
      const secure = url.startsWith('https:');
      const credentials = secure
        ? module.credentials.createSsl(tls.ca, tls.key, tls.cert)
        : module.credentials.createInsecure();
      const client = new module.Client(url.replace(/^https?:\/\//, ''), credentials, {
        // Every limit is the etcd's own.
        'grpc.max_receive_message_length': -1,
        'grpc.max_send_message_length': -1,
        'grpc.enable_retries': 0,
        'grpc.enable_http_proxy': 0,
        'grpc.keepalive_time_ms': keepaliveMs.interval,
        'grpc.keepalive_timeout_ms': keepaliveMs.timeout,
        'grpc.initial_reconnect_backoff_ms': reconnectMs.first,
        'grpc.max_reconnect_backoff_ms': reconnectMs.last,
        'grpc-node.flow_control_window': windowBytes,
      });
      return { url, client };
    });
  }

  /** For messages. */
  get names(): string {
    return this.#all.map(({ url }) => url).join(', ');
  }

  /** A connected one, at once if there is one; undefined: none could be reached in time. `deadlineMs`: as Date.now() counts. */
  connected(deadlineMs: number | undefined): grpc.Client | Promise<grpc.Client | undefined> {
    const current = this.#all[this.#current] as Endpoint;
    if (isReady(current)) return current.client;
    return this.#connect(deadlineMs);
  }

  /** All are tried at once: who is there first takes the calls from now on. */
  async #connect(deadlineMs = Number.POSITIVE_INFINITY): Promise<grpc.Client | undefined> {
    const untilMs = Math.min(deadlineMs, Date.now() + this.#connectTimeoutMs);
    const tries = this.#all.map(
      (endpoint, i) =>
        new Promise<number>((resolve, reject) => {
          endpoint.client.waitForReady(untilMs, (error) => (error ? reject(error) : resolve(i)));
        }),
    );
    try {
      this.#current = await Promise.any(tries);
      return this.#all[this.#current]?.client;
    } catch {
      return undefined;
    }
  }

  close(): void {
    for (const { client } of this.#all) client.close();
  }
}

function isReady({ client }: Endpoint): boolean {
  const state: number = client.getChannel().getConnectivityState(true);
  if (state === shutdown) return false;
  return state === ready;
}
