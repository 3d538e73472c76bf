/**
 * The newest slots of the log. To append a row of an SQLite table takes several writes to its write-ahead log and their checksums, a
 * quarter of a millisecond where the disk takes an eighth; here it is one write to a file that has its size already, which returns when it
 * is durable (docs/decisions/0009-journal-before-the-table.md). A second later, or when half of the file is full, the writer's thread
 * moves what is here into the table, many batches in one transaction.
 *
 * A slot is in the journal, then for a moment in both, then in the table. The table has all slots below `firstSlot`.
 */
import { closeSync, constants, openSync, readSync, write, writeSync } from 'node:fs';
import { BackendError, type Batch } from '../../registry/log.ts';
import type { DirectWrites } from './direct-writes.ts';
import { journalFailureOf } from './failure.ts';
import { decodeRecord, encodeRecord, journalHalfBytes, noRecord, recordBytesMax } from './journal-record.ts';
import type { Thread } from './thread.ts';
import type { Wal } from './wal.ts';
import type { ThreadSettings, Writer } from './writer.ts';

/** What is here for so long goes into the table, where operators and their backups find it. */
const settleAfterMs = 1000;
/** Moved in one step: the next image write, or a longer batch, waits for one step at most. */
const moveBytesMax = 1024 * 1024;

/** Where a record stands in the file. */
interface Place {
  readonly at: number;
  readonly end: number;
}

export interface JournalParts {
  readonly writer: Thread<Writer>;
  readonly wal: Wal;
  readonly direct: DirectWrites;
  readonly warn: (message: string) => void;
}

const halfOf = (at: number): number => (at < journalHalfBytes ? 0 : 1);

export class Journal {
  readonly #settings: ThreadSettings;
  readonly #parts: JournalParts;
  readonly #fd: number;
  readonly #record = Buffer.allocUnsafeSlow(recordBytesMax);
  #firstSlot: number;
  /** Of the slots from #firstSlot on. */
  #places: Place[] = [];
  /** Where the next record goes, and in which half that is: a full one ends where the other begins. */
  #end = 0;
  #half = 0;
  #writing = false;
  #moving: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #warned = false;

  /** The file is there, and the table has all slots below `nextSlot` (see `recover` of the writer). */
  constructor(settings: ThreadSettings, parts: JournalParts, nextSlot: number) {
    this.#settings = settings;
    this.#parts = parts;
    this.#fd = openSync(settings.journal, constants.O_RDWR | constants.O_DSYNC);
    this.#firstSlot = nextSlot;
  }

  get firstSlot(): number {
    return this.#firstSlot;
  }

  /** The slot that `append` writes. */
  get nextSlot(): number {
    return this.#firstSlot + this.#places.length;
  }

  /** Of what is here and not in the table. */
  get bytes(): number {
    return this.#places.reduce((sum, { at, end }) => sum + end - at, 0);
  }

