/**
 * This process's copy of the state and its place in the log: how it starts, follows the tail, proves that it has everything,
 * and starts anew when the log was truncated past it.
 */
import type { Storage } from '../registry/backend.ts';
import type { ImageRowHead } from '../registry/image.ts';
import type { ReadLimit } from '../registry/log.ts';
import { keyOf } from './key-value.ts';
import { loadKeyValues } from './loader.ts';
import {
  BatchWriter,
  type Change,
  type DecodedBatch,
  decodeBatch,
  type LogRecord,
  type RevisionRecord,
} from './records.ts';
import { notLoaded } from './segment.ts';
import { firstRevision, State } from './state.ts';
import { ValueCache } from './values.ts';
import { isSameVersion, Version } from './version.ts';

export interface ReplicaOptions {
  readonly valueCacheBytes: number;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/** The named record of the image that holds what is not a key; encoded as a batch. */
const stateRecord = 'state';
const tailBatches = 500;

export class Replica {
  readonly storage: Storage;
  readonly #options: ReplicaOptions;
  #state: State;
  /** Where the image's mark stood when it was last known here. */
  imageRevision = 0;
  /** Called after each batch with its revisions, and with `rebuilt` when the state was replaced by a newer one. */
  onApplied: (revisions: readonly RevisionRecord[], rebuilt: boolean) => void = () => {};
  /** Called before `onApplied` for each batch. */
  onRecords: (records: readonly LogRecord[]) => void = () => {};
  /** The replica that filled the newest slot, as far as this one knows, and when that was learned here. A hint. */
  lastWriter: { readonly replicaId: string; readonly atMs: number } = { replicaId: '', atMs: Number.NEGATIVE_INFINITY };
  /** When last another replica filled the newest slot than the one before. */
  writerChange: { readonly from: string; readonly to: string; readonly atMs: number } | undefined;
  /** When everything that the log had was last known to be applied here; for operators. */
  currentAtMs = Number.NEGATIVE_INFINITY;
  /** Batches that were applied because the log was read: neither committed here nor pushed. */
  foundBatches = 0;
  /** The barrier that is reading now, and the one that waits for it. */
  #reading: Promise<void> | undefined;
  #waiting: Promise<void> | undefined;

  private constructor(storage: Storage, options: ReplicaOptions) {
    this.storage = storage;
    this.#options = options;
    this.#state = new State(new ValueCache(options.valueCacheBytes), -1, firstRevision);
  }

  static async open(storage: Storage, options: ReplicaOptions): Promise<Replica> {
    const replica = new Replica(storage, options);
    await replica.#rebuild();
    return replica;
  }

  get state(): State {
    return this.#state;
  }

