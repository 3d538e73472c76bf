/**
 * Calls whose handler goes on, or whose status is not sent. Not a Set, for the reason that stream-table.ts gives: its outgrown tables would
 * keep calls that are long over.
 */
import type { GrpcCall } from './call.ts';

export class ActiveCalls {
  readonly #calls: GrpcCall[] = [];

  get size(): number {
    return this.#calls.length;
  }

  add(call: GrpcCall): void {
    call.place = this.#calls.push(call) - 1;
  }

  /** Nothing if it is not there. */
  delete(call: GrpcCall): void {
    if (call.place < 0) return;
    const last = this.#calls.pop()!;
    if (last !== call) {
      this.#calls[call.place] = last;
      last.place = call.place;
    }
    call.place = -1;
  }

  all(): GrpcCall[] {
    return [...this.#calls];
  }
}
