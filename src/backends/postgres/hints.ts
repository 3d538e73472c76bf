/**
 * LISTEN and NOTIFY, on a connection of its own: hints that somebody appended. Nothing depends on them but latency, so
 * nothing waits for them, and no error of theirs is anybody's.
 */
import type { Client, Connections } from './connections.ts';
import { codeOf, isOfServer } from './failure.ts';

const channel = 'plinth_append';
const reconnectPauseMs = { first: 100, last: 5000 };
/** A database without LISTEN (CockroachDB): not implemented, or not even in its grammar. */
const notThere = ['0A000', '42601', '42883'];

export class Hints {
  readonly #connections: Connections;
  readonly #keyspace: string;
  readonly #warn: (message: string) => void;
  readonly #wakes = new Set<() => void>();
  #client: Client | undefined;
  #sending = false;
  #pending = false;
  #pauseMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #connecting: Promise<void> | undefined;
  #closed = false;

  constructor(connections: Connections, keyspace: string, warn: (message: string) => void) {
    this.#connections = connections;
    this.#keyspace = keyspace;
    this.#warn = warn;
  }

  /** Connects; if that fails, again and again in the background. */
  async start(): Promise<void> {
    this.#connecting = this.#connect();
    await this.#connecting;
  }

  async #connect(): Promise<void> {
    let client: Client | undefined;
    try {
      client = await this.#connections.dedicated();
      client.on('end', () => this.#lost());
      client.on('notification', ({ payload, processId }) => {
        // What this process appended it has told already.
        if (payload === this.#keyspace && processId !== processIdOf(client)) this.#wake();
      });
      await client.query(`LISTEN ${channel}`);
      if (this.#closed) return await this.#connections.end(client);
      this.#client = client;
      this.#pauseMs = 0;
      // Something may have come while nobody listened.
      this.#wake();
    } catch (error) {
      if (client) await this.#connections.end(client);
      if (notThere.includes(codeOf(error))) {
        this.#closed = true;
        this.#warn(
          'postgres: this database has no LISTEN: appends of other replicas are found by asking again and again',
        );
      } else this.#lost();
    }
  }

  #lost(): void {
    this.#client = undefined;
    if (this.#closed || this.#timer) return;
    const { first, last } = reconnectPauseMs;
    this.#pauseMs = Math.min(Math.max(this.#pauseMs * 2, first), last);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#connecting = this.#connect();
    }, this.#pauseMs);
    this.#timer.unref();
  }

  #wake(): void {
    for (const wake of this.#wakes) queueMicrotask(wake);
  }

  /** Tells this process at once, and the others by one notification at a time, however many appends there are. */
  appended(): void {
    this.#wake();
    this.#pending = true;
    void this.#send();
  }

  async #send(): Promise<void> {
    if (this.#sending) return;
    this.#sending = true;
    while (this.#pending && this.#client) {
      this.#pending = false;
      // Without a connection, or where it breaks, the hint is lost.
      const client = this.#client;
      await client.query('SELECT pg_notify($1, $2)', [channel, this.#keyspace]).catch(async (error: unknown) => {
        if (!isOfServer(error)) await this.#connections.end(client);
      });
    }
    this.#sending = false;
  }

  listen(wake: () => void): () => void {
    const own = () => wake();
    this.#wakes.add(own);
    return () => this.#wakes.delete(own);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#connecting;
    if (this.#client) await this.#connections.end(this.#client);
    this.#wakes.clear();
  }
}

/** The server's process that serves this connection; the client library keeps it for cancelling. */
const processIdOf = (client: Client | undefined): unknown => (client as { processID?: unknown } | undefined)?.processID;
