/**
 * A batch being put together: requests are evaluated one after the other against the state plus what the requests before
 * them did (the overlay). Nothing of it is visible to anybody until the log has taken the batch.
 *
 * A request either succeeds as a whole or leaves no trace: `attempt` takes everything back if it throws.
 */
import { StoreError } from './errors.ts';
import { decodeKeyValue } from './key-value.ts';
import { BatchWriter, type Change, type DecodedBatch, type LogRecord, type RevisionRecord } from './records.ts';
import type { EncodedKeyValue, Key, KeyRange } from './requests.ts';
import { type Selection, Selector, upperEnd } from './selection.ts';
import type { State } from './state.ts';
import type { Version } from './version.ts';

/** Thrown within a draft: these values are not in memory. Load them into `Draft.pinned` and evaluate the request again. */
export class NeedValues extends Error {
  readonly items: readonly Change[];

  constructor(items: readonly Change[]) {
    super('values are not in memory');
    this.items = items;
  }
}

/** Who asked for a request that was forwarded: noted in the log with what it changed. */
export interface Origin {
  readonly replica: bigint;
  readonly sequence: number;
}

export interface DraftOptions {
  /** Values loaded for this batch. */
  readonly pinned?: Map<Version, Buffer>;
  /**
   * The draft starts from the keys as they were at this revision (not compacted), to find out once more what a request that
   * has succeeded then was answered. Nothing can be made of such a draft.
   */
  readonly asOf?: number;
}

export class Draft {
  readonly state: State;
  readonly baseSlot: number;
  readonly #writer: BatchWriter;
  readonly #records: LogRecord[] = [];
  /** Versions made in this batch, ascending, by key. */
  readonly #overlay = new Map<Key, Version[]>();
  /** Leases granted (their TTL) or revoked (undefined) in this batch. */
  readonly #leases = new Map<bigint, number | undefined>();
  /** Values loaded for this batch: they cannot be dropped before it is done. */
  readonly pinned: Map<Version, Buffer>;
  readonly #stateRevision: number;
  readonly #past: boolean;
  #revision: number;
  #compactedRevision: number;
  /** Changes of the request under way; its revision exists if there are any. None between requests. */
  #changes: Change[] = [];
  /** How to take back what the request under way did to leases. None between requests. */
  #undo: (() => void)[] = [];

  constructor(state: State, capacity: number, { pinned = new Map(), asOf }: DraftOptions = {}) {
    this.state = state;
    this.pinned = pinned;
    this.baseSlot = state.slot;
    this.#past = asOf !== undefined;
    this.#stateRevision = asOf ?? state.revision;
    this.#revision = this.#stateRevision;
    this.#compactedRevision = state.compactedRevision;
    this.#writer = new BatchWriter(this.#stateRevision, capacity);
  }

  /** The revision that the request under way started from. */
  get baseRevision(): number {
    return this.#revision;
  }

  /** What a read of the request under way sees as current: one more once it has changed something. */
  get revision(): number {
    return this.#changes.length > 0 ? this.#revision + 1 : this.#revision;
  }

  get compactedRevision(): number {
    return this.#compactedRevision;
  }

  get bytes(): number {
    return this.#writer.length;
  }

  get empty(): boolean {
    return this.#records.length === 0;
  }

