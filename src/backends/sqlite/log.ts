import { type AppendOutcome, type Batch, checkBatch, type Log, type ReadLimit } from '../../registry/log.ts';
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

export class SqliteLog implements Log {
  readonly exclusive = true;
  readonly batchBytesMax = 256 * 1024 * 1024;
  readonly #writer: Thread<Writer>;
  readonly #reader: Thread<Reader>;
  readonly #wal: Wal;
  readonly #wakes = new Set<() => void>();

  constructor(writer: Thread<Writer>, reader: Thread<Reader>, wal: Wal) {
    this.#writer = writer;
    this.#reader = reader;
    this.#wal = wal;
  }

  async append(after: number, id: string, data: Uint8Array): Promise<AppendOutcome> {
    checkBatch(after, id, data, this.batchBytesMax);
    // A copy, because it is given away and the caller may have to send the same again.
    const outcome = await this.#writer.call('append', after, id, new Uint8Array(data));
    if (outcome === 'appended') {
      this.#wal.wrote(data.byteLength);
      for (const wake of this.#wakes) queueMicrotask(wake);
    }
    return outcome;
  }

  async read(after: number, limit: ReadLimit): Promise<Batch[]> {
    return unpackBatches(await this.#reader.call('read', after, limit.batches, limit.bytes));
  }

  async load(slots: readonly number[]): Promise<Batch[]> {
    const batches: Batch[] = [];
    for (let start = 0; start < slots.length; ) {
      const answer = new Unpacker(await this.#reader.call('loadSlots', slots.slice(start, start + loadSlotsMax)));
      start += answer.number();
      batches.push(...answer.rest((unpacker) => unpacker.batch()));
    }
    return batches;
  }

  async truncate(through: number): Promise<void> {
    // One chunk at a time: an append that comes meanwhile goes before the next chunk.
    while (!(await this.#writer.call('truncate', through))) this.#wal.wrote(truncateStepBytes);
    this.#wal.checkpoint();
  }

  onAppend(wake: () => void): () => void {
    const own = () => wake();
    this.#wakes.add(own);
    return () => this.#wakes.delete(own);
  }
}
