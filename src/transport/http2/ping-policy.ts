/** How often a client may ping: what grpc-go's server enforces, and so etcd. */
import { pingIntervalWithoutCallsMs, pingStrikesMax } from './limits.ts';

export class PingPolicy {
  readonly #intervalMsMin: number;
  #strikes = 0;
  #lastAtMs = Number.NEGATIVE_INFINITY;

  /** `intervalMsMin`: --grpc-keepalive-min-time. */
  constructor(intervalMsMin: number) {
    this.#intervalMsMin = intervalMsMin;
  }

  /**
   * False: too many. `answered`: calls got headers or messages since the last ping; clients measure the connection by pings while they
   * receive, which is welcome.
   */
  allow(nowMs: number, hasCalls: boolean, answered: boolean): boolean {
    const sinceMs = nowMs - this.#lastAtMs;
    this.#lastAtMs = nowMs;
    if (answered) {
      this.#strikes = 0;
      return true;
    }
    if (sinceMs < (hasCalls ? this.#intervalMsMin : pingIntervalWithoutCallsMs)) this.#strikes++;
    return this.#strikes <= pingStrikesMax;
  }
}
