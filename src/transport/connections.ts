/** The connections that a server has taken over, and how it stops: it waits for them, then cuts them. */

export class Connections<C> {
  readonly #open = new Set<C>();
  #onEmpty: (() => void) | undefined;

  add(connection: C): void {
    this.#open.add(connection);
  }

  /** It is closed. */
  delete(connection: C): void {
    this.#open.delete(connection);
    if (this.#open.size === 0) this.#onEmpty?.();
  }

  [Symbol.iterator](): IterableIterator<C> {
    return this.#open.values();
  }

  /** Calls `release` so that they close by themselves, and `cut` if some are left after `graceMs`. Resolves when none is. */
  async end(graceMs: number, release: () => void, cut: () => void): Promise<void> {
    const empty = new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
      if (this.#open.size === 0) resolve();
    });
    const timer = setTimeout(cut, graceMs);
    release();
    await empty;
    clearTimeout(timer);
  }
}
