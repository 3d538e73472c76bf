/**
 * How much is stored. Spanner tells no exact size cheaply: the service keeps statistics by the hour, the emulator none, so that
 * everything has to be looked at. Either is asked for rarely, and what this process wrote since is added.
 */
import type { StorageSize } from '../../registry/image.ts';
import type { Database } from './client.ts';

const measureAfterMs = 60_000;

/** Of all keyspaces. */
const statistics = `SELECT CAST(SUM(used_bytes) AS INT64) FROM SPANNER_SYS.TABLE_SIZES_STATS_1HOUR
  WHERE STARTS_WITH(table_name, 'plinth_')
    AND interval_end = (SELECT MAX(interval_end) FROM SPANNER_SYS.TABLE_SIZES_STATS_1HOUR)`;
const sums = [
  'SELECT SUM(LENGTH(data)) FROM plinth_log',
  'SELECT SUM(LENGTH(key) + LENGTH(rest) + LENGTH(value)) FROM plinth_image',
];

export class Size {
  readonly #database: Database;
  #bytes = 0;
  #atMs = Number.NEGATIVE_INFINITY;
  #measuring: Promise<void> | undefined;

  constructor(database: Database) {
    this.#database = database;
  }

  added(bytes: number): void {
    this.#bytes += bytes;
  }

  /** Something was deleted, nobody knows how much. */
  freed(): void {
    this.#atMs = Number.NEGATIVE_INFINITY;
  }

  async get(): Promise<StorageSize> {
    if (performance.now() - this.#atMs > measureAfterMs) {
      this.#measuring ??= this.#measure().finally(() => {
        this.#measuring = undefined;
      });
      await this.#measuring;
    }
    return { total: this.#bytes, inUse: this.#bytes };
  }

  async #measure(): Promise<void> {
    const startedAtMs = performance.now();
    const before = this.#bytes;
    let bytes = 0;
    for (const sql of this.#database.emulated ? sums : [statistics]) bytes += await this.#database.queryNumber(sql);
    // What was written meanwhile may be in it or not: rather twice than not at all.
    this.#bytes += bytes - before;
    this.#atMs = startedAtMs;
  }
}