  /** Applies a batch unless that slot was applied already (by the tail, while our own append was on its way back). */
  apply(slot: number, id: string, batch: DecodedBatch): void {
    if (slot <= this.#state.slot) return;
    const now = this.#options.now();
    const revisions = this.#state.apply(slot, batch, now);
    // Who only begins an epoch, or the keyspace, does not take over the writing.
    if (batch.records.some(({ kind }) => kind !== 'epoch' && kind !== 'genesis')) {
      const replicaId = writerOf(id);
      const before = this.lastWriter.replicaId;
      if (before !== '' && before !== replicaId) this.writerChange = { from: before, to: replicaId, atMs: now };
      this.lastWriter = { replicaId, atMs: now };
    }
    this.onRecords(batch.records);
    this.onApplied(revisions, false);
  }

  /** Applies a batch of the log unless that was done already. False: there is a gap before it. */
  applyNext(slot: number, id: string, data: Uint8Array): boolean {
    if (slot > this.#state.slot + 1) return false;
    if (slot === this.#state.slot + 1) this.apply(slot, id, decodeBatch(data));
    return true;
  }

  /**
   * Returns when everything is applied here that was committed before the call. Calls that wait at the same moment share
   * one read of the tail.
   */
  barrier(): Promise<void> {
    if (this.storage.log.exclusive) return resolved;
    return this.catchUp();
  }

  /** As `barrier`, but reads the tail even of an exclusive log (to learn what became of an append). */
  catchUp(): Promise<void> {
    // A read that already runs may have begun before something that this caller must see: wait for the next one.
    this.#waiting ??= this.#afterReading();
    return this.#waiting;
  }

  async #afterReading(): Promise<void> {
    await this.#reading?.catch(() => {});
    this.#reading = this.#waiting;
    this.#waiting = undefined;
    await this.#followTail();
  }

  async #followTail(): Promise<void> {
    const { log } = this.storage;
    const limit: ReadLimit = { batches: tailBatches, bytes: 2 * log.batchBytesMax };
    for (;;) {
      const startedAtMs = this.#options.now();
      const batches = await log.read(this.#state.slot, limit);
      if (batches.length === 0) {
        this.currentAtMs = startedAtMs;
        return;
      }
      let bytes = 0;
      let complete = batches.length < limit.batches;
      const before = this.#state.slot;
      for (const { slot, id, data } of batches) {
        if (!this.applyNext(slot, id, data)) {
          await this.#rebuild();
          complete = false;
          break;
        }
        bytes += data.byteLength;
      }
      this.foundBatches += this.#state.slot - before;
      // An answer that no limit can have cut has everything that was there when the read began. Reading on until nothing is
      // left might never end while others write.
      if (complete && bytes <= limit.bytes - log.batchBytesMax) {
        this.currentAtMs = startedAtMs;
        return;
      }
    }
  }

  /**
   * Loads values that a reader of `state` needs into `pinned`, where they stay whatever the cache does. A value that the
   * storage no longer has was compacted away, here or by another replica: it is left out, and the state knows of that
   * compaction when this resolves.
   */
  async pin(state: State, items: readonly Change[], pinned: Map<Version, Buffer>): Promise<void> {
    const found = await loadKeyValues(this.storage, state, items);
    for (const [version, bytes] of found) pinned.set(version, bytes);
    if (items.every(({ version }) => found.has(version))) return;
    await this.catchUp();
    if (this.#state !== state) return;
    for (const item of items) {
      if (!found.has(item.version) && isReadable(state, item)) {
        throw new Error(`the storage has lost the value of a key at revision ${item.version.modRevision}`);
      }
    }
  }

  async #rebuild(): Promise<void> {
    const { mark, records, rows, batches } = await this.storage.image.scan();
    const cache = new ValueCache(this.#options.valueCacheBytes);
    const state = new State(cache, mark.slot, mark.slot < 0 ? firstRevision : mark.revision);
    const now = this.#options.now();
    const saved = records.find(({ name }) => name === stateRecord);
    if (saved !== undefined) state.restore(decodeBatch(saved.data).records, now);
    for await (const chunk of rows) for (const row of chunk) addRow(state, row, mark.revision);
    for await (const chunk of batches) for (const { slot, data } of chunk) state.apply(slot, decodeBatch(data), now);
    state.leases.extendAll(this.#options.now());
    this.imageRevision = mark.revision;
    this.#state = state;
    this.onApplied([], true);
  }
}

const resolved = Promise.resolve();

/** Batch ids are `<replica id>-<number>`; genesis has one of its own. */
function writerOf(batchId: string): string {
  return batchId.slice(0, batchId.lastIndexOf('-'));
}

/** Whether a range at the compacted revision or a later one can select this version, or a watch tell of it. */
function isReadable(state: State, { key, version }: Change): boolean {
  const { compactedRevision } = state;
  if (version.modRevision >= compactedRevision) return true;
  return !version.deleted && isSameVersion(version, state.index.get(key)?.at(compactedRevision));
}

/** Rows newer than the mark belong to an unfinished checkpoint; the log still has all that they stand for. */
function addRow(state: State, row: ImageRowHead, markRevision: number): void {
  if (row.modRevision > markRevision) return;
  const key = keyOf(row.key);
  state.index.add(key, new Version(row.modRevision, row.createRevision, row.version, row.lease, notLoaded, 0, 0));
  if (row.lease !== 0n) state.leases.move(key, 0n, row.lease);
}

/** What a checkpoint has to keep beside the rows. It may be newer than the mark: replaying the log over it ends the same. */
export function saveState(state: State): { name: string; data: Uint8Array } {
  const writer = new BatchWriter(0, 64 + state.leases.size * 24);
  if (state.clusterId !== undefined) writer.record({ kind: 'genesis', clusterId: state.clusterId });
  for (const { id, ttlSeconds } of state.leases.values()) writer.record({ kind: 'leaseGrant', id, ttlSeconds });
  for (const { memberId, alarm } of state.alarms.values()) {
    writer.record({ kind: 'alarm', memberId, alarm, active: true });
  }
  for (const [replica, epoch] of state.epochs.entries()) writer.record({ kind: 'epoch', replica, epoch });
  return { name: stateRecord, data: writer.seal() };
}

/** Slot 0 of a new keyspace. */
export function genesisBatch(clusterId: bigint): Uint8Array {
  const writer = new BatchWriter(firstRevision, 32);
  writer.record({ kind: 'genesis', clusterId });
  return writer.seal();
}
