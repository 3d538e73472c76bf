/**
 * Leases as clients use them. Grant and revoke are records of the log. A keep-alive is one too where replicas share the log,
 * but coalesced: one record per lease and third of its TTL is enough, because every replica allows that much more time
 * before it calls a lease expired. An exclusive log needs none: its only reader renews in memory, and a restart gives every
 * lease its full TTL anyway.
 */
import { randomBytes } from 'node:crypto';
import type { Alarms } from './alarms.ts';
import type { Committer } from './committer.ts';
import { StoreError } from './errors.ts';
import type { Forwarder } from './forwarder.ts';
import { type Lease, needsRenewal } from './leases.ts';
import type { Replica } from './replica.ts';
import type { Key } from './requests.ts';

/** etcd's: ceil(1.5 elections of 1 s). */
export const minTtlSeconds = 2;
export const maxTtlSeconds = 9_000_000_000;
const expiryScanMs = 500;
/** Where another replica writes already, expired leases are left to it for so long: all of them at once would only contend. */
const othersFirstMs = 1000;
/** etcd revokes at most 1000 leases a second. */
const expiredPerScan = 500;

export class Lessor {
  readonly #replica: Replica;
  readonly #committer: Committer;
  readonly #forwarder: Forwarder;
  readonly #now: () => number;
  readonly #checkSpace: Alarms['checkSpace'];
  readonly #scan: NodeJS.Timeout;
  readonly #revoking = new Set<bigint>();
  /** Since the start of this process. */
  readonly counts = { granted: 0, revoked: 0, renewed: 0 };

  constructor(
    replica: Replica,
    committer: Committer,
    forwarder: Forwarder,
    now: () => number,
    checkSpace: Alarms['checkSpace'],
  ) {
    this.#replica = replica;
    this.#committer = committer;
    this.#forwarder = forwarder;
    this.#now = now;
    this.#checkSpace = checkSpace;
    this.#scan = setInterval(() => this.#expire(), expiryScanMs);
    this.#scan.unref();
  }

  close(): void {
    clearInterval(this.#scan);
  }

  /** `id` 0n: one is chosen here. Rejects with LeaseExists, LeaseTtlTooLarge, NoSpace. */
  async grant(id: bigint, ttlSeconds: number): Promise<{ id: bigint; ttlSeconds: number }> {
    if (ttlSeconds > maxTtlSeconds) throw new StoreError('LeaseTtlTooLarge');
    const doubt = this.#checkSpace(leaseSpaceBytes);
    if (doubt !== undefined) await doubt;
    const granted = Math.max(ttlSeconds, minTtlSeconds);
    for (;;) {
      const chosen = id === 0n ? newLeaseId() : id;
      try {
        await this.#forwarder.execute({ kind: 'leaseGrant', id: chosen, ttlSeconds: granted });
        this.counts.granted++;
        return { id: chosen, ttlSeconds: granted };
      } catch (error) {
        const taken = error instanceof StoreError && error.reason === 'LeaseExists';
        if (id !== 0n || !taken) throw error;
      }
    }
  }

  /** Deletes the keys of the lease as well, in one revision. Rejects with LeaseNotFound. */
  async revoke(id: bigint): Promise<void> {
    await this.#forwarder.execute({ kind: 'leaseRevoke', id });
    this.counts.revoked++;
  }

  /** The TTL in seconds that the lease has again; 0: there is no such lease. */
  async keepAlive(id: bigint): Promise<number> {
    const lease = this.#alive(id);
    if (lease === undefined) return 0;
    if (this.#needsRecord(lease)) {
      await this.#forwarder.execute({ kind: 'leaseKeepAlive', id });
      if (this.#alive(id) === undefined) return 0;
    }
    lease.expiresAtMs = this.#now() + lease.ttlSeconds * 1000;
    this.counts.renewed++;
    return lease.ttlSeconds;
  }

  /** undefined: no such lease. The remaining time is floored. */
  timeToLive(id: bigint): { grantedTtlSeconds: number; ttlSeconds: number; keys: () => Key[] } | undefined {
    const lease = this.#alive(id);
    if (lease === undefined) return undefined;
    return {
      grantedTtlSeconds: lease.ttlSeconds,
      ttlSeconds: Math.floor((lease.expiresAtMs - this.#now()) / 1000),
      keys: () => [...lease.keys].sort((a, b) => (a < b ? -1 : 1)),
    };
  }

  #needsRecord(lease: Lease): boolean {
    return !this.#replica.storage.log.exclusive && needsRenewal(lease, this.#now());
  }

  ids(): bigint[] {
    return [...this.#replica.state.leases.values()].map(({ id }) => id);
  }

  #alive(id: bigint): Lease | undefined {
    const lease = this.#replica.state.leases.get(id);
    return lease === undefined || this.#isOver(lease) ? undefined : lease;
  }

  /** A renewal may be a third of a TTL older in the log than it was for the client (see above). */
  #isOver(lease: Lease, patienceMs = 0): boolean {
    return lease.expiresAtMs + this.#slackMs(lease) + patienceMs <= this.#now();
  }

  #slackMs(lease: Lease): number {
    return this.#replica.storage.log.exclusive ? 0 : (lease.ttlSeconds * 1000) / 3;
  }

  #expire(): void {
    const patienceMs = this.#forwarder.leavesToOthers() ? othersFirstMs : 0;
    const isOver = (lease: Lease) => this.#isOver(lease, patienceMs) && !this.#revoking.has(lease.id);
    for (const lease of this.#replica.state.leases.expired(this.#now(), isOver, expiredPerScan)) {
      this.#revoking.add(lease.id);
      void this.#revokeExpired(lease.id);
    }
  }

  async #revokeExpired(id: bigint): Promise<void> {
    try {
      await this.#committer.propose(leaseRecordBytes, (draft) => {
        // It may have been renewed, revoked or granted anew since.
        const lease = draft.state.leases.get(id);
        if (lease !== undefined && this.#isOver(lease) && draft.hasLease(id)) draft.revokeLease(id);
      });
      this.counts.revoked++;
    } catch {
      // The database is out of reach, or another replica is faster: the next scan tries again. It expires late, never early.
    } finally {
      this.#revoking.delete(id);
    }
  }
}

/** What a record of a lease takes in a batch, roughly … */
const leaseRecordBytes = 32;
/** … and what etcd counts for a lease. */
const leaseSpaceBytes = 64;

/** A random positive number of 63 bits, as etcd's. */
function newLeaseId(): bigint {
  for (;;) {
    const id = randomBytes(8).readBigUInt64BE() >> 1n;
    if (id !== 0n) return id;
  }
}
