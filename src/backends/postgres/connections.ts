/** The connections to one database: how many, how they are made, what their errors mean. */
import { callbackify } from 'node:util';
import type pg from 'pg';
import { Fenced } from '../../registry/image.ts';
import { BackendError } from '../../registry/log.ts';
import { failureOf, isConflict, isOfServer } from './failure.ts';
import type { PostgresOptions } from './options.ts';

/** Appends have connections of their own: they must not wait behind reads. One works, the other is for a retry. */
const appendConnectionsMax = 2;
/** Calls that wait for a connection. More than that is a mistake above: better an error than memory without end. */
const waitingMax = 10_000;
const idleTimeoutMs = 60_000;
/** What the answer to a statement that timed out may take; then the connection is given up. */
const answerTimeoutMs = 5000;
/** A transaction that loses against another one is tried so often in all. */
const attemptsMax = 6;
const attemptPauseMsMax = 50;
/** While the database cannot be reached, connecting is tried this often; calls in between fail at once. */
const connectPauseMs = { first: 50, last: 2000 };

export type Query = Pick<pg.ClientBase, 'query'>['query'];
export type Client = pg.Client;

export class Connections {
  /** host:port/database as user: for messages. */
  readonly where: string;
  readonly #module: typeof pg;
  readonly #options: PostgresOptions;
  readonly #calls: pg.Pool;
  readonly #appends: pg.Pool;
  readonly #own = new Set<Client>();
  #connectPauseMs = 0;
  #connectAfterMs = 0;
  #connectError: Error | undefined;
  readonly #underWay = new Set<Promise<unknown>>();
  #closed: Promise<void> | undefined;

  /** Throws if a certificate that the URL names cannot be read. Does not connect. */
  constructor(module: typeof pg, options: PostgresOptions) {
    this.#module = module;
    this.#options = options;
    const { host, port, database, user } = new module.Client({ connectionString: options.url });
    this.where = `${host}:${port}/${database} as ${user}`;
    this.#calls = this.#pool(options.connectionsMax);
    this.#appends = this.#pool(appendConnectionsMax);
  }

