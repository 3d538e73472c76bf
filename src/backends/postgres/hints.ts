/**
 * LISTEN and NOTIFY, on a connection of its own: hints that somebody appended. Nothing depends on them but latency, so
 * nothing waits for them, and no error of theirs is anybody's.
 */
import type { Wake } from '../../registry/log.ts';
import type { Client, Connections } from './connections.ts';
import { codeOf, isOfServer } from './failure.ts';

const channel = 'plinth_append';
/**
 * A commit with a notification costs the database more than one without, and each listener wakes. So under load there is one for the
 * appends of so long a time: who is told late reads several batches at once.
 */
const hintIntervalMs = 10;
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
  #sentAtMs = Number.NEGATIVE_INFINITY;
  #later: NodeJS.Timeout | undefined;
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

  /** Tells this process at once, and the others when the last notification is long enough ago. */
  appended(slot: number): void {
    this.#wake(slot);
    this.#pending = slot;
    this.#sendInTime();
  }

  #sendInTime(): void {
    if (this.#sending || this.#later !== undefined || this.#pending === undefined) return;
    const waitMs = this.#sentAtMs + hintIntervalMs - performance.now();
    if (waitMs <= 0) {
      void this.#send(this.#pending);
      return;
    }
    this.#later = setTimeout(() => {
      this.#later = undefined;
      this.#sendInTime();
    }, waitMs);
    this.#later.unref();
  }

  async #send(slot: number): Promise<void> {
    this.#pending = undefined;
    const client = this.#client;
    // Without a connection, or where it breaks, the hint is lost.
    if (client === undefined) return;
    this.#sending = true;
    this.#sentAtMs = performance.now();
    await client
      .query('SELECT pg_notify($1, $2)', [channel, `${slot} ${this.#keyspace}`])
      .catch(async (error: unknown) => {
        if (!isOfServer(error)) await this.#connections.end(client);
      });
    this.#sending = false;
    this.#sendInTime();
  }

  listen(wake: Wake): () => void {
    const own: Wake = (slot) => wake(slot);
    this.#wakes.add(own);
    return () => this.#wakes.delete(own);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#later);
    await this.#connecting;
    if (this.#client) await this.#connections.end(this.#client);
    this.#wakes.clear();
  }
}

/** The server's process that serves this connection; the client library keeps it for cancelling. */
const processIdOf = (client: Client | undefined): unknown => (client as { processID?: unknown } | undefined)?.processID;
