/** Takes the place of the process's clock and timers, so that time passes only when a test says so and no timer is overlooked. */

interface Timer {
  readonly callback: () => void;
  readonly atMs: number;
}

/** What `setTimeout` returns: as much of NodeJS.Timeout as the sources use. */
class Handle {
  unref(): this {
    return this;
  }
}

/** Any time will do: what matters is that each run has the same. */
const startMs = 1_700_000_000_000;

export class VirtualClock {
  readonly #timers = new Map<Handle, Timer>();
  readonly #real = { setTimeout, clearTimeout, now: Date.now };
  #nowMs = startMs;

  install(): void {
    const { clearTimeout: clearRealTimeout } = this.#real;
    const begin = (callback: () => void, delayMs = 0): Handle => {
      const handle = new Handle();
      this.#timers.set(handle, { callback, atMs: this.#nowMs + Math.max(delayMs, 1) });
      return handle;
    };
    globalThis.setTimeout = begin as unknown as typeof setTimeout;
    globalThis.clearTimeout = ((handle: Handle | NodeJS.Timeout | undefined) => {
      if (handle instanceof Handle) this.#timers.delete(handle);
      else clearRealTimeout(handle);
    }) as typeof clearTimeout;
    Date.now = () => this.#nowMs;
    performance.now = () => this.#nowMs - startMs;
  }

  uninstall(): void {
    globalThis.setTimeout = this.#real.setTimeout;
    globalThis.clearTimeout = this.#real.clearTimeout;
    Date.now = this.#real.now;
    Reflect.deleteProperty(performance, 'now');
  }

  /** The timers that wait. */
  get timers(): number {
    return this.#timers.size;
  }

  /** Lets so much time pass; what becomes due runs in its order. */
  advance(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (let due = this.#nextDue(untilMs); due !== undefined; due = this.#nextDue(untilMs)) {
      const [handle, timer] = due;
      this.#timers.delete(handle);
      this.#nowMs = Math.max(this.#nowMs, timer.atMs);
      timer.callback();
    }
    this.#nowMs = untilMs;
  }

  #nextDue(untilMs: number): [Handle, Timer] | undefined {
    let next: [Handle, Timer] | undefined;
    for (const entry of this.#timers) {
      if (entry[1].atMs <= untilMs && (next === undefined || entry[1].atMs < next[1].atMs)) next = entry;
    }
    return next;
  }
}
