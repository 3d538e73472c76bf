/**
 * How much a client may do that is allowed and costs work, but is of no use to anybody: the one answer to floods. Each method throws
 * ConnectionError (ENHANCE_YOUR_CALM) where it was too much, so they are to be called while a frame is handled.
 */
import { Allowance } from './allowance.ts';
import { crumbBytesMax, idleFramesBurst, idleFramesPerSecond } from './limits.ts';
import { PingPolicy } from './ping-policy.ts';
import { tooMuch } from './violations.ts';

export interface PatienceOptions {
  /** Calls that the client may cancel, or make this side reset, at once and per second. */
  readonly cancelledCallsBurst: number;
  readonly cancelledCallsPerSecond: number;
  /** A client may not ping more often. */
  readonly pingIntervalMsMin: number;
}

export class Patience {
  readonly #idleFrames = new Allowance(idleFramesBurst, idleFramesPerSecond);
  readonly #brokenCalls: Allowance;
  readonly #pings: PingPolicy;

  constructor({ cancelledCallsBurst, cancelledCallsPerSecond, pingIntervalMsMin }: PatienceOptions) {
    this.#brokenCalls = new Allowance(cancelledCallsBurst, cancelledCallsPerSecond);
    this.#pings = new PingPolicy(pingIntervalMsMin);
  }

  /** A frame that brings nothing; `count`: as costly as so many. */
  idleFrame(count = 1): void {
    if (!this.#idleFrames.take(count)) throw tooMuch('too many frames to no purpose');
  }

  /** DATA that nobody needs. A large frame costs the client enough. */
  idleData(length: number): void {
    if (length < crumbBytesMax) this.idleFrame();
  }

  /** A call that was begun for nothing, whoever resets it. */
  brokenCall(): void {
    if (!this.#brokenCalls.take()) throw tooMuch('too many broken calls');
  }

  /** `answered`: calls got something since the last one. Clients measure the connection so, a thousand times a second or more. */
  ping(hasCalls: boolean, answered: boolean): void {
    if (!answered) this.idleFrame();
    if (!this.#pings.allow(performance.now(), hasCalls, answered)) throw tooMuch('too_many_pings');
  }
}
