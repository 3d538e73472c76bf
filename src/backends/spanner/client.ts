/**
 * Calls to one database, by the generated client: sessions, timeouts, what is tried again. The library's own retries are off,
 * because a commit that is repeated behind our back could not be told from another writer's.
 */
import type { protos, v1 } from '@google-cloud/spanner';
import type { ChannelCredentials } from '@grpc/grpc-js';
import { BackendError } from '../../registry/log.ts';
import { Code, codeOf, failureOf, missingResource, retryDelayMsOf } from './failure.ts';
import type { SpannerOptions } from './options.ts';
import { type Cell, type KeyRange, keyOf, type Mutation, type Value } from './values.ts';

type KeySet = protos.google.spanner.v1.IKeySet;
export type Timestamp = protos.google.protobuf.ITimestamp;
export type Row = readonly Value[];

/** What the backend does with which urgency, where the instance is busy. */
export type Priority = 'PRIORITY_HIGH' | 'PRIORITY_MEDIUM' | 'PRIORITY_LOW';

export interface ReadRequest {
  readonly table: string;
  readonly columns: readonly string[];
  readonly keys?: readonly (readonly Cell[])[];
  readonly range?: KeyRange;
  /** At most so many rows; 0: all. */
  readonly limit?: number;
  /** As it was then; undefined: as it is now, with everything that was committed before. */
  readonly at?: Timestamp | undefined;
  readonly priority?: Priority;
}

export interface RowChunk {
  readonly rows: Row[];
  /** The moment that the rows belong to; in the first chunk only. */
  readonly readAt: Timestamp | undefined;
}

/** Pauses between attempts where the service does not say. */
const retryPauseMs = { first: 2, last: 250 };
/** A read that fails for reasons that pass is tried so often in all. */
const readAttemptsMax = 4;
const passing: readonly (number | undefined)[] = [Code.UNAVAILABLE, Code.ABORTED, Code.INTERNAL];
const keepalive = { 'grpc.keepalive_time_ms': 10_000, 'grpc.keepalive_timeout_ms': 5000 };
/** Of the service: multiplexed sessions live for 28 days; a new one is taken long before. */
const sessionAgeMsMax = 7 * 24 * 3_600_000;

/** The options of all clients: the service's by default. */
export function clientOptions({ emulator, project, credentialsFile }: SpannerOptions, insecure: ChannelCredentials) {
  const endpoint = emulator && { servicePath: emulator.host, port: emulator.port, sslCreds: insecure };
  return {
    projectId: project,
    ...(credentialsFile === undefined ? {} : { keyFilename: credentialsFile }),
    ...endpoint,
    ...keepalive,
  };
}

export class Database {
  /** projects/…/instances/…/databases/…, and where that is: for messages. */
  readonly path: string;
  readonly where: string;
  /** The emulator's strong reads get slower with each operation; see log.ts. */
  readonly emulated: boolean;
  readonly #client: v1.SpannerClient;
  readonly #timeoutMs: number;
  readonly #headers: Readonly<Record<string, string>>;
  #session: Promise<string> | undefined;
  #sessionAtMs = 0;
  readonly #underWay = new Set<Promise<unknown>>();
  #closed: Promise<void> | undefined;
  #ended = false;

  constructor(client: v1.SpannerClient, options: SpannerOptions) {
    const { project, instance, database, emulator, timeoutMs } = options;
    this.path = `projects/${project}/instances/${instance}/databases/${database}`;
    this.where = `${this.path} at ${emulator ? `emulator ${emulator.host}:${emulator.port}` : 'spanner.googleapis.com'}`;
    this.emulated = emulator !== undefined;
    this.#client = client;
    this.#timeoutMs = timeoutMs;
    this.#headers = { 'google-cloud-resource-prefix': this.path, 'x-goog-spanner-route-to-leader': 'true' };
  }

  /**
   * Finds the credentials. To be done before anything else: where there are none, the library's methods reject twice, and the second
   * rejection, which nobody can catch, ends the process. Rejects with BackendError.
   */
  async authenticate(): Promise<void> {
    try {
      await this.#client.initialize();
    } catch (error) {
      throw failureOf(error, this.where, 'read');
    }
  }

