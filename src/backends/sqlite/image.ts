import {
  type Checkpoint,
  checkChanges,
  type Image,
  type ImageChange,
  type ImageMark,
  type ImageRow,
  type ImageRowHead,
  type Snapshot,
  type StorageSize,
} from '../../registry/image.ts';
import type { Batch } from '../../registry/log.ts';
import type { Journal } from './journal.ts';
import { type SqliteParts, unpackBatches } from './log.ts';
import { pageBytes } from './options.ts';
import type { Reader } from './reader.ts';
import { binaryString, Packer, Unpacker } from './rows.ts';
import type { Thread } from './thread.ts';
import type { Wal } from './wal.ts';
import type { Writer } from './writer.ts';

/**
 * Rows written in one transaction. Each is likely to change a page of its own, and the appends that come meanwhile wait for
 * it: about 5 ms.
 */
const stepRowsMax = 128;
const stepBytesMax = 512 * 1024;
/** Keys asked for in one call; the answer is bounded by bytes as well. */
const loadKeysMax = 1000;

const unpackHeads = (bytes: Uint8Array): ImageRowHead[] => new Unpacker(bytes).rest((unpacker) => unpacker.head());

export class SqliteImage implements Image {
  readonly #writer: Thread<Writer>;
  readonly #reader: Thread<Reader>;
  readonly #wal: Wal;
  readonly #journal: Journal;
  #lastScan = 0;

  constructor({ writer, reader, wal, journal }: SqliteParts) {
    this.#writer = writer;
    this.#reader = reader;
    this.#wal = wal;
    this.#journal = journal;
  }

  mark(): Promise<ImageMark> {
    return this.#reader.call('mark');
  }

  async begin(): Promise<Checkpoint> {
    const fence = await this.#writer.call('begin');
    return {
      write: async (changes) => {
        checkChanges(changes);
        let next = 0;
        do {
          const packer = new Packer();
          const first = next;
          while (next < changes.length && next < first + stepRowsMax && packer.size < stepBytesMax) {
            packer.change(changes[next++] as ImageChange);
          }
          const { size } = packer;
          await this.#writer.call('write', fence, packer.finish());
          this.#wal.wrote(size + (next - first) * pageBytes);
        } while (next < changes.length);
      },
      finish: async (mark, records) => {
        const copies = records.map(({ name, data }) => ({ name, data: new Uint8Array(data) }));
        await this.#journal.settle();
        await this.#writer.call('finish', fence, mark, copies);
      },
    };
  }

  async scan(): Promise<Snapshot> {
    await this.#journal.settle();
    const id = ++this.#lastScan;
    const { mark, records } = await this.#reader.call('beginScan', id);
    const end = async () => {
      // Where the reader is gone the snapshot is gone with it.
      await this.#reader.call('endScan', id).catch(() => {});
      this.#wal.checkpoint();
    };
    return { mark, records, rows: this.#rows(id, end), batches: this.#batches(id, mark.slot, end) };
  }

  async *#rows(id: number, end: () => Promise<void>): AsyncGenerator<ImageRowHead[]> {
    let atEnd = false;
    try {
      let next = this.#reader.call('scanRows', id);
      for (;;) {
        const rows = unpackHeads(await next);
        if (rows.length === 0) break;
        // The reader works on the next chunk while the caller works on this one.
        next = this.#reader.call('scanRows', id);
        next.catch(() => {});
        yield rows;
      }
      atEnd = true;
    } finally {
      if (!atEnd) await end();
    }
  }

  async *#batches(id: number, after: number, end: () => Promise<void>): AsyncGenerator<Batch[]> {
    try {
      for (let slot = after; ; ) {
        const batches = unpackBatches(await this.#reader.call('scanBatches', id, slot));
        const last = batches.at(-1);
        if (!last) break;
        yield batches;
        slot = last.slot;
      }
    } finally {
      await end();
    }
  }

  async load(keys: readonly Uint8Array[]): Promise<ImageRow[]> {
    const names = keys.map(binaryString);
    const rows: ImageRow[] = [];
    for (let start = 0; start < names.length; ) {
      const answer = new Unpacker(await this.#reader.call('loadKeys', names.slice(start, start + loadKeysMax)));
      start += answer.number();
      rows.push(...answer.rest((unpacker) => unpacker.row()));
    }
    return rows;
  }

  async size(): Promise<StorageSize> {
    // What will be in the table in a moment counts: else a quota would be passed by what comes within a second.
    const { bytes } = this.#journal;
    const { total, inUse } = await this.#reader.call('size');
    return { total: total + bytes, inUse: inUse + bytes };
  }

  /** Pages that a truncation freed leave the file with their commit; what is left is to copy them out of the WAL. */
  async reclaim(): Promise<void> {
    await this.#journal.settle();
    await this.#wal.truncate();
  }
}
