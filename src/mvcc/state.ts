/**
 * The state machine: everything that follows from the log up to one slot. Every replica that applied the same slots has the
 * same State; nothing but `apply` changes it (compaction only drops what can no longer be read).
 */
import { Epochs } from './epochs.ts';
import { KeyIndex } from './key-index.ts';
import { Leases } from './leases.ts';
import type { DecodedBatch, LogRecord, RevisionRecord } from './records.ts';
import { SlotIndex } from './slot-index.ts';
import type { Placed, ValueCache } from './values.ts';

/** etcd's first revision: that of a store without a write. */
export const firstRevision = 1;

export class State {
  readonly index = new KeyIndex();
  readonly leases = new Leases();
  /** Active alarms by `${memberId}/${alarm}`. */
  readonly alarms = new Map<string, { readonly memberId: bigint; readonly alarm: number }>();
  readonly epochs = new Epochs();
  readonly slots: SlotIndex;
  readonly cache: ValueCache;
  clusterId: bigint | undefined;
  /** The newest slot applied; -1: not even genesis. */
  slot: number;
  revision: number;
  /** -1: never compacted, as in etcd (so compacting to 0 works once). */
  compactedRevision = -1;
  /** Key-value changes applied since this process started. */
  readonly applied = { puts: 0, deletes: 0 };

  constructor(cache: ValueCache, slot: number, revision: number) {
    this.cache = cache;
    this.slot = slot;
    this.revision = revision;
    this.slots = new SlotIndex(slot + 1, revision);
  }

  /** Applies the batch of the next slot. Returns its revisions, for the watchers. */
  apply(slot: number, batch: DecodedBatch, nowMs: number): RevisionRecord[] {
    if (slot !== this.slot + 1) throw new Error(`slot ${slot} applied after slot ${this.slot}`);
    if (batch.baseRevision !== this.revision) {
      throw new Error(`slot ${slot} begins after revision ${batch.baseRevision}, the state is at ${this.revision}`);
    }
    const placed = this.cache.place(batch.segment);
    const revisions: RevisionRecord[] = [];
    for (const record of batch.records) {
      if (record.kind === 'revision') {
        this.#applyRevision(record, placed);
        revisions.push(record);
      } else this.#applyRecord(record, nowMs);
    }
    this.slot = slot;
    this.slots.add(this.revision);
    if (placed.segment === batch.segment) this.cache.add(batch.segment);
    return revisions;
  }

  /** Takes over what a checkpoint saved beside the rows. */
  restore(records: readonly LogRecord[], nowMs: number): void {
    for (const record of records) if (record.kind !== 'revision') this.#applyRecord(record, nowMs);
  }

  #applyRevision(record: RevisionRecord, { segment, shift }: Placed): void {
    if (record.revision !== this.revision + 1) {
      throw new Error(`revision ${record.revision} applied after revision ${this.revision}`);
    }
    for (const { key, version } of record.changes) {
      version.segment = segment;
      version.offset += shift;
      const before = this.index.add(key, version);
      this.cache.supersede(before, version);
      const lease = before?.lease ?? 0n;
      if (lease !== version.lease) this.leases.move(key, lease, version.lease);
      if (version.deleted) this.applied.deletes++;
      else this.applied.puts++;
    }
    this.revision = record.revision;
  }

  #applyRecord(record: Exclude<LogRecord, RevisionRecord>, nowMs: number): void {
    switch (record.kind) {
      case 'genesis':
        this.clusterId = record.clusterId;
        break;
      case 'leaseGrant':
        this.leases.grant(record.id, record.ttlSeconds, nowMs);
        break;
      case 'leaseKeepAlive':
        this.leases.renew(record.id, nowMs);
        break;
      case 'leaseRevoke':
        this.leases.revoke(record.id);
        break;
      case 'compact':
        this.compactedRevision = Math.max(this.compactedRevision, record.revision);
        break;
      case 'alarm': {
        const { memberId, alarm } = record;
        const name = `${memberId}/${alarm}`;
        if (record.active) this.alarms.set(name, { memberId, alarm });
        else this.alarms.delete(name);
        break;
      }
      case 'epoch':
        this.epochs.begin(record.replica, record.epoch);
        break;
      case 'forwarded':
        // Of interest to who asked only: see Replica.apply.
        break;
    }
  }
}
