import {
  type AppendOutcome,
  BackendError,
  type Batch,
  checkBatch,
  type Log,
  type ReadLimit,
  type Wake,
} from '../../registry/log.ts';
import type { Journal } from './journal.ts';
import { journalDataBytesMax } from './journal-record.ts';
import type { Reader } from './reader.ts';
import { Unpacker } from './rows.ts';
import type { Thread } from './thread.ts';
import type { Wal } from './wal.ts';
import type { Writer } from './writer.ts';

/** What one step of a truncation writes, about: the pages that it moves. */
const truncateStepBytes = 1024 * 1024;
/** Slots asked for in one call; the answer is bounded by bytes as well. */
const loadSlotsMax = 1000;

export const unpackBatches = (bytes: Uint8Array): Batch[] => new Unpacker(bytes).rest((unpacker) => unpacker.batch());

export interface SqliteParts {
  readonly writer: Thread<Writer>;
  readonly reader: Thread<Reader>;
  readonly wal: Wal;
  readonly journal: Journal;
}

export class SqliteLog implements Log {
  readonly exclusive = true;
  readonly batchBytesMax = 256 * 1024 * 1024;
  readonly #writer: Thread<Writer>;
  readonly #reader: Thread<Reader>;
  readonly #wal: Wal;
  readonly #journal: Journal;
  /** Ends with the append that is under way. */
  #appending: Promise<unknown> | undefined;
  /** An append to the table failed: it may be there all the same. */
  #asksTable = false;
  #closed = false;
  readonly #wakes = new Set<Wake>();

  constructor({ writer, reader, wal, journal }: SqliteParts) {
    this.#writer = writer;
    this.#reader = reader;
    this.#wal = wal;
    this.#journal = journal;
  }

  async append(after: number, id: string, data: Uint8Array): Promise<AppendOutcome> {
    checkBatch(after, id, data, this.batchBytesMax);
    if (this.#closed) throw new BackendError('failed', 'sqlite: the storage is closed');
    while (this.#appending) await this.#appending;
    const appended = this.#append(after, id, data);
    const outcome = appended instanceof Promise ? await this.#alone(appended) : appended;
    if (outcome === 'appended') for (const wake of this.#wakes) queueMicrotask(() => wake(after + 1));
    return outcome;
  }

  /** The next append begins after this one. */
  #alone<T>(append: Promise<T>): Promise<T> {
    this.#appending = append
      .catch(() => {})
      .finally(() => {
        this.#appending = undefined;
      });
    return append;
  }

  #append(after: number, id: string, data: Uint8Array): AppendOutcome | Promise<AppendOutcome> {
    if (this.#asksTable) return this.#askTable().then(() => this.#append(after, id, data));
    const { nextSlot } = this.#journal;
    // A long one; or the first of a keyspace, or one that may have lost its slot, or is there already.
    if (nextSlot <= 0 || after !== nextSlot - 1 || data.byteLength > journalDataBytesMax) {
      return this.#appendToTable(after, id, data);
    }
    return this.#journal.append(id, data)?.then(() => 'appended') ?? 'appended';
  }

  async #askTable(): Promise<void> {
    this.#journal.skipTo(await this.#writer.call('nextSlot'));
    this.#asksTable = false;
  }

  async #appendToTable(after: number, id: string, data: Uint8Array): Promise<AppendOutcome> {
    await this.#journal.settle();
    this.#asksTable = true;
    // A copy, because it is given away and the caller may have to send the same again.
    const outcome = await this.#writer.call('append', after, id, new Uint8Array(data));
    this.#asksTable = false;
    if (outcome === 'appended') {
      this.#journal.skipTo(Math.max(after + 2, this.#journal.nextSlot));
      this.#wal.wrote(data.byteLength);
    }
    return outcome;
  }

  async read(after: number, limit: ReadLimit): Promise<Batch[]> {
    for (;;) {
      const { firstSlot } = this.#journal;
      const batches = unpackBatches(await this.#reader.call('read', after, limit.batches, limit.bytes));
      const next = (batches.at(-1)?.slot ?? after) + 1;
      // Else the table has more: the limit was reached, or there was a move before the reader looked or after.
      if (next >= this.#journal.firstSlot) return this.#readJournal(batches, next, limit);
      if (batches.length > 0 || next < firstSlot) return batches;
    }
  }

  /** What was read from the table and what follows it in the journal. */
  #readJournal(batches: Batch[], next: number, limit: ReadLimit): Batch[] {
    let bytes = batches.reduce((sum, { data }) => sum + data.byteLength, 0);
    for (let slot = next; batches.length < limit.batches; slot++) {
      const batch = this.#journal.read(slot);
      bytes += batch?.data.byteLength ?? 0;
      if (batch === undefined || (batches.length > 0 && bytes > limit.bytes)) break;
      batches.push(batch);
    }
    return batches;
  }

  async load(slots: readonly number[]): Promise<Batch[]> {
    // Those that are in the journal now may be in the table when the reader comes to it.
    const newest = new Map<number, Batch>();
    for (const slot of slots) {
      const batch = slot < this.#journal.firstSlot ? undefined : this.#journal.read(slot);
      if (batch) newest.set(slot, batch);
    }
    const older = slots.filter((slot) => !newest.has(slot));
    const found: Batch[] = [];
    for (let start = 0; start < older.length; ) {
      const answer = new Unpacker(await this.#reader.call('loadSlots', older.slice(start, start + loadSlotsMax)));
      start += answer.number();
      found.push(...answer.rest((unpacker) => unpacker.batch()));
    }
    if (newest.size === 0) return found;
    const bySlot = new Map([...found.map((batch) => [batch.slot, batch] as const), ...newest]);
    return slots.flatMap((slot) => bySlot.get(slot) ?? []);
  }

  async truncate(through: number): Promise<void> {
    await this.#journal.settle();
    // One chunk at a time: an append that comes meanwhile goes before the next chunk.
    while (!(await this.#writer.call('truncate', through))) this.#wal.wrote(truncateStepBytes);
    this.#wal.checkpoint();
  }

  onAppend(wake: Wake): () => void {
    const own: Wake = (slot) => wake(slot);
    this.#wakes.add(own);
    return () => this.#wakes.delete(own);
  }

  /** Answers what was called before. */
  async close(): Promise<void> {
    this.#closed = true;
    while (this.#appending) await this.#appending;
    await this.#journal.close();
  }
}