  /**
   * Evaluates one request. If it throws, the draft is as it was before. Throws RequestTooLarge if the batch would pass
   * `bytesMax`. `origin` is noted if the request changes anything.
   */
  attempt<T>(run: (draft: Draft) => T, bytesMax = Number.POSITIVE_INFINITY, origin?: Origin): T {
    const length = this.#writer.length;
    const records = this.#records.length;
    const compactedRevision = this.#compactedRevision;
    try {
      if (origin !== undefined) this.record({ kind: 'forwarded', ...origin });
      const result = run(this);
      if (origin !== undefined && this.#changes.length === 0 && this.#records.length === records + 1) {
        this.#writer.resetTo(length);
        this.#records.length = records;
      }
      if (this.#writer.length >= bytesMax) throw new StoreError('RequestTooLarge');
      this.#endRevision();
      return result;
    } catch (error) {
      this.#takeBack();
      this.#writer.resetTo(length);
      this.#records.length = records;
      this.#compactedRevision = compactedRevision;
      throw error;
    } finally {
      if (this.#undo.length > 0) this.#undo = [];
    }
  }

  #takeBack(): void {
    for (const { key } of this.#changes) {
      const versions = this.#overlay.get(key) as Version[];
      versions.pop();
      if (versions.length === 0) this.#overlay.delete(key);
    }
    this.#changes = [];
    for (const undo of this.#undo.reverse()) undo();
  }

  #endRevision(): void {
    if (this.#changes.length === 0) return;
    this.#writer.endRevision();
    this.#revision++;
    const record: RevisionRecord = { kind: 'revision', revision: this.#revision, changes: this.#changes };
    this.#records.push(record);
    this.#changes = [];
  }

  /** The batch, ready for the log, and the same as the state will apply it. */
  seal(): { data: Buffer; batch: DecodedBatch } {
    const data = this.#writer.seal();
    return {
      data,
      batch: { baseRevision: this.#stateRevision, records: this.#records, segment: this.#writer.segment },
    };
  }

  /** The version of a key that is current now, perhaps a deletion. */
  latest(key: Key): Version | undefined {
    const entry = this.state.index.get(key);
    return this.#overlay.get(key)?.at(-1) ?? (this.#past ? entry?.at(this.#stateRevision) : entry?.latest);
  }

  /** As `latest`, but undefined for a deleted key. */
  live(key: Key): Version | undefined {
    const version = this.latest(key);
    return version === undefined || version.deleted ? undefined : version;
  }

  #at(key: Key, revision: number): Version | undefined {
    const own = this.#overlay.get(key)?.findLast((version) => version.modRevision <= revision);
    return own ?? this.state.index.get(key)?.at(Math.min(revision, this.#stateRevision));
  }

  /** What a range at `revision` selects, including what this batch did so far. */
  select(range: KeyRange, revision: number, limit: number, countOnly: boolean): Selection {
    if (range.rangeEnd === '') {
      const version = this.#at(range.key, revision);
      if (version === undefined || version.deleted) return { keys: [], versions: [], count: 0 };
      return { keys: countOnly ? [] : [range.key], versions: countOnly ? [] : [version], count: 1 };
    }
    const to = upperEnd(range);
    const own: Key[] = [];
    for (const key of this.#overlay.keys()) {
      if (key >= range.key && (to === undefined || key < to)) own.push(key);
    }
    const committed = Math.min(revision, this.#stateRevision);
    const latest = committed === this.state.revision;
    const selector = new Selector(
      this.state.index,
      range,
      committed,
      latest,
      own.length === 0 ? limit : 0,
      own.length === 0 && countOnly,
    );
    selector.step(Number.POSITIVE_INFINITY);
    if (own.length === 0) return selector.selection;
    return this.#merge(selector.selection, own, revision, limit, countOnly);
  }

  #merge(committed: Selection, own: readonly Key[], revision: number, limit: number, countOnly: boolean): Selection {
    const byKey = new Map<Key, Version>();
    committed.keys.forEach((key, i) => {
      byKey.set(key, committed.versions[i] as Version);
    });
    for (const key of own) {
      const version = this.#at(key, revision);
      if (version === undefined || version.deleted) byKey.delete(key);
      else byKey.set(key, version);
    }
    const keys = [...byKey.keys()].sort((a, b) => (a < b ? -1 : 1));
    const count = keys.length;
    if (countOnly) keys.length = 0;
    else if (limit > 0 && keys.length > limit) keys.length = limit;
    return { keys, versions: keys.map((key) => byKey.get(key) as Version), count };
  }

  /** The encoded KeyValues of these versions; throws NeedValues for what is not in memory. */
  keyValues(items: readonly Change[]): EncodedKeyValue[] {
    const missing: Change[] = [];
    const found: EncodedKeyValue[] = [];
    for (const item of items) {
      const bytes = this.pinned.get(item.version) ?? this.state.cache.get(item.version);
      if (bytes === undefined) missing.push(item);
      else found.push(bytes);
    }
    if (missing.length > 0) throw new NeedValues(missing);
    return found;
  }

  keyValue(key: Key, version: Version): EncodedKeyValue {
    return this.keyValues([{ key, version }])[0] as EncodedKeyValue;
  }

  value(key: Key, version: Version): Uint8Array {
    return decodeKeyValue(this.keyValue(key, version) as Buffer).value;
  }

  put(key: Key, value: Uint8Array, lease: bigint): void {
    const before = this.live(key);
    const modRevision = this.#revision + 1;
    this.#change(
      {
        key,
        createRevision: before === undefined ? modRevision : before.createRevision,
        modRevision,
        version: before === undefined ? 1 : before.version + 1,
        lease,
      },
      value,
    );
  }

  /** Deletes a key that is live. */
  delete(key: Key): void {
    this.#change({ key, createRevision: 0, modRevision: this.#revision + 1, version: 0, lease: 0n }, undefined);
  }

  #change(head: Parameters<BatchWriter['change']>[0], value: Uint8Array | undefined): void {
    if (this.#changes.length === 0) this.#writer.beginRevision();
    const version = this.#writer.change(head, value);
    this.#changes.push({ key: head.key, version });
    const versions = this.#overlay.get(head.key);
    if (versions === undefined) this.#overlay.set(head.key, [version]);
    else versions.push(version);
  }

  hasLease(id: bigint): boolean {
    // In the past it was there, or the request would not have succeeded.
    if (this.#past) return true;
    return this.#leases.has(id) ? this.#leases.get(id) !== undefined : this.state.leases.get(id) !== undefined;
  }

  grantLease(id: bigint, ttlSeconds: number): void {
    if (this.hasLease(id)) throw new StoreError('LeaseExists');
    this.#setLease(id, ttlSeconds);
    this.record({ kind: 'leaseGrant', id, ttlSeconds });
  }

  /** Revokes a lease and deletes its keys, in key order, in one revision. */
  revokeLease(id: bigint): void {
    if (!this.hasLease(id)) throw new StoreError('LeaseNotFound');
    const keys: Key[] = [];
    for (const key of this.state.leases.get(id)?.keys ?? []) if (this.live(key)?.lease === id) keys.push(key);
    for (const [key, versions] of this.#overlay) {
      const attachedHere = versions.at(-1)?.lease === id && this.state.index.get(key)?.latest.lease !== id;
      if (attachedHere) keys.push(key);
    }
    keys.sort((a, b) => (a < b ? -1 : 1));
    this.#setLease(id, undefined);
    this.record({ kind: 'leaseRevoke', id });
    for (const key of keys) this.delete(key);
  }

  #setLease(id: bigint, ttlSeconds: number | undefined): void {
    const known = this.#leases.has(id);
    const before = this.#leases.get(id);
    this.#leases.set(id, ttlSeconds);
    this.#undo.push(() => (known ? this.#leases.set(id, before) : this.#leases.delete(id)));
  }

  compact(revision: number): void {
    this.#compactedRevision = revision;
    this.record({ kind: 'compact', revision });
  }

  /** Adds a record that is not a revision. Must come before the changes of the same request. */
  record(record: Exclude<LogRecord, RevisionRecord>): void {
    if (this.#changes.length > 0) throw new Error(`a ${record.kind} record within a revision`);
    this.#writer.record(record);
    this.#records.push(record);
  }
}
