/**
 * The store: what the etcd services call. It ties the parts together: reads from the replica's state, writes through the
 * committer, watches through the hub, and keeps them running in the background.
 *
 * Requests are valid when they come here (etcdserver/validate.ts); the store checks what depends on state: revisions, leases,
 * space.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { Storage } from '../registry/backend.ts';
import type { StorageSize } from '../registry/image.ts';
import { BackendError } from '../registry/log.ts';
import { Alarms } from './alarms.ts';
import { type AutoCompaction, startAutoCompaction } from './auto-compaction.ts';
import type { ResultOf } from './commands.ts';
import { Committer } from './committer.ts';
import { Compactor } from './compactor.ts';
import { Draft, NeedValues } from './draft.ts';
import { StoreError, StoreUnavailable } from './errors.ts';
import { evaluateTxn, isReadOnly, isSerializable, putBytes } from './evaluate.ts';
import { Forwarder } from './forwarder.ts';
import { type Framed, framed, framedKeysMin, unframed } from './framed.ts';
import { hashKeyValues } from './hash.ts';
import { decodeKeyValue } from './key-value.ts';
import { Lessor } from './lessor.ts';
import { assemble, isPlain, needsValues, pushedDownLimit, readRevision } from './range.ts';
import type { Change, RevisionRecord } from './records.ts';
import { genesisBatch, Replica } from './replica.ts';
import type {
  DeleteRangeRequest,
  DeleteRangeResult,
  EncodedKeyValue,
  Key,
  PutRequest,
  PutResult,
  RangeRequest,
  RangeResult,
  TxnRequest,
  TxnResult,
} from './requests.ts';
import { type Selection, Selector } from './selection.ts';
import { TailFollower } from './tail.ts';
import type { Version } from './version.ts';
import { WatchHub } from './watch-hub.ts';

export interface StoreOptions {
  /** What the member id is made of: the same in the same cluster is the same member. */
  readonly memberName: string;
  /** 0: none. */
  readonly quotaBytes: number;
  readonly valueCacheBytes: number;
  readonly autoCompaction: AutoCompaction | undefined;
  readonly observer: StoreObserver;
  /** An invariant is broken or the log holds what this version does not know: the process must end. */
  readonly fatal: (error: unknown) => void;
}

/** What operators want to know; each call must return quickly and not throw. */
export interface StoreObserver {
  committed(requests: number, bytes: number, milliseconds: number): void;
  troubled(kind: string, message: string): void;
  settled(outcome: string): void;
  compacted(revision: number, rows: number, milliseconds: number): void;
  warn(message: string): void;
}

/** A range that visits more keys than this gives other requests a turn in between. */
const keysPerTurn = 10_000;
const now = () => performance.now();

export class Store {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  /** Identifies this process among the replicas: 16 hexadecimal digits. */
  readonly replicaId = randomBytes(8).toString('hex');
  readonly leases: Lessor;
  readonly forwarder: Forwarder;
  readonly alarms: Alarms;
  readonly hub: WatchHub;
  readonly #replica: Replica;
  readonly #committer: Committer;
  readonly #compactor: Compactor;
  readonly #options: StoreOptions;
  readonly #stops: (() => void)[] = [];

  static async open(storage: Storage, options: StoreOptions): Promise<Store> {
    const replica = await Replica.open(storage, { valueCacheBytes: options.valueCacheBytes, now });
    if (replica.state.slot < 0) {
      const clusterId = randomBytes(8).readBigUInt64BE();
      await storage.log.append(-1, `genesis-${clusterId.toString(16)}`, genesisBatch(clusterId));
      // Whoever came first: the cluster is theirs.
      await replica.catchUp();
    }
    const { clusterId } = replica.state;
    if (clusterId === undefined) throw new Error('the log has no genesis record: is this a log of plinth?');
    return new Store(replica, clusterId, options);
  }

