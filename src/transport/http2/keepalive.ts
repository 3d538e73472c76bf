/** Pings a connection that has been silent, and gives it up where nothing comes then. */

export interface KeepaliveOptions {
  /** 0: never. */
  readonly keepaliveIntervalMs: number;
  readonly keepaliveTimeoutMs: number;
}

export class Keepalive {
  readonly #options: KeepaliveOptions;
  readonly #ping: () => void;
  readonly #giveUp: () => void;
  #heardAtMs = performance.now();
  /** When the ping went out whose answer is awaited. */
  #pingedAtMs: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #afterReading: NodeJS.Immediate | undefined;

  constructor(options: KeepaliveOptions, ping: () => void, giveUp: () => void) {
    this.#options = options;
    this.#ping = ping;
    this.#giveUp = giveUp;
    if (options.keepaliveIntervalMs > 0) this.#look(options.keepaliveIntervalMs);
  }

  /** Something came. */
  heard(): void {
    this.#heardAtMs = performance.now();
  }

  #look(afterMs: number): void {
    this.#timer = setTimeout(() => this.#decide(), afterMs).unref();
  }

  #decide(): void {
    const { keepaliveIntervalMs, keepaliveTimeoutMs } = this.#options;
    if (this.#unanswered) {
      // Where this process was held up, timers come before the answers that have arrived meanwhile: those are read first.
      this.#afterReading = setImmediate(() => (this.#unanswered ? this.#giveUp() : this.#decide()));
      return;
    }
    this.#pingedAtMs = undefined;
    const now = performance.now();
    const silentMs = now - this.#heardAtMs;
    if (silentMs < keepaliveIntervalMs) {
      this.#look(keepaliveIntervalMs - silentMs);
      return;
    }
    this.#pingedAtMs = now;
    this.#ping();
    this.#look(keepaliveTimeoutMs);
  }

  get #unanswered(): boolean {
    return this.#pingedAtMs !== undefined && this.#heardAtMs < this.#pingedAtMs;
  }

  stop(): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#afterReading);
  }
}
