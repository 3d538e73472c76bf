/**
 * Bounds what one connection makes the server hold: replies of unary calls that the client has not read yet. A client that
 * keeps asking and does not read gets its next calls started only when it has read.
 */
export class Backlogs {
  /** Unsent reply bytes from which on a connection's next calls wait. */
  readonly bytesMax: number;
  readonly #byConnection = new Map<string, Backlog>();

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** Each call joins once and leaves once. `connection` names the client's end; all clients of a Unix socket share one. */
  join(connection: string): Backlog {
    let backlog = this.#byConnection.get(connection);
    if (!backlog) {
      backlog = new Backlog(this.bytesMax, () => this.#byConnection.delete(connection));
      this.#byConnection.set(connection, backlog);
    }
    backlog.calls++;
    return backlog;
  }

  /** Connections with calls under way. */
  get size(): number {
    return this.#byConnection.size;
  }
}

/** Of one connection. */
export class Backlog {
  calls = 0;
  readonly #bytesMax: number;
  readonly #onEmpty: () => void;
  #bytes = 0;
  #starting = false;
  readonly #waiting = new Set<() => void>();

  constructor(bytesMax: number, onEmpty: () => void) {
    this.#bytesMax = bytesMax;
    this.#onEmpty = onEmpty;
  }

  /** The client does not keep up. */
  get full(): boolean {
    return this.#bytes >= this.#bytesMax;
  }

  /** Calls `start` now if the client keeps up, else as soon as it has caught up. */
  admit(start: () => void): void {
    if (this.full) this.#waiting.add(start);
    else start();
  }

  /** Unsent reply bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  add(bytes: number): void {
    this.#bytes += bytes;
  }

  remove(bytes: number): void {
    this.#bytes -= bytes;
    // A call that answers at once removes what it added: that must not begin this anew, one call inside the other.
    if (this.#starting) return;
    this.#starting = true;
    try {
      for (const start of this.#waiting) {
        if (this.full) break;
        this.#waiting.delete(start);
        start();
      }
    } finally {
      this.#starting = false;
    }
  }

  /** If `start` still waits it never runs. */
  forget(start: () => void): void {
    this.#waiting.delete(start);
  }

  /** The call is over. */
  leave(start: () => void): void {
    this.forget(start);
    if (--this.calls === 0) this.#onEmpty();
  }
}