  /** The table has it, and everything before. */
  skipTo(nextSlot: number): void {
    if (this.#places.length > 0) throw new Error(`sqlite: ${this.#places.length} slots are still in the journal`);
    this.#firstSlot = nextSlot;
  }

  /**
   * Writes slot `nextSlot`, one at a time. undefined: it is durable already, which is the rule, so that it costs no promise. Throws or
   * rejects with BackendError; the same again settles an `unknown` one.
   */
  append(id: string, data: Uint8Array): Promise<void> | undefined {
    const bytes = encodeRecord(this.#record, this.#settings.keyspace, { slot: this.nextSlot, id, data });
    if (this.#end + bytes <= (this.#half + 1) * journalHalfBytes) return this.#write(bytes);
    return this.#switchHalves().then(() => this.#write(bytes));
  }

  #write(bytes: number): Promise<void> | undefined {
    const { direct } = this.#parts;
    const at = this.#end;
    if (!direct.allowed(bytes)) return this.#writeElsewhere(bytes, at);
    try {
      this.#wrote(
        bytes,
        at,
        direct.time(() => writeSync(this.#fd, this.#record, 0, bytes, at)),
      );
      return undefined;
    } catch (error) {
      throw this.#failureOf(error);
    }
  }

  /** By a thread of the pool. */
  #writeElsewhere(bytes: number, at: number): Promise<void> {
    this.#writing = true;
    return new Promise((resolve, reject) => {
      write(this.#fd, this.#record, 0, bytes, at, (error, written) => {
        this.#writing = false;
        try {
          if (error) throw error;
          this.#wrote(bytes, at, written);
          resolve();
        } catch (failure) {
          reject(this.#failureOf(failure));
        }
      });
    });
  }

  #wrote(bytes: number, at: number, written: number): void {
    if (written !== bytes) throw new Error(`${written} of ${bytes} bytes were written`);
    this.#end = at + bytes;
    this.#places.push({ at, end: this.#end });
    this.#timer ??= setTimeout(() => this.#settleInBackground(), settleAfterMs).unref();
  }

  /** What is there of the record, if anything, is what the next one overwrites. */
  #failureOf(error: unknown): BackendError {
    return journalFailureOf(error, this.#settings.journal);
  }

  /** The other half is empty, or becomes so; this one is moved meanwhile. */
  async #switchHalves(): Promise<void> {
    const other = 1 - this.#half;
    while (this.#places[0] && halfOf(this.#places[0].at) === other) await this.#move();
    this.#half = other;
    this.#end = other * journalHalfBytes;
    this.#settleInBackground();
  }

  #settleInBackground(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.settle().then(
      () => {
        this.#warned = false;
      },
      ({ message }: Error) => {
        if (!this.#warned) this.#parts.warn(`${message}; new batches stay in ${this.#settings.journal} while they fit`);
        this.#warned = true;
        this.#timer ??= setTimeout(() => this.#settleInBackground(), settleAfterMs).unref();
      },
    );
  }

  /** When it resolves, everything that was appended before the call is in the table. Rejects with BackendError. */
  async settle(): Promise<void> {
    const through = this.nextSlot;
    while (this.#firstSlot < through) await this.#move();
  }

  #move(): Promise<void> {
    this.#moving ??= this.#moveStep().finally(() => {
      this.#moving = undefined;
    });
    return this.#moving;
  }

  /** The oldest records, as many as stand in one half and make one step. */
  async #moveStep(): Promise<void> {
    const [first] = this.#places as [Place];
    let count = 1;
    for (; count < this.#places.length; count++) {
      const { at, end } = this.#places[count]!;
      if (halfOf(at) !== halfOf(first.at) || end - first.at > moveBytesMax) break;
    }
    const { end } = this.#places[count - 1]!;
    try {
      await this.#parts.writer.call('moveRecords', first.at, end);
    } catch (error) {
      // Whether they are in the table or not: who waits for that has not begun.
      throw new BackendError('failed', (error as Error).message);
    }
    this.#parts.wal.wrote(end - first.at);
    this.#places = this.#places.slice(count);
    this.#firstSlot += count;
    // Nothing is here: from the begin again, so that while little is written the same few pages take it.
    if (this.#places.length === 0 && !this.#writing) this.#end = this.#half * journalHalfBytes;
  }

  /** undefined: it is not here. */
  read(slot: number): Batch | undefined {
    const place = this.#places[slot - this.#firstSlot];
    if (place === undefined) return undefined;
    const bytes = Buffer.allocUnsafeSlow(place.end - place.at);
    readSync(this.#fd, bytes, 0, bytes.length, place.at);
    const record = decodeRecord(bytes, 0);
    if (record?.slot !== slot) throw new BackendError('failed', `sqlite: ${this.#settings.journal} is damaged`);
    return { slot, id: record.id, data: new Uint8Array(record.data) };
  }

  /** Leaves the file empty, or as it is for the next start if its records can not be moved. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      await this.settle();
      for (const at of [0, journalHalfBytes]) writeSync(this.#fd, noRecord, 0, noRecord.length, at);
    } catch (error) {
      this.#parts.warn((error as Error).message);
    }
    clearTimeout(this.#timer);
    this.#places = [];
    closeSync(this.#fd);
  }
}