  private constructor(replica: Replica, clusterId: bigint, options: StoreOptions) {
    this.#replica = replica;
    this.#options = options;
    this.clusterId = clusterId;
    this.memberId = memberIdOf(clusterId, options.memberName);
    const { observer, fatal } = options;
    const { replicaId } = this;
    this.#committer = new Committer(replica, {
      replicaId,
      now,
      fatal,
      observer,
      committed: (slot, id, data) => this.forwarder.peers.push(slot, id, data),
      linked: (id) => this.forwarder.peers.link(id) !== undefined,
      yields: () => this.forwarder.yields(),
    });
    this.forwarder = new Forwarder(replica, this.#committer, { replicaId, now });
    this.alarms = new Alarms(replica, this.forwarder, this.memberId, options.quotaBytes, now);
    this.leases = new Lessor(replica, this.#committer, this.forwarder, now, (bytes) => this.alarms.checkSpace(bytes));
    this.hub = new WatchHub(replica, fatal);
    this.#compactor = new Compactor(replica, observer, now, fatal);
    replica.onApplied = (revisions, rebuilt) => this.#applied(revisions, rebuilt);
    void this.#compactor.wake();
    if (options.autoCompaction !== undefined) this.#startAutoCompaction(options.autoCompaction);
    if (!replica.storage.log.exclusive) this.#followTail();
  }

  /** Committed and applied here; 1 on an empty store. */
  get revision(): number {
    return this.#replica.state.revision;
  }

  /** -1: never compacted. */
  get compactedRevision(): number {
    return this.#replica.state.compactedRevision;
  }

  /** The newest slot applied here. */
  get slot(): number {
    return this.#replica.state.slot;
  }

  /** The replica that filled the newest slot, as far as this one knows; '' at first. */
  get lastWriter(): string {
    return this.#replica.lastWriter.replicaId;
  }

  /** Milliseconds since the log was last known to have nothing that is not applied here; 0: it is this process's alone. */
  get staleMs(): number {
    return this.#replica.storage.log.exclusive ? 0 : now() - this.#replica.currentAtMs;
  }

  /** Counts for metrics. */
  get counts() {
    const { index, applied, leases, cache } = this.#replica.state;
    return {
      keys: index.liveKeys,
      versions: index.versions,
      puts: applied.puts,
      deletes: applied.deletes,
      leases: leases.size,
      pendingWrites: this.#committer.pending,
      cachedBytes: cache.bytes,
      watchers: this.hub.watchers,
      slowWatchers: this.hub.slowWatchers,
      ...this.forwarder.counts,
    };
  }

  #applied(revisions: readonly RevisionRecord[], rebuilt: boolean): void {
    if (rebuilt) {
      this.hub.rebuilt();
      this.forwarder.rebuilt();
    } else this.hub.applied(revisions);
    this.#compactor.noticed();
  }

  #startAutoCompaction(autoCompaction: AutoCompaction): void {
    const compact = (revision: number) => {
      this.compact(revision, false).catch((error: unknown) => {
        if (error instanceof StoreError && error.reason === 'Compacted') return;
        this.#options.observer.warn(`auto-compaction to revision ${revision}: ${String(error)}`);
      });
    };
    this.#stops.push(startAutoCompaction(autoCompaction, () => this.revision, compact));
  }

  #followTail(): void {
    const tail = new TailFollower(this.#replica, {
      pushed: () => this.forwarder.leavesToOthers(),
      warn: (message) => this.#options.observer.warn(message),
      fatal: this.#options.fatal,
    });
    this.#stops.push(() => tail.stop());
  }

  /** A batch that another replica has committed. */
  pushed(slot: number, id: string, data: Uint8Array): void {
    try {
      if (this.#replica.applyNext(slot, id, data)) return;
    } catch (error) {
      this.#options.fatal(error);
      return;
    }
    // Something is missing before it: it is all in the log. A failure is found by the poll as well, and told there.
    this.#replica.catchUp().catch(() => {});
  }

  /** Returns when everything that was committed before the call is applied here. */
  async barrier(): Promise<void> {
    try {
      await this.#replica.barrier();
    } catch (error) {
      throw unavailable(error);
    }
  }

  range(request: RangeRequest): RangeResult | Promise<RangeResult> {
    if (request.serializable || this.#replica.storage.log.exclusive) return this.#range(request);
    return this.barrier().then(() => this.#range(request));
  }

  #range(request: RangeRequest): RangeResult | Promise<RangeResult> {
    const { state } = this.#replica;
    const current = state.revision;
    const revision = readRevision(request.revision, current, state.compactedRevision);
    if (request.rangeEnd === '' && !request.countOnly && isPlain(request)) {
      const result = this.#single(request.key, revision, current);
      if (result !== undefined) return result;
    }
    const limit = pushedDownLimit(request);
    const selector = new Selector(state.index, request, revision, revision === current, limit, request.countOnly);
    if (!selector.step(keysPerTurn)) return this.#rangeInSteps(request, selector, revision, current);
    return this.#answer(request, selector.selection, revision, current);
  }

  /** The most frequent read of all. undefined: its value is not in memory. */
  #single(key: Key, revision: number, current: number): RangeResult | undefined {
    const { index, cache } = this.#replica.state;
    const version = index.get(key)?.at(revision);
    if (version === undefined || version.deleted) {
      return { kind: 'range', revision: current, kvs: [], more: false, count: 0 };
    }
    const bytes = cache.get(version);
    return bytes && { kind: 'range', revision: current, kvs: [bytes], more: false, count: 1 };
  }

  async #rangeInSteps(
    request: RangeRequest,
    selector: Selector,
    revision: number,
    current: number,
  ): Promise<RangeResult> {
    const { state } = this.#replica;
    do {
      await new Promise((resolve) => setImmediate(resolve));
      if (revision < state.compactedRevision) throw new StoreError('Compacted');
    } while (!selector.step(keysPerTurn));
    return this.#answer(request, selector.selection, revision, current);
  }

  #answer(
    request: RangeRequest,
    selection: Selection,
    revision: number,
    current: number,
  ): RangeResult | Promise<RangeResult> {
    if (isPlain(request)) {
      const result = this.#plainAnswer(request, selection, current);
      if (result !== undefined) return result;
    }
    const found = new Map<Version, Buffer>();
    if (needsValues(request)) {
      const { cache } = this.#replica.state;
      const missing: Change[] = [];
      selection.versions.forEach((version, i) => {
        const bytes = cache.get(version);
        if (bytes !== undefined) found.set(version, bytes);
        else missing.push({ key: selection.keys[i] as string, version });
      });
      if (missing.length > 0) {
        return this.#load(missing, found, revision).then(() => answerFrom(request, selection, current, found));
      }
    }
    return answerFrom(request, selection, current, found);
  }

  /** undefined: a value is not in memory. */
  #plainAnswer({ limit }: RangeRequest, { versions, count }: Selection, revision: number): RangeResult | undefined {
    const { cache } = this.#replica.state;
    const more = limit > 0 && versions.length > limit;
    const length = more ? limit : versions.length;
    if (length >= framedKeysMin) {
      const found = framed(cache, versions, length);
      return found && new FramedRange(found, revision, more, count);
    }
    const kvs: EncodedKeyValue[] = [];
    for (let i = 0; i < length; i++) {
      const bytes = cache.get(versions[i] as Version);
      if (bytes === undefined) return undefined;
      kvs.push(bytes);
    }
    return { kind: 'range', revision, kvs, more, count };
  }

  async #load(missing: readonly Change[], found: Map<Version, Buffer>, revision: number): Promise<void> {
    const { state } = this.#replica;
    try {
      await this.#replica.pin(state, missing, found);
    } catch (error) {
      throw unavailable(error);
    }
    if (missing.every(({ version }) => found.has(version))) return;
    if (revision < this.compactedRevision) throw new StoreError('Compacted');
    throw new Error('a value that is not compacted is missing');
  }

  put(request: PutRequest): Promise<PutResult> {
    return this.#write(request);
  }

  deleteRange(request: DeleteRangeRequest): Promise<DeleteRangeResult> {
    return this.forwarder.execute(request);
  }

  txn(request: TxnRequest): Promise<TxnResult> {
    return isReadOnly(request) ? this.#readOnlyTxn(request) : this.#write(request);
  }

  /** Adds no promise of its own: it is the way of every write. */
  #write<C extends PutRequest | TxnRequest>(request: C): Promise<ResultOf<C>> {
    const bytes = putBytes(request);
    try {
      const doubt = bytes > 0 ? this.alarms.checkSpace(bytes) : undefined;
      if (doubt !== undefined) return doubt.then(() => this.forwarder.execute(request));
    } catch (error) {
      return Promise.reject(error);
    }
    return this.forwarder.execute(request);
  }

  /** Needs no slot in the log, only a view that is current. */
  async #readOnlyTxn(request: TxnRequest): Promise<TxnResult> {
    if (!isSerializable(request)) await this.barrier();
    const pinned = new Map<Version, Buffer>();
    for (;;) {
      const { state } = this.#replica;
      const draft = new Draft(state, 0, { pinned });
      try {
        return draft.attempt(() => evaluateTxn(draft, request));
      } catch (error) {
        if (!(error instanceof NeedValues)) throw error;
        await this.#replica.pin(state, error.items, pinned).catch((failure: unknown) => {
          throw unavailable(failure);
        });
      }
    }
  }

  /** Rejects with Compacted or FutureRevision. `physical`: returns only when the space is free. */
  async compact(revision: number, physical: boolean): Promise<void> {
    await this.forwarder.execute({ kind: 'compact', revision });
    if (physical) await this.#compactor.finished(revision);
  }

  async size(): Promise<StorageSize> {
    try {
      return await this.alarms.size();
    } catch (error) {
      throw unavailable(error);
    }
  }

  /** Over everything that can be read now. */
  async hash(): Promise<number> {
    return (await this.hashKv(0)).hash;
  }

  /** `revision` 0: the current one. Rejects with Compacted or FutureRevision. */
  async hashKv(revision: number): Promise<{ hash: number; hashRevision: number; compactedRevision: number }> {
    if (revision > this.revision) throw new StoreError('FutureRevision');
    const hashRevision = revision <= 0 ? this.revision : revision;
    try {
      return { ...(await hashKeyValues(this.#replica, hashRevision)), hashRevision };
    } catch (error) {
      throw unavailable(error);
    }
  }

  /** Makes what is compacted physical, then gives the free space back. */
  async defragment(): Promise<void> {
    try {
      await this.#compactor.wake();
      await this.#replica.storage.image.reclaim();
    } catch (error) {
      throw unavailable(error);
    }
  }

  /** Commits what is queued, ends the background work. The storage stays open: it belongs to the caller. */
  async close(): Promise<void> {
    for (const stop of this.#stops) stop();
    this.forwarder.close();
    this.leases.close();
    this.hub.close();
    await this.#committer.close();
    await this.#compactor.close();
  }
}

/** The KeyValues one by one are made only for who asks for them. */
class FramedRange implements RangeResult {
  readonly kind = 'range';
  readonly framed: Framed;
  readonly revision: number;
  readonly more: boolean;
  readonly count: number;

  constructor(framed: Framed, revision: number, more: boolean, count: number) {
    this.framed = framed;
    this.revision = revision;
    this.more = more;
    this.count = count;
  }

  get kvs(): EncodedKeyValue[] {
    return unframed(this.framed);
  }
}

function answerFrom(
  request: RangeRequest,
  selection: Selection,
  revision: number,
  found: ReadonlyMap<Version, Buffer>,
): RangeResult {
  const kvOf = ({ version }: { version: Version }): EncodedKeyValue => found.get(version) as Buffer;
  return assemble(request, selection, revision, kvOf, (item) => decodeKeyValue(kvOf(item) as Buffer).value);
}

/** Failures of the database become StoreUnavailable; the rest stays what it is. */
function unavailable(error: unknown): unknown {
  return error instanceof BackendError ? new StoreUnavailable(error.message, false, { cause: error }) : error;
}

/** The same name in the same cluster is the same member, also after a restart or on another machine. */
function memberIdOf(clusterId: bigint, name: string): bigint {
  const digest = createHash('sha256')
    .update(`${clusterId.toString(16)}/${name}`)
    .digest();
  return digest.readBigUInt64BE(0);
}
