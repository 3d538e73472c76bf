/**
 * When the main thread waits for the disk itself. To hand a write to another thread and back takes about as long as a fast disk takes to
 * make it durable, and whoever writes waits for both. So while the main thread has time to spare, it writes to the journal itself.
 *
 * What that may cost is bounded: it ends where the pauses, in which nobody asks for anything, get too short for the writes, and
 * after some that took long other threads have them for many times as long (docs/decisions/0008-commit-where-it-is-shortest.md).
 */
import { type EventLoopUtilization, performance } from 'node:perf_hooks';

/** A longer record is not written in a moment. */
const bytesMax = 64 * 1024;
/** Of the time since the write before began, the event loop was busy with other things for less than this. */
const busyShareMax = 0.8;
/** Writes of this thread that take longer than this on average, … */
const shortMs = 2;
/** … to which each new one counts so much, so that a single one of a few milliseconds is no reason, … */
const newestShare = 1 / 8;
/** … keep the next ones out of it for so many times as long, twice as many each time until they are fast again. */
const pauseShare = { first: 10, last: 1280 };

export class DirectWrites {
  #loop: EventLoopUtilization = performance.eventLoopUtilization();
  /** Of the time since then, what went into a write in this thread. */
  #writeMs = 0;
  #averageMs = 0;
  #pausedUntilMs = 0;
  #pauseShare = pauseShare.first;

  /** To be asked once for each write. */
  allowed(bytes: number): boolean {
    const busyShare = this.#busyShare();
    return busyShare <= busyShareMax && bytes <= bytesMax && performance.now() >= this.#pausedUntilMs;
  }

  /** Writes, and counts how long that takes, also where it fails. */
  time<T>(work: () => T): T {
    const startedAtMs = performance.now();
    try {
      return work();
    } finally {
      this.#writeMs = performance.now() - startedAtMs;
      this.took(this.#writeMs);
    }
  }

  /** Since it was asked for the last time. */
  #busyShare(): number {
    const now = performance.eventLoopUtilization();
    const active = now.active - this.#loop.active;
    const idle = now.idle - this.#loop.idle;
    const busyShare = (active - this.#writeMs) / (active + idle);
    this.#loop = now;
    this.#writeMs = 0;
    return busyShare;
  }

  /** After each write of this thread. */
  took(milliseconds: number): void {
    this.#averageMs += (milliseconds - this.#averageMs) * newestShare;
    if (milliseconds <= shortMs) this.#pauseShare = pauseShare.first;
    if (this.#averageMs <= shortMs) return;
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, performance.now() + milliseconds * this.#pauseShare);
    if (milliseconds > shortMs) this.#pauseShare = Math.min(this.#pauseShare * 2, pauseShare.last);
  }
}
