/**
 * The store as a model: every revision is a full copy of all keys. Slow, plain, and meant to be obviously right. It follows
 * etcd's rules for requests that are valid by themselves, and throws StoreError as the store does.
 */
import { StoreError } from '../../src/mvcc/errors.ts';
import type * as q from '../../src/mvcc/requests.ts';
import { answerRange, binary, contains, holds, type Item, type Keys, within } from './model-range.ts';

export interface Event {
  readonly deleted: boolean;
  readonly kv: Item;
  readonly prevKv: Item | undefined;
}
/** One request under way: what it has done so far, in a revision of its own. */
interface Step {
  readonly keys: Map<q.Key, Item>;
  readonly events: Event[];
}
/** A transaction replaced by the branch that its compares chose. */
type Path = q.RangeRequest | q.PutRequest | q.DeleteRangeRequest | { kind: 'path'; succeeded: boolean; ops: Path[] };

const everything = { key: '\0', rangeEnd: '\0' };

export class Model {
  /** Keys by revision. A store begins at revision 1. */
  readonly history: Keys[] = [new Map(), new Map()];
  readonly events: Event[][] = [[], []];
  readonly leases = new Map<bigint, number>();
  compacted = -1;

  get revision(): number {
    return this.history.length - 1;
  }

  get now(): Keys {
    return this.history.at(-1) as Keys;
  }

  /** What a watch sees of revision `start` and later. */
  watched(filter: q.KeyRange & { noPut: boolean; noDelete: boolean }, start: number): Event[] {
    const events = this.events.slice(start).flat();
    return events.filter(({ deleted, kv }) => contains(filter, kv.key) && !(deleted ? filter.noDelete : filter.noPut));
  }

  /** As it was when `revision` was the current one. */
  at(revision: number): Model {
    const earlier = new Model();
    earlier.history.splice(0, 2, ...this.history.slice(0, revision + 1));
    earlier.compacted = this.compacted;
    return earlier;
  }

  keysOf(lease: bigint): Item[] {
    return within(this.now, everything).filter((item) => item.lease === lease);
  }

  ask(request: q.RangeRequest | q.PutRequest | q.DeleteRangeRequest | q.TxnRequest): object {
    return this.#commit((step) => {
      const path = this.#choose(request);
      this.#check(path, request.kind === 'range');
      return { ...this.#run(path, step), revision: this.#revisionOf(step) };
    });
  }

  compact(revision: number): void {
    if (revision <= this.compacted) throw new StoreError('Compacted');
    if (revision > this.revision) throw new StoreError('FutureRevision');
    this.compacted = revision;
  }

  grant(id: bigint, ttlSeconds: number): void {
    if (this.leases.has(id)) throw new StoreError('LeaseExists');
    this.leases.set(id, ttlSeconds);
  }

  revoke(id: bigint): void {
    if (!this.leases.delete(id)) throw new StoreError('LeaseNotFound');
    this.#commit((step) => this.#delete(this.keysOf(id), step));
  }

  #commit<T>(run: (step: Step) => T): T {
    const step: Step = { keys: new Map(this.now), events: [] };
    const answer = run(step);
    if (step.events.length > 0) {
      this.history.push(step.keys);
      this.events.push(step.events);
    }
    return answer;
  }

  #revisionOf(step: Step): number {
    return this.revision + (step.events.length > 0 ? 1 : 0);
  }

  /** All compares look at the state before, also those of the transactions within. */
  #choose(op: Exclude<q.RequestOp, undefined>): Path {
    if (op.kind !== 'txn') return op;
    const succeeded = op.compare.every((compare) => holds(this.now, compare));
    const ops = (succeeded ? op.success : op.failure).map((inner) => this.#choose(inner as typeof op));
    return { kind: 'path', succeeded, ops };
  }

  /** Whatever can fail does so before anything is done. A plain range takes a negative revision as the current one. */
  #check(op: Path, plain: boolean): void {
    if (op.kind === 'path') for (const inner of op.ops) this.#check(inner, false);
    else if (op.kind === 'put') {
      if (op.lease !== 0n && !this.leases.has(op.lease)) throw new StoreError('LeaseNotFound');
      if ((op.ignoreValue || op.ignoreLease) && !this.now.has(op.key)) throw new StoreError('KeyNotFound');
    } else if (op.kind === 'range' && (plain ? op.revision > 0 : op.revision !== 0)) {
      if (op.revision > this.revision) throw new StoreError('FutureRevision');
      if (op.revision < this.compacted) throw new StoreError('Compacted');
    }
  }

  #run(op: Path, step: Step): object {
    if (op.kind === 'path')
      return { revision: 0, succeeded: op.succeeded, responses: op.ops.map((inner) => this.#run(inner, step)) };
    if (op.kind === 'put') return { prevKv: this.#put(op, step), revision: this.#revisionOf(step) };
    if (op.kind === 'range') {
      const keys = op.revision > 0 ? (this.history[op.revision] as Keys) : step.keys;
      return { ...answerRange(keys, op), revision: this.#revisionOf(step) };
    }
    const items = within(step.keys, op);
    this.#delete(items, step);
    return { deleted: items.length, prevKvs: op.prevKv ? items : [], revision: this.#revisionOf(step) };
  }

  #put(op: q.PutRequest, step: Step): Item | undefined {
    const before = step.keys.get(op.key);
    const modRevision = this.revision + 1;
    const [createRevision, version] = before ? [before.createRevision, before.version + 1] : [modRevision, 1];
    const value = op.ignoreValue && before ? before.value : binary(op.value);
    const lease = op.ignoreLease && before ? before.lease : op.lease;
    const kv = { key: op.key, createRevision, modRevision, version, value, lease };
    step.keys.set(op.key, kv);
    step.events.push({ deleted: false, kv, prevKv: before });
    return op.prevKv ? before : undefined;
  }

  #delete(items: readonly Item[], step: Step): void {
    for (const prevKv of items) {
      step.keys.delete(prevKv.key);
      const kv = {
        key: prevKv.key,
        createRevision: 0,
        modRevision: this.revision + 1,
        version: 0,
        value: '',
        lease: 0n,
      };
      step.events.push({ deleted: true, kv, prevKv });
    }
  }
}
