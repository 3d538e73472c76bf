import { type AppendOutcome, type Batch, checkBatch, type Log, type ReadLimit, type Wake } from '../../registry/log.ts';
import type { DirectAppender } from './direct-append.ts';
import type { Reader } from './reader.ts';
import { Unpacker } from './rows.ts';
import type { Thread } from './thread.ts';
import type { Wal } from './wal.ts';
import type { TimedOutcome, Writer } from './writer.ts';

/** What one step of a truncation writes, about: the pages that it moves. */
const truncateStepBytes = 1024 * 1024;
/** Slots asked for in one call; the answer is bounded by bytes as well. */
const loadSlotsMax = 1000;
/** Of one batch that the writer's thread reads where it is: the usual ones. A longer one is given away as a copy of its own. */
const sharedBatchBytesMax = 256 * 1024;

export const unpackBatches = (bytes: Uint8Array): Batch[] => new Unpacker(bytes).rest((unpacker) => unpacker.batch());

export interface SqliteLogParts {
  readonly writer: Thread<Writer>;
  readonly reader: Thread<Reader>;
  readonly wal: Wal;
  readonly direct: DirectAppender;
}

export class SqliteLog implements Log {
  readonly exclusive = true;
  readonly batchBytesMax = 256 * 1024 * 1024;
  readonly #writer: Thread<Writer>;
  readonly #reader: Thread<Reader>;
  readonly #wal: Wal;
  readonly #direct: DirectAppender;
  readonly #shared = new Uint8Array(new SharedArrayBuffer(sharedBatchBytesMax));
  /** An append that is under way has its batch in #shared. */
  #sharing = false;
  readonly #wakes = new Set<Wake>();

  constructor({ writer, reader, wal, direct }: SqliteLogParts) {
    this.#writer = writer;
    this.#reader = reader;
    this.#wal = wal;
    this.#direct = direct;
  }

  async append(after: number, id: string, data: Uint8Array): Promise<AppendOutcome> {
    checkBatch(after, id, data, this.batchBytesMax);
    const idle = this.#writer.idle;
    const outcome =
      (idle ? this.#direct.append(after, id, data) : undefined) ?? (await this.#handOver(after, id, data));
    if (outcome === 'appended') {
      this.#wal.wrote(data.byteLength);
      for (const wake of this.#wakes) queueMicrotask(() => wake(after + 1));
    }
    return outcome;
  }

  async #handOver(after: number, id: string, data: Uint8Array): Promise<AppendOutcome> {
    const { outcome, tookMs } = await (data.byteLength <= sharedBatchBytesMax && !this.#sharing
      ? this.#share(after, id, data)
      : // A copy, because it is given away and the caller may have to send the same again.
        this.#writer.call('append', after, id, new Uint8Array(data)));
    this.#direct.took(tookMs);
    return outcome;
  }

  /** Leaves nothing to collect in the other thread, which would do that long after. */
  async #share(after: number, id: string, data: Uint8Array): Promise<TimedOutcome> {
    this.#sharing = true;
    this.#shared.set(data);
    try {
      return await this.#writer.call('append', after, id, this.#shared.subarray(0, data.byteLength));
    } finally {
      this.#sharing = false;
    }
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

  onAppend(wake: Wake): () => void {
    const own: Wake = (slot) => wake(slot);
    this.#wakes.add(own);
    return () => this.#wakes.delete(own);
  }
}
