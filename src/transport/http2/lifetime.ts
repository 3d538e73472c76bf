/**
 * How long a connection may go without calls, and how long it may live at all: then its client is asked to go (GOAWAY) and makes a
 * new one, by way of whatever distributes connections over replicas. What grpc-go calls MaxConnectionIdle, MaxConnectionAge and
 * MaxConnectionAgeGrace.
 */

export interface LifetimeOptions {
  /** 0: no limit. */
  readonly connectionIdleMsMax: number;
  /** 0: no limit. */
  readonly connectionAgeMsMax: number;
  /** A connection that is asked to go because of its age has so long for its calls, then it is cut. */
  readonly connectionAgeGraceMs: number;
}

interface LimitedConnection {
  /** Closes when the calls that are open have ended. */
  drain(): void;
  destroy(): void;
}

/** Some go earlier by up to this share, so that clients that came together do not come again together. */
const ageSpread = 0.1;

export class Lifetime {
  readonly #options: LifetimeOptions;
  readonly #connection: LimitedConnection;
  /** When the last call ended; undefined: some are open. */
  #idleSinceMs: number | undefined = performance.now();
  #idleTimer: NodeJS.Timeout | undefined;
  #ageTimer: NodeJS.Timeout | undefined;

  constructor(options: LifetimeOptions, connection: LimitedConnection) {
    this.#options = options;
    this.#connection = connection;
    const { connectionIdleMsMax, connectionAgeMsMax } = options;
    if (connectionIdleMsMax > 0) this.#look(connectionIdleMsMax);
    if (connectionAgeMsMax === 0) return;
    this.#ageTimer = setTimeout(() => this.#aged(), connectionAgeMsMax * (1 - ageSpread * Math.random())).unref();
  }

  /** So many calls are open now. */
  calls(open: number): void {
    if (this.#idleTimer !== undefined) this.#idleSinceMs = open > 0 ? undefined : performance.now();
  }

  #look(afterMs: number): void {
    this.#idleTimer = setTimeout(() => this.#decide(), afterMs).unref();
  }

  /** One timer, however many calls there were meanwhile. */
  #decide(): void {
    const { connectionIdleMsMax } = this.#options;
    const idleMs = this.#idleSinceMs === undefined ? 0 : performance.now() - this.#idleSinceMs;
    if (idleMs >= connectionIdleMsMax) this.#connection.drain();
    else this.#look(connectionIdleMsMax - idleMs);
  }

  #aged(): void {
    this.#connection.drain();
    this.#ageTimer = setTimeout(() => this.#connection.destroy(), this.#options.connectionAgeGraceMs).unref();
  }

  stop(): void {
    clearTimeout(this.#idleTimer);
    clearTimeout(this.#ageTimer);
  }
}
