import {
  type AppendOutcome,
  BackendError,
  type Batch,
  checkBatch,
  type Log,
  type ReadLimit,
  type Wake,
} from '../../registry/log.ts';
import type { Connections } from './connections.ts';
import type { Hints } from './hints.ts';

const mebibyte = 1024 * 1024;
/** In one statement of a truncation. */
const truncateSlotsMax = 500;
/** Slots asked for in one statement. */
const loadSlotsMax = 1000;

/**
 * Genesis: only while the image's mark is where it was in the beginning. Nothing is truncated before the mark has moved, so
 * slot 0 is there if there ever was one; and the lock keeps the mark from moving until this is committed.
 */
const insertGenesis = `INSERT INTO plinth_log (keyspace, slot, id, data)
  SELECT keyspace, 0, $2::text, $3::bytea FROM plinth_mark WHERE keyspace = $1 AND slot = -1 FOR SHARE
  ON CONFLICT DO NOTHING`;
/**
 * The lock on the slot before makes a truncation wait. Without it an insert that was held up between finding that slot and
 * inserting could bring a slot back that was taken and truncated meanwhile.
 */
const insertNext = `INSERT INTO plinth_log (keyspace, slot, id, data)
  SELECT keyspace, slot + 1, $3::text, $4::bytea FROM plinth_log WHERE keyspace = $1 AND slot = $2 FOR KEY SHARE
  ON CONFLICT DO NOTHING`;
const idAt = 'SELECT id FROM plinth_log WHERE keyspace = $1 AND slot = $2';

/** The sizes are known without reading the batches; always the first one. */
export const selectAfter = `SELECT slot, id, data FROM (
    SELECT slot, id, data, sum(octet_length(data)) OVER (ORDER BY slot) AS bytes, row_number() OVER (ORDER BY slot) AS place
    FROM (SELECT slot, id, data FROM plinth_log WHERE keyspace = $1 AND slot > $2 ORDER BY slot LIMIT $3) AS next
  ) AS counted WHERE bytes <= $4 OR place = 1 ORDER BY slot`;

/** What may go of the log: the newest slot and the mark only ever move up. */
const selectLimits = `SELECT
  (SELECT slot FROM plinth_log WHERE keyspace = $1 ORDER BY slot DESC LIMIT 1) AS newest,
  (SELECT slot FROM plinth_mark WHERE keyspace = $1) AS mark`;
const deleteStep = `DELETE FROM plinth_log WHERE keyspace = $1 AND slot IN (
    SELECT slot FROM plinth_log WHERE keyspace = $1 AND slot <= $2 ORDER BY slot LIMIT ${truncateSlotsMax})`;

export interface LogRow {
  /** A BIGINT comes as text. */
  readonly slot: string;
  readonly id: string;
  readonly data: Buffer;
}

export const batchOf = ({ slot, id, data }: LogRow): Batch => ({ slot: Number(slot), id, data: new Uint8Array(data) });

export class PostgresLog implements Log {
  readonly exclusive = false;
  /** An answer has two characters for each byte, and the longest string of the runtime has 512 Mi. */
  readonly batchBytesMax = 64 * mebibyte;
  readonly #connections: Connections;
  readonly #hints: Hints;
  readonly #keyspace: string;

  constructor(connections: Connections, hints: Hints, keyspace: string) {
    this.#connections = connections;
    this.#hints = hints;
    this.#keyspace = keyspace;
  }

  async append(after: number, id: string, data: Uint8Array): Promise<AppendOutcome> {
    checkBatch(after, id, data, this.batchBytesMax);
    const outcome = await this.#connections.append(async (query): Promise<AppendOutcome> => {
      const { rowCount } =
        after === -1
          ? await query(insertGenesis, [this.#keyspace, id, data])
          : await query(insertNext, [this.#keyspace, after, id, data]);
      if (rowCount === 1) return 'appended';
      // Another one has the slot, or this batch by an earlier try, or it is not next to what is there.
      const { rows } = await query<{ id: string }>(idAt, [this.#keyspace, after + 1]);
      if (!rows[0]) return 'gone';
      return rows[0].id === id ? 'appended' : 'conflict';
    });
    if (outcome === 'appended') this.#hints.appended(after + 1);
    return outcome;
  }

  async read(after: number, limit: ReadLimit): Promise<Batch[]> {
    const values = [this.#keyspace, after, limit.batches, limit.bytes];
    return (await this.#connections.read<LogRow>(selectAfter, values)).map(batchOf);
  }

  async load(slots: readonly number[]): Promise<Batch[]> {
    const found = new Map<number, LogRow>();
    const distinct = [...new Set(slots)];
    for (let start = 0; start < distinct.length; start += loadSlotsMax) {
      const rows = await this.#connections.read<LogRow>(
        'SELECT slot, id, data FROM plinth_log WHERE keyspace = $1 AND slot = ANY ($2::bigint[])',
        [this.#keyspace, distinct.slice(start, start + loadSlotsMax)],
      );
      for (const row of rows) found.set(Number(row.slot), row);
    }
    return slots.flatMap((slot) => found.get(slot) ?? []).map(batchOf);
  }

  async truncate(through: number): Promise<void> {
    const limits = await this.#connections.read<{ newest: string | null; mark: string }>(selectLimits, [
      this.#keyspace,
    ]);
    const { newest, mark } = limits[0] ?? { newest: null, mark: -1 };
    if (newest === null || through >= Number(newest)) {
      throw new BackendError('failed', `truncate through ${through}: the newest slot stays`);
    }
    if (through > Number(mark)) {
      throw new BackendError('failed', `truncate through ${through}: the image only covers ${Number(mark)}`);
    }
    for (;;) {
      const { rowCount } = await this.#connections.transaction((query) => query(deleteStep, [this.#keyspace, through]));
      if ((rowCount ?? 0) < truncateSlotsMax) return;
    }
  }

  onAppend(wake: Wake): () => void {
    return this.#hints.listen(wake);
  }
}