  #options(timeoutMs = this.#timeoutMs) {
    const noRetries = { retries: 0, noResponseRetries: 0, shouldRetryFn: () => false };
    // The type knows no null, but only null turns the retries off.
    const retry = null as unknown as Record<string, never>;
    return { timeout: timeoutMs, retry, retryRequestOptions: noRetries, otherArgs: { headers: this.#headers } };
  }

  #sessionName(): Promise<string> {
    const now = performance.now();
    if (this.#session === undefined || now - this.#sessionAtMs > sessionAgeMsMax) {
      this.#sessionAtMs = now;
      const made = this.#client
        .createSession({ database: this.path, session: { multiplexed: true } }, this.#options())
        .then(([session]) => session.name as string);
      this.#session = made;
      made.catch(() => this.#forgetSession(made));
    }
    return this.#session;
  }

  #forgetSession(session: Promise<string>): void {
    if (this.#session === session) this.#session = undefined;
  }

  /** Runs `call` with a session; once more with a new one if the service has forgotten the old one, and so did nothing. */
  async #inSession<T>(call: (session: string) => Promise<T>): Promise<T> {
    if (this.#ended) throw new BackendError('failed', `spanner: the storage is closed (${this.where})`);
    for (let attempt = 1; ; attempt++) {
      const session = this.#sessionName();
      const name = await session.catch((error: unknown) => {
        // Nothing was asked yet.
        throw failureOf(error, this.where, 'read');
      });
      try {
        return await call(name);
      } catch (error) {
        if (missingResource(error) !== 'Session' || attempt > 1) throw error;
        this.#forgetSession(session);
      }
    }
  }

  async #run<T>(work: () => Promise<T>): Promise<T> {
    const run = work();
    this.#underWay.add(run);
    try {
      return await run;
    } finally {
      this.#underWay.delete(run);
    }
  }

  /**
   * All mutations or none, in one call, without a read before. An aborted try did certainly nothing and is repeated, as long
   * as the time limit lets it. Rejects with what the service says: `failureOf` is for the caller, who may know better.
   */
  commit(mutations: readonly Mutation[], priority: Priority = 'PRIORITY_MEDIUM'): Promise<void> {
    return this.#run(async () => {
      const untilMs = performance.now() + this.#timeoutMs;
      for (let pauseMs = retryPauseMs.first; ; pauseMs = Math.min(pauseMs * 2, retryPauseMs.last)) {
        try {
          await this.#inSession(async (session) => {
            const request = {
              session,
              singleUseTransaction: { readWrite: {} },
              mutations: [...mutations],
              requestOptions: { priority },
            };
            await this.#client.commit(request, this.#options());
          });
          return;
        } catch (error) {
          const waitMs = retryDelayMsOf(error) ?? pauseMs * Math.random();
          if (codeOf(error) !== Code.ABORTED || performance.now() + waitMs > untilMs) throw error;
          await new Promise((resolve) => setTimeout(resolve, waitMs));
        }
      }
    });
  }

  /** As `commit`, for what may be repeated: also when the outcome is unknown. Rejects with BackendError; missing rows stay as they are. */
  commitRepeatably(mutations: readonly Mutation[], priority?: Priority): Promise<void> {
    return this.#run(async () => {
      for (let attempt = 1; ; attempt++) {
        try {
          await this.commit(mutations, priority);
          return;
        } catch (error) {
          const code = codeOf(error);
          if (code === Code.NOT_FOUND || code === Code.ALREADY_EXISTS) throw error;
          if (code !== Code.UNAVAILABLE || attempt === readAttemptsMax) throw failureOf(error, this.where, 'write');
          await new Promise((resolve) => setTimeout(resolve, retryPauseMs.last * Math.random()));
        }
      }
    });
  }

  /** All rows; for small answers. Rejects with BackendError. */
  read(request: ReadRequest): Promise<Row[]> {
    return this.#run(async () => {
      const rows: Row[] = [];
      for await (const chunk of this.stream(request)) rows.push(...chunk.rows);
      return rows;
    });
  }

  /**
   * The rows in key order, as they come. A reader that stops early cancels the call. A failure before the first row is tried again;
   * one in the middle rejects with BackendError.
   */
  async *stream(request: ReadRequest): AsyncGenerator<RowChunk> {
    for (let attempt = 1; ; attempt++) {
      let begun = false;
      try {
        const stream = await this.#inSession((session) => this.#open(session, request));
        for await (const chunk of stream) {
          begun = true;
          yield chunk;
        }
        return;
      } catch (error) {
        const again = passing.includes(codeOf(error)) && !(error instanceof BackendError);
        if (begun || !again || attempt === readAttemptsMax) throw failureOf(error, this.where, 'read');
        await new Promise((resolve) => setTimeout(resolve, retryPauseMs.last * Math.random()));
      }
    }
  }

  /** Resolves once the service has begun to answer. */
  async #open(session: string, request: ReadRequest): Promise<AsyncIterable<RowChunk>> {
    const { table, columns, keys, range, limit, at, priority = 'PRIORITY_HIGH' } = request;
    const keySet: KeySet = {
      ...(keys === undefined ? {} : { keys: keys.map(keyOf) }),
      ...(range === undefined ? {} : { ranges: [range] }),
    };
    const readOnly = at === undefined ? { strong: true, returnReadTimestamp: true } : { readTimestamp: at };
    const call = this.#client.streamingRead(
      {
        session,
        table,
        columns: [...columns],
        keySet,
        limit: limit ?? 0,
        transaction: { singleUse: { readOnly } },
        requestOptions: { priority },
      },
      this.#options(),
    );
    const chunks = rowsOf(call as AsyncIterable<PartialResultSet>, columns.length)[Symbol.asyncIterator]();
    const first = await this.#run(() => chunks.next());
    return (async function* () {
      try {
        if (!first.done) yield first.value;
        for (let next = await chunks.next(); !next.done; next = await chunks.next()) yield next.value;
      } finally {
        call.cancel();
      }
    })();
  }

  /** The first column of the first row. Rejects with BackendError. */
  async queryNumber(sql: string): Promise<number> {
    try {
      return await this.#run(() =>
        this.#inSession(async (session) => {
          const [{ rows }] = await this.#client.executeSql({ session, sql }, this.#options());
          return Number(rows?.[0]?.values?.[0]?.stringValue ?? 0);
        }),
      );
    } catch (error) {
      throw failureOf(error, this.where, 'read');
    }
  }

  /** Waits for the calls under way, and for what their callers ask next because of the answers. */
  close(): Promise<void> {
    this.#closed ??= (async () => {
      while (this.#underWay.size > 0) {
        await Promise.allSettled(this.#underWay);
        await new Promise((resolve) => setImmediate(resolve));
      }
      this.#ended = true;
      // Rejects where it had no credentials, and so nothing to close.
      await this.#client.close().catch(() => {});
    })();
    return this.#closed;
  }
}

