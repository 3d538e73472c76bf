/**
 * LISTEN and NOTIFY, on a connection of its own: hints that somebody appended. Nothing depends on them but latency, so
 * nothing waits for them, and no error of theirs is anybody's.
 */
import type { Wake } from '../../registry/log.ts';
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
  readonly #wakes = new Set<Wake>();
  #client: Client | undefined;
  #sending = false;
  /** The newest slot that the others are to be told of. */
  #pending: number | undefined;
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
        if (processId === processIdOf(client)) return;
        const [, slot, keyspace] = /^(\d{1,15}) (.*)$/s.exec(payload ?? '') ?? [];
        if (keyspace === this.#keyspace) this.#wake(Number(slot));
      });
      await client.query(`LISTEN ${channel}`);
      // A hint need not outlive a crash. Without this each costs the database a flush of its own, beside that of the append.
      await client.query('SET synchronous_commit = off').catch(() => {});
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

  #wake(slot?: number): void {
    for (const wake of this.#wakes) queueMicrotask(() => wake(slot));
  }

  /** Tells this process at once, and the others by one notification at a time, however many appends there are. */
  appended(slot: number): void {
    this.#wake(slot);
    this.#pending = slot;
    void this.#send();
  }

  async #send(): Promise<void> {
    if (this.#sending) return;
    this.#sending = true;
    while (this.#pending !== undefined && this.#client) {
      const hint = `${this.#pending} ${this.#keyspace}`;
      this.#pending = undefined;
      // Without a connection, or where it breaks, the hint is lost.
      const client = this.#client;
      await client.query('SELECT pg_notify($1, $2)', [channel, hint]).catch(async (error: unknown) => {
        if (!isOfServer(error)) await this.#connections.end(client);
      });
    }
    this.#sending = false;
  }

  listen(wake: Wake): () => void {
    const own: Wake = (slot) => wake(slot);
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
