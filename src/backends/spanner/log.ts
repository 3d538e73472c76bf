/**
 * One row per batch. An append is one commit of two mutations, and reads nothing: it updates the row of the slot before (which
 * fails if that is gone) and inserts its own (which fails if that is taken).
 */
import {
  type AppendOutcome,
  BackendError,
  type Batch,
  batchBytesMaxLeast,
  checkBatch,
  type Log,
  type ReadLimit,
  type Wake,
} from '../../registry/log.ts';
import type { Database, Row } from './client.ts';
import { Code, codeOf, detailsOf, failureOf, isMissingRow } from './failure.ts';
import type { Size } from './size.ts';
import { bytesOf, deleteRange, insert, type KeyRange, keyOf, numberOf, textOf, update } from './values.ts';

const table = 'plinth_log';
export const logColumns = ['slot', 'id', 'data'];
/** Keys of one read. */
const loadSlotsMax = 500;

export const batchOf = ([slot, id, data]: Row): Batch => ({
  slot: numberOf(slot),
  id: textOf(id),
  data: bytesOf(data),
});

export const slotsAfter = (keyspace: string, after: number): KeyRange => ({
  startOpen: keyOf([keyspace, after]),
  endClosed: keyOf([keyspace]),
});

export class SpannerLog implements Log {
  readonly exclusive = false;
  /** A cell has 10 MiB at most. */
  readonly batchBytesMax = batchBytesMaxLeast;
  readonly #database: Database;
  readonly #keyspace: string;
  readonly #size: Size;
  readonly #wakes = new Set<Wake>();
  /** A slot that was found taken. */
  #seen = -1;

  constructor(database: Database, keyspace: string, size: Size) {
    this.#database = database;
    this.#keyspace = keyspace;
    this.#size = size;
  }

  async append(after: number, id: string, data: Uint8Array): Promise<AppendOutcome> {
    checkBatch(after, id, data, this.batchBytesMax);
    const keyspace = this.#keyspace;
    const before =
      after === -1 ? insert('plinth_keyspace', { keyspace }) : update(table, { keyspace, slot: after, guard: id });
    try {
      await this.#database.commit([before, insert(table, { keyspace, slot: after + 1, id, data })], 'PRIORITY_HIGH');
    } catch (error) {
      if (codeOf(error) !== Code.ALREADY_EXISTS && !isMissingRow(error)) {
        throw failureOf(error, this.#database.where, 'write');
      }
      // Another one has the slot, or this batch by an earlier try, or it is not next to what is there.
      const [row] = await this.#database.read({ table, columns: ['id'], keys: [[keyspace, after + 1]] });
      if (row === undefined) return 'gone';
      this.#seen = Math.max(this.#seen, after + 1);
      return textOf(row[0]) === id ? 'appended' : 'conflict';
    }
    this.#size.added(data.byteLength);
    for (const wake of this.#wakes) wake(after + 1);
    return 'appended';
  }

  async read(after: number, limit: ReadLimit): Promise<Batch[]> {
    if (this.#database.emulated && after >= Math.max(this.#seen, 0) && (await this.#isNewest(after))) return [];
    const batches: Batch[] = [];
    let bytes = 0;
    const range = slotsAfter(this.#keyspace, after);
    for await (const { rows } of this.#database.stream({ table, columns: logColumns, range, limit: limit.batches })) {
      for (const batch of rows.map(batchOf)) {
        bytes += batch.data.byteLength;
        if (bytes > limit.bytes && batches.length > 0) return batches;
        batches.push(batch);
      }
    }
    return batches;
  }

  /**
   * For the emulator, whose strong reads take longer the more it has done (a microsecond for each operation): a commit that
   * cannot succeed, because it updates a slot that is not there, does not wait. It looks at the slot before first, so when it
   * complains about the next one, that is the end of the log.
   */
  async #isNewest(slot: number): Promise<boolean> {
    const keyspace = this.#keyspace;
    const probe = [slot, slot + 1].map((each) => update(table, { keyspace, slot: each, guard: 'probe' }));
    try {
      await this.#database.commit(probe);
      return false;
    } catch (error) {
      if (!isMissingRow(error)) throw failureOf(error, this.#database.where, 'read');
      return detailsOf(error).includes(`Int64(${slot + 1})`);
    }
  }

  async load(slots: readonly number[]): Promise<Batch[]> {
    const found = new Map<number, Batch>();
    const distinct = [...new Set(slots)];
    for (let start = 0; start < distinct.length; start += loadSlotsMax) {
      const keys = distinct.slice(start, start + loadSlotsMax).map((slot) => [this.#keyspace, slot]);
      for (const row of await this.#database.read({ table, columns: logColumns, keys })) {
        const batch = batchOf(row);
        found.set(batch.slot, batch);
      }
    }
    return slots.flatMap((slot) => found.get(slot) ?? []);
  }

  async truncate(through: number): Promise<void> {
    // What may go only ever moves up, so it does not matter that these are read before.
    const [above] = await this.#database.read({
      table,
      columns: ['slot'],
      range: slotsAfter(this.#keyspace, through),
      limit: 1,
    });
    if (above === undefined) throw new BackendError('failed', `truncate through ${through}: the newest slot stays`);
    const keys = [[this.#keyspace]];
    const [row] = await this.#database.read({ table: 'plinth_mark', columns: ['slot'], keys });
    const mark = row === undefined ? -1 : numberOf(row[0]);
    if (through > mark) {
      throw new BackendError('failed', `truncate through ${through}: the image only covers ${mark}`);
    }
    const range = { startClosed: keyOf([this.#keyspace]), endClosed: keyOf([this.#keyspace, through]) };
    await this.#database.commitRepeatably([deleteRange(table, range)], 'PRIORITY_LOW');
    this.#size.freed();
  }

  /** Spanner tells nobody: others ask, or are told by plinth. */
  onAppend(wake: Wake): () => void {
    const own: Wake = (slot) => wake(slot);
    this.#wakes.add(own);
    return () => this.#wakes.delete(own);
  }
}
