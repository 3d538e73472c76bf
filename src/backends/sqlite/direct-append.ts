/**
 * Appends in the main thread. To hand a batch to the writer's thread and back takes about as long as a fast disk takes to make it
 * durable, and whoever writes waits for both. So while the main thread has time to spare, it commits itself.
 *
 * What that may cost is bounded: it ends where the pauses, in which nobody asks for anything, get too short for the commits, and
 * after some that took long the thread has them again for many times as long (docs/decisions/0008-commit-where-it-is-shortest.md).
 */
import { availableParallelism } from 'node:os';
import { type EventLoopUtilization, performance } from 'node:perf_hooks';
import { type AppendOutcome, BackendError } from '../../registry/log.ts';
import { type Append, prepareAppend } from './append.ts';
import { errorCodeOf, failureOf } from './failure.ts';
import { type Database, openDatabase } from './schema.ts';
import type { ThreadSettings } from './writer.ts';

/** A longer batch is not written in a moment. */
const bytesMax = 64 * 1024;
/** Of the time since the append before began, the event loop was busy with other things for less than this. */
const busyShareMax = 0.8;
/** Appends, in whichever thread, that take longer than this on average, … */
const shortMs = 2;
/** … to which each new one counts so much, so that a single one of a few milliseconds is no reason, … */
const newestShare = 1 / 8;
/** … keep the next ones out of the main thread for so many times as long. */
const pauseShare = 10;
/**
 * A client that puts one key after the other sends the next request in less than this after an answer. So long the thread then looks for
 * it all the time, since to fall asleep and be woken is a tenth of what such a client waits for. Where there is no other core it would
 * only be in the client's way.
 */
const pollMs = availableParallelism() > 1 ? 0.3 : 0;
/** A turn of the event loop that finds nothing takes less. */
const idleTurnMs = 0.02;
const busy = 5;
/** For the few pages at the end of the log. */
const cacheKibibytes = 256;

export class DirectAppender {
  readonly #db: Database;
  readonly #append: Append;
  readonly #file: string;
  #loop: EventLoopUtilization = performance.eventLoopUtilization();
  /** Of the time since then, what went into an append in this thread. */
  #appendMs = 0;
  #averageMs = 0;
  #pausedUntilMs = 0;
  #appendedAtMs = 0;
  #pollUntilMs = 0;
  /** The last look for a request, while there are more to come. */
  #polledAtMs: number | undefined;
  /** Since the event loop was asked how busy it is: what of that went into looking. */
  #polledMs = 0;

  /** The file and its tables are there. */
  constructor({ file, keyspace }: ThreadSettings) {
    this.#db = openDatabase(file, 0);
    this.#db.exec(`PRAGMA cache_size = -${cacheKibibytes}`);
    this.#append = prepareAppend(this.#db, keyspace);
    this.#file = file;
  }

  /** undefined: it is for the writer's thread; nothing was done. Throws BackendError. */
  append(after: number, id: string, data: Uint8Array): AppendOutcome | undefined {
    const startedAtMs = performance.now();
    const busyShare = this.#busyShare();
    if (busyShare > busyShareMax || data.byteLength > bytesMax || startedAtMs < this.#pausedUntilMs) return undefined;
    try {
      const outcome = this.#append(after, id, data);
      const endedAtMs = performance.now();
      this.#appendMs = endedAtMs - startedAtMs;
      this.took(this.#appendMs);
      if (startedAtMs - this.#appendedAtMs < pollMs) this.#pollUntil(endedAtMs + pollMs);
      this.#appendedAtMs = endedAtMs;
      return outcome;
    } catch (error) {
      // Somebody else holds the write lock: waiting for it is not for this thread.
      if (errorCodeOf(error) === busy) return undefined;
      const { kind, message } = failureOf(error, this.#file);
      throw new BackendError(kind === 'fenced' ? 'failed' : kind, message);
    }
  }

  /** Since it was asked for the last time. */
  #busyShare(): number {
    const now = performance.eventLoopUtilization();
    const { active, idle } = performance.eventLoopUtilization(now, this.#loop);
    const busyShare = (active - this.#appendMs - this.#polledMs) / (active + idle);
    this.#loop = now;
    this.#appendMs = 0;
    this.#polledMs = 0;
    return busyShare;
  }

  #pollUntil(untilMs: number): void {
    this.#pollUntilMs = untilMs;
    if (this.#polledAtMs !== undefined) return;
    this.#polledAtMs = performance.now();
    setImmediate(this.#poll);
  }

  /** An event loop that has something left to do does not sleep. */
  readonly #poll = (): void => {
    const now = performance.now();
    const turnMs = now - this.#polledAtMs!;
    if (turnMs < idleTurnMs) this.#polledMs += turnMs;
    if (now < this.#pollUntilMs) {
      this.#polledAtMs = now;
      setImmediate(this.#poll);
    } else this.#polledAtMs = undefined;
  };

  /** After each append, wherever it was made. */
  took(milliseconds: number): void {
    this.#averageMs += (milliseconds - this.#averageMs) * newestShare;
    if (this.#averageMs <= shortMs) return;
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, performance.now() + milliseconds * pauseShare);
  }

  close(): void {
    this.#db.close();
  }
}