type PartialResultSet = protos.google.spanner.v1.IPartialResultSet;

/** Puts rows together: an answer is cut anywhere, also within a value, which then goes on in the next part. */
async function* rowsOf(parts: AsyncIterable<PartialResultSet>, columns: number): AsyncGenerator<RowChunk> {
  let values: Value[] = [];
  let cut: string[] | undefined;
  let first = true;
  for await (const part of parts) {
    const fresh = part.values ?? [];
    if (cut !== undefined && fresh.length > 0) {
      cut.push(fresh[0]?.stringValue ?? '');
      // A value may be cut into more than two parts.
      if (fresh.length > 1 || !part.chunkedValue) {
        values.push({ stringValue: cut.join('') });
        cut = undefined;
      }
      fresh.shift();
    }
    if (cut === undefined && part.chunkedValue) cut = [fresh.pop()?.stringValue ?? ''];
    values.push(...fresh);
    const whole = Math.floor(values.length / columns);
    const rows: Row[] = [];
    for (let row = 0; row < whole; row++) rows.push(values.slice(row * columns, (row + 1) * columns));
    values = values.slice(whole * columns);
    if (first || rows.length > 0) {
      yield { rows, readAt: part.metadata?.transaction?.readTimestamp ?? undefined };
      first = false;
    }
  }
}
