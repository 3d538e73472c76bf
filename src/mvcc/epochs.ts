/**
 * The forwarding epoch of each replica that forwards writes (see forwarder.ts): part of the state, so that all replicas agree
 * on which forwarded requests may still be executed.
 */

/** Replicas whose epoch is kept. The one that began longest ago is forgotten: its requests are refused until it begins anew. */
export const epochsMax = 1024;

export class Epochs {
  readonly #epochs = new Map<bigint, number>();

  get(replica: bigint): number | undefined {
    return this.#epochs.get(replica);
  }

  entries(): IterableIterator<[bigint, number]> {
    return this.#epochs.entries();
  }

  /** Epochs only grow: what arrives late changes nothing. */
  begin(replica: bigint, epoch: number): void {
    if ((this.#epochs.get(replica) ?? 0) >= epoch) return;
    this.#epochs.delete(replica);
    this.#epochs.set(replica, epoch);
    if (this.#epochs.size <= epochsMax) return;
    for (const oldest of this.#epochs.keys()) {
      this.#epochs.delete(oldest);
      return;
    }
  }
}