  #pool(max: number): pg.Pool {
    const pool = new this.#module.Pool({
      ...this.#config(),
      max,
      idleTimeoutMillis: idleTimeoutMs,
      verify: callbackify(prepare),
    });
    // An idle connection that broke has been taken out of the pool already. One that breaks while it is verified has no listener of the
    // pool, and would end the process: the statement under way fails with it.
    pool.on('error', () => {});
    pool.on('connect', (client) => client.on('error', () => {}));
    return pool;
  }

  #config(): pg.ClientConfig {
    const { url, connectTimeoutMs, statementTimeoutMs } = this.#options;
    return {
      connectionString: url,
      application_name: 'plinth',
      connectionTimeoutMillis: connectTimeoutMs,
      statement_timeout: statementTimeoutMs,
      query_timeout: statementTimeoutMs + answerTimeoutMs,
      keepAlive: true,
    };
  }

  /** One statement that changes nothing. */
  async read<Row extends pg.QueryResultRow>(text: string, values: readonly unknown[]): Promise<Row[]> {
    const run = async (query: Query) => (await query<Row>(text, [...values])).rows;
    return await this.#run(this.#calls, 'read', run);
  }

  /** The statements of an append, each a transaction of its own. */
  async append<T>(work: (query: Query) => Promise<T>): Promise<T> {
    return await this.#run(this.#appends, 'write', work);
  }

  /** All of `work` or nothing; it may run several times. */
  async transaction<T>(work: (query: Query) => Promise<T>): Promise<T> {
    return await this.#run(this.#calls, 'write', async (query) => {
      await query('BEGIN');
      try {
        const result = await work(query);
        await query('COMMIT');
        return result;
      } catch (error) {
        // Where the connection is at fault, or a statement is under way on it, it is given up as a whole.
        if (this.#goesOn(error)) await query('ROLLBACK').catch(() => {});
        throw error;
      }
    });
  }

  /** The connection is as good as before. */
  #goesOn(error: unknown): boolean {
    if (error instanceof BackendError || error instanceof Fenced) return true;
    return error instanceof this.#module.DatabaseError && isOfServer(error);
  }

  async #run<T>(pool: pg.Pool, kind: 'read' | 'write', work: (query: Query) => Promise<T>): Promise<T> {
    const run = this.#attempts(pool, kind, work);
    this.#underWay.add(run);
    try {
      return await run;
    } finally {
      this.#underWay.delete(run);
    }
  }

  async #attempts<T>(pool: pg.Pool, kind: 'read' | 'write', work: (query: Query) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const client = await this.#connect(pool);
      let broken: Error | undefined;
      const seen = (error: Error) => {
        broken = error;
      };
      // While it is lent the pool does not listen for its end.
      client.on('error', seen);
      try {
        return await work(client.query.bind(client) as Query);
      } catch (error) {
        if (isConflict(error) && attempt < attemptsMax) {
          await new Promise((resolve) => setTimeout(resolve, Math.random() * attemptPauseMsMax));
          continue;
        }
        if (!this.#goesOn(error)) broken = error as Error;
        throw failureOf(error, this.where, kind);
      } finally {
        client.off('error', seen);
        client.release(broken);
      }
    }
  }

  /** An error here means that no statement was sent. */
  async #connect(pool: pg.Pool): Promise<pg.PoolClient> {
    this.#refuse();
    if (pool.waitingCount >= waitingMax) {
      throw new BackendError('failed', `postgres: more than ${waitingMax} calls wait for a connection (${this.where})`);
    }
    try {
      const client = await pool.connect();
      this.#connectPauseMs = 0;
      return client;
    } catch (error) {
      throw this.#unreachable(error);
    }
  }

  #refuse(): void {
    if (this.#closed) throw new BackendError('failed', `postgres: the storage is closed (${this.where})`);
    if (this.#connectError && Date.now() < this.#connectAfterMs) throw this.#connectError;
    this.#connectError = undefined;
  }

  #unreachable(error: unknown): Error {
    const failure = failureOf(error, this.where, 'read');
    const { first, last } = connectPauseMs;
    this.#connectPauseMs = Math.min(Math.max(this.#connectPauseMs * 2, first), last);
    this.#connectAfterMs = Date.now() + this.#connectPauseMs;
    this.#connectError = failure;
    return failure;
  }

  /** A connection for one purpose, ended with `end`; `limited: false`: statements on it may take as long as they need. */
  async dedicated(limited = true): Promise<Client> {
    this.#refuse();
    const config = this.#config();
    const client = new this.#module.Client(limited ? config : { ...config, statement_timeout: 0, query_timeout: 0 });
    // The statement under way, or the next one, fails with it.
    client.on('error', () => {});
    client.on('end', () => this.#own.delete(client));
    this.#own.add(client);
    try {
      await client.connect();
      await prepare(client);
      return client;
    } catch (error) {
      await this.end(client);
      throw this.#closed ? new BackendError('failed', 'postgres: the storage is closed') : this.#unreachable(error);
    }
  }

  async end(client: Client): Promise<void> {
    this.#own.delete(client);
    await client.end().catch(() => {});
  }

  /** Answers everything that was called before. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    // A pool that ends forgets who waits for a connection.
    await Promise.allSettled(this.#underWay);
    const own = [...this.#own].map((client) => this.end(client));
    await Promise.allSettled([this.#calls.end(), this.#appends.end(), ...own]);
  }
}

/** A standby would answer with an old state; and what is acknowledged must be on the disk. */
async function prepare(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ read_only: string; durable: string }>(
    `SELECT current_setting('transaction_read_only') AS read_only, current_setting('synchronous_commit') AS durable`,
  );
  if (rows[0]?.read_only === 'on') {
    throw Object.assign(new Error('only reading is possible here'), { code: '25006' });
  }
  if (rows[0]?.durable === 'off') await client.query('SET synchronous_commit = on');
}
