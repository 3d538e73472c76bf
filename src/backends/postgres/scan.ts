/** A snapshot: one REPEATABLE READ transaction on a connection of its own, read in chunks. */
import type { ImageRowHead, Snapshot } from '../../registry/image.ts';
import { BackendError, type Batch } from '../../registry/log.ts';
import type { Client, Connections } from './connections.ts';
import { failureOf } from './failure.ts';
import { batchOf, type LogRow, selectAfter } from './log.ts';

const chunkRowsMax = 2000;
const chunkBytesMax = 1024 * 1024;
/** While it is read, the database keeps every row that it can see: for this long. */
const scanTimeoutMs = 10 * 60_000;

/** The order of (key, rest) is that of the whole keys. */
const selectRows = `SELECT key, rest, create_revision, mod_revision, version, lease FROM (
    SELECT *, sum(octet_length(key) + octet_length(rest)) OVER (ORDER BY key, rest) AS bytes,
      row_number() OVER (ORDER BY key, rest) AS place
    FROM (SELECT key, rest, create_revision, mod_revision, version, lease FROM plinth_image
      WHERE keyspace = $1 AND key >= $2 AND (key, rest) > ($2, $3) ORDER BY key, rest LIMIT $4) AS next
  ) AS counted WHERE bytes <= $5 OR place = 1 ORDER BY key, rest`;

export interface HeadRow {
  readonly key: Buffer;
  readonly rest: Buffer;
  /** A BIGINT comes as text. */
  readonly create_revision: string;
  readonly mod_revision: string;
  readonly version: string;
  readonly lease: string;
}

export const headOf = (row: HeadRow): ImageRowHead => ({
  key: new Uint8Array(row.rest.length === 0 ? row.key : Buffer.concat([row.key, row.rest])),
  createRevision: Number(row.create_revision),
  modRevision: Number(row.mod_revision),
  version: Number(row.version),
  lease: BigInt(row.lease),
});

export class Scan {
  readonly #connections: Connections;
  readonly #keyspace: string;
  readonly #ended: () => void;
  #client: Client | undefined;
  #timer: NodeJS.Timeout | undefined;
  #timedOut = false;

  /** `ended` is called once or more often. */
  constructor(connections: Connections, keyspace: string, ended: () => void) {
    this.#connections = connections;
    this.#keyspace = keyspace;
    this.#ended = ended;
  }

  async begin(): Promise<Snapshot> {
    try {
      this.#client = await this.#connections.dedicated();
      this.#timer = setTimeout(() => {
        this.#timedOut = true;
        void this.end();
      }, scanTimeoutMs);
      this.#timer.unref();
      await this.#client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      // The first statement is what fixes the state that the transaction sees.
      const [mark] = await this.#query<{ slot: string; revision: string }>(
        'SELECT slot, revision FROM plinth_mark WHERE keyspace = $1',
        [],
      );
      const records = await this.#query<{ name: string; data: Buffer }>(
        'SELECT name, data FROM plinth_record WHERE keyspace = $1',
        [],
      );
      const slot = Number(mark?.slot ?? -1);
      return {
        mark: { slot, revision: Number(mark?.revision ?? 0) },
        records: records.map(({ name, data }) => ({ name, data: new Uint8Array(data) })),
        rows: this.#rows(),
        batches: this.#batches(slot),
      };
    } catch (error) {
      await this.end();
      throw failureOf(error, this.#connections.where, 'read');
    }
  }

  async #query<Row extends object>(text: string, values: readonly unknown[]): Promise<Row[]> {
    if (!this.#client) {
      const reason = this.#timedOut ? `given up after ${scanTimeoutMs / 60_000} minutes` : 'closed';
      throw new BackendError('failed', `postgres: the snapshot was ${reason}`);
    }
    try {
      return (await this.#client.query<Row>(text, [this.#keyspace, ...values])).rows;
    } catch (error) {
      throw failureOf(error, this.#connections.where, 'read');
    }
  }

  async *#rows(): AsyncGenerator<ImageRowHead[]> {
    let atEnd = false;
    try {
      let key: Uint8Array = new Uint8Array();
      let rest: Uint8Array = new Uint8Array();
      for (;;) {
        const rows: HeadRow[] = await this.#query(selectRows, [key, rest, chunkRowsMax, chunkBytesMax]);
        const last = rows.at(-1);
        if (!last) break;
        ({ key, rest } = last);
        yield rows.map(headOf);
      }
      atEnd = true;
    } finally {
      if (!atEnd) await this.end();
    }
  }

  async *#batches(after: number): AsyncGenerator<Batch[]> {
    try {
      for (let slot = after; ; ) {
        const batches = (await this.#query<LogRow>(selectAfter, [slot, chunkRowsMax, chunkBytesMax])).map(batchOf);
        const last = batches.at(-1);
        if (!last) break;
        yield batches;
        slot = last.slot;
      }
    } finally {
      await this.end();
    }
  }

  async end(): Promise<void> {
    clearTimeout(this.#timer);
    const client = this.#client;
    this.#client = undefined;
    if (client) await this.#connections.end(client);
    this.#ended();
  }
}
