/** So many at once, and so many per second: a bucket of tokens. */
export class Allowance {
  readonly #burst: number;
  readonly #perSecond: number;
  readonly #now: () => number;
  #left: number;
  #filledAtMs: number;

  constructor(burst: number, perSecond: number, now = () => performance.now()) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#left = burst;
    this.#now = now;
    this.#filledAtMs = now();
  }

  /** False: it is used up. The clock is only asked when too little is left. */
  take(count = 1): boolean {
    if (this.#left < count) {
      const now = this.#now();
      this.#left = Math.min(this.#burst, this.#left + ((now - this.#filledAtMs) / 1000) * this.#perSecond);
      this.#filledAtMs = now;
      if (this.#left < count) return false;
    }
    this.#left -= count;
    return true;
  }
}
