/**
 * The leases as the log describes them, and which keys hang on them. Expiry is this replica's own monotonic time since the
 * grant or the last renewal was applied here: no clocks are compared, and a restart gives every lease its full TTL again.
 */
import type { Key } from './requests.ts';

export class Lease {
  readonly id: bigint;
  readonly ttlSeconds: number;
  /** On the monotonic clock of this process, milliseconds. */
  expiresAtMs: number;
  /** When a renewal was last in the log; see lessor.ts. */
  recordedAtMs: number;
  readonly keys = new Set<Key>();

  constructor(id: bigint, ttlSeconds: number, nowMs: number) {
    this.id = id;
    this.ttlSeconds = ttlSeconds;
    this.expiresAtMs = nowMs + ttlSeconds * 1000;
    this.recordedAtMs = nowMs;
  }
}

/** One renewal in the log per third of the TTL is enough: every replica allows that much more time (see lessor.ts). */
export function needsRenewal(lease: Lease, nowMs: number): boolean {
  return nowMs - lease.recordedAtMs >= (lease.ttlSeconds * 1000) / 3;
}

export class Leases {
  readonly #leases = new Map<bigint, Lease>();
  /** No lease expires before this: spares the search. */
  #earliestMs = Number.POSITIVE_INFINITY;

  get size(): number {
    return this.#leases.size;
  }

  get(id: bigint): Lease | undefined {
    return this.#leases.get(id);
  }

  values(): IterableIterator<Lease> {
    return this.#leases.values();
  }

  grant(id: bigint, ttlSeconds: number, nowMs: number): void {
    const lease = new Lease(id, ttlSeconds, nowMs);
    this.#leases.set(id, lease);
    this.#earliestMs = Math.min(this.#earliestMs, lease.expiresAtMs);
  }

  renew(id: bigint, nowMs: number): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    lease.expiresAtMs = nowMs + lease.ttlSeconds * 1000;
    lease.recordedAtMs = nowMs;
  }

  revoke(id: bigint): void {
    this.#leases.delete(id);
  }

  /** A key changed its lease; 0n: none. */
  move(key: Key, from: bigint, to: bigint): void {
    if (from !== 0n) this.#leases.get(from)?.keys.delete(key);
    if (to !== 0n) this.#leases.get(to)?.keys.add(key);
  }

  /** Leases that `isOver`, at most `limit`. No lease may be over before it `expiresAtMs`. */
  expired(nowMs: number, isOver: (lease: Lease) => boolean, limit: number): Lease[] {
    if (nowMs < this.#earliestMs) return [];
    const expired: Lease[] = [];
    let earliestMs = Number.POSITIVE_INFINITY;
    for (const lease of this.#leases.values()) {
      if (expired.length < limit && isOver(lease)) expired.push(lease);
      earliestMs = Math.min(earliestMs, lease.expiresAtMs);
    }
    this.#earliestMs = earliestMs;
    return expired;
  }

  /** All leases get their full time again (a fresh start, or the database was out of reach). */
  extendAll(nowMs: number): void {
    for (const lease of this.#leases.values()) lease.expiresAtMs = nowMs + lease.ttlSeconds * 1000;
  }
}
