/** What the calls of one connection share: how much they hold between them. */
import type { Backlog } from '../backlog.ts';
import { requestBytesMax } from './limits.ts';

export class ConnectionCalls {
  readonly backlog: Backlog;
  /** Handlers that run, also of calls that the client has given up. */
  running = 0;
  #requestBytes = 0;

  constructor(backlog: Backlog) {
    this.backlog = backlog;
  }

  /** Of requests, with their header fields, that no handler is done with. */
  get requestBytes(): number {
    return this.#requestBytes;
  }

  /** False: that is too much. It is held all the same until it is released. */
  hold(bytes: number): boolean {
    this.#requestBytes += bytes;
    return this.#requestBytes <= requestBytesMax;
  }

  release(bytes: number): void {
    this.#requestBytes -= bytes;
  }
}
