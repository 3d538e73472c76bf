/**
 * Keeps the write-ahead log small. SQLite would do it inside a commit; here the pages are copied by a thread of their own
 * while commits go on, and the writer only has to let the log start over when next to nothing is left to copy.
 *
 * A snapshot that is being read keeps the log from starting over. So that it does not grow for ever, all snapshots are ended
 * when it reaches `walBytesMax`; their readers get an error and may begin again.
 */
import { pageBytes } from './options.ts';
import type { Reader } from './reader.ts';
import type { Thread } from './thread.ts';
import type { WalCopier } from './wal-copier.ts';
import type { Writer } from './writer.ts';

/** Written since the last checkpoint: often enough for a quick start after a crash, seldom enough to cost nothing. */
const checkpointEveryBytes = 16 * 1024 * 1024;
/** What one write brings besides its bytes: tail page, index page, first page, pointer map. */
const writeOverheadBytes = 4 * pageBytes;
/** So few pages may be left to the writer: copying them takes a millisecond or two. */
const leftToWriterPages = 256;
/** Under constant load each pass leaves what was written during it, which is less each time. */
const passesMax = 4;
/**
 * So long after its last work the copier's thread ends. To start it takes a tenth of a second of a core, just when there is much
 * to write.
 */
const copierRestsAfterMs = 60_000;
/** Each page in the log has a header of 24 bytes. */
const frameBytes = pageBytes + 24;

export interface WalThreads {
  readonly writer: Thread<Writer>;
  readonly reader: Thread<Reader>;
  readonly walCopier: Thread<WalCopier>;
}

export class Wal {
  readonly #threads: WalThreads;
  readonly #bytesMax: number;
  readonly #warn: (message: string) => void;
  #bytes = 0;
  #underWay: Promise<void> | undefined;
  #rest: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(threads: WalThreads, bytesMax: number, warn: (message: string) => void) {
    this.#threads = threads;
    this.#bytesMax = bytesMax;
    this.#warn = warn;
    this.#restLater();
  }

  #restLater(): void {
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => this.#threads.walCopier.rest(), copierRestsAfterMs).unref();
  }

  /** To be told of every write. */
  wrote(bytes: number): void {
    this.#bytes += bytes + writeOverheadBytes;
    if (this.#bytes >= checkpointEveryBytes) this.checkpoint();
  }

  /** Starts one in the background, unless one is under way. */
  checkpoint(): void {
    if (this.#underWay || this.#closed) return;
    this.#bytes = 0;
    this.#underWay = this.#run(false)
      .catch((error: Error) => {
        // It is tried again after as many bytes.
        if (!this.#closed) this.#warn(`sqlite: the write-ahead log could not be emptied: ${error.message}`);
      })
      .finally(() => {
        this.#underWay = undefined;
      });
  }

  /** Empties the log, so that the database file gets the size it should have. */
  async truncate(): Promise<void> {
    await this.#underWay;
    await this.#run(true);
  }

  async #run(truncate: boolean): Promise<void> {
    try {
      await this.#empty(truncate);
    } finally {
      this.#restLater();
    }
  }

  async #empty(truncate: boolean): Promise<void> {
    const { writer, reader, walCopier } = this.#threads;
    let pages = await walCopier.call('copy');
    for (let pass = 1; pass < passesMax && pages.log - pages.checkpointed > leftToWriterPages; pass++) {
      pages = await walCopier.call('copy');
    }
    // Stuck behind a snapshot: the writer must neither copy all this nor wait for that.
    const stuck = pages.log - pages.checkpointed > leftToWriterPages;
    if (!stuck && (await writer.call('restartWal', truncate))) return;
    if (pages.log * frameBytes <= this.#bytesMax) return;
    const ended = await reader.call('endAllScans');
    this.#warn(
      `sqlite: the write-ahead log has ${pages.log * frameBytes} bytes because an old state is being read; ` +
        (ended > 0
          ? `${ended} snapshots were ended`
          : 'not by plinth: look for other programs that have the file open'),
    );
    if (ended > 0) await this.#empty(truncate);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#underWay;
    clearTimeout(this.#rest);
  }
}
