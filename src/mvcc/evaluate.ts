/**
 * What requests do, evaluated on a draft: etcd's rules of applying (server/etcdserver/txn). A transaction first takes all its
 * compares, nested ones too, on the state before it, then checks everything that can fail on the chosen path, then runs. So
 * nothing is ever half done.
 */
import type { Draft } from './draft.ts';
import { StoreError } from './errors.ts';
import { assemble, needsValues, pushedDownLimit, readRevision } from './range.ts';
import {
  type Compare,
  CompareResult,
  CompareTarget,
  type DeleteRangeRequest,
  type DeleteRangeResult,
  type OpResult,
  type PutRequest,
  type PutResult,
  type RangeRequest,
  type RangeResult,
  type RequestOp,
  type TxnRequest,
  type TxnResult,
} from './requests.ts';
import { itemsOf } from './selection.ts';
import type { Version } from './version.ts';

export function evaluatePut(draft: Draft, request: PutRequest): PutResult {
  checkPut(draft, request);
  return put(draft, request);
}

/** `ignore_value` and `ignore_lease` take over what is there, so something must be. */
function checkPut(draft: Draft, request: PutRequest): void {
  if (request.lease !== 0n && !draft.hasLease(request.lease)) throw new StoreError('LeaseNotFound');
  if ((request.ignoreValue || request.ignoreLease) && draft.live(request.key) === undefined) {
    throw new StoreError('KeyNotFound');
  }
}

function put(draft: Draft, request: PutRequest): PutResult {
  const { key } = request;
  const before = draft.live(key);
  const prevKv = request.prevKv && before !== undefined ? draft.keyValue(key, before) : undefined;
  const value = request.ignoreValue ? draft.value(key, before as Version) : request.value;
  const lease = request.ignoreLease ? (before as Version).lease : request.lease;
  draft.put(key, value, lease);
  return { kind: 'put', revision: draft.revision, prevKv };
}

export function evaluateDeleteRange(draft: Draft, request: DeleteRangeRequest): DeleteRangeResult {
  const selection = draft.select(request, draft.revision, 0, false);
  const { keys } = selection;
  const prevKvs = request.prevKv ? draft.keyValues(itemsOf(selection)) : [];
  for (const key of keys) draft.delete(key);
  return { kind: 'deleteRange', revision: draft.revision, deleted: keys.length, prevKvs };
}

/** A range within a transaction: it sees what the operations before it did. */
function evaluateRange(draft: Draft, request: RangeRequest): RangeResult {
  const revision = readRevision(request.revision, draft.revision, draft.compactedRevision);
  const limit = pushedDownLimit(request);
  const selection = draft.select(request, revision, limit, request.countOnly);
  if (needsValues(request)) {
    // All at once, so that what is missing is loaded in one call.
    draft.keyValues(itemsOf(selection));
  }
  return assemble(
    request,
    selection,
    draft.revision,
    ({ key, version }) => draft.keyValue(key, version),
    ({ key, version }) => draft.value(key, version),
  );
}

export function evaluateTxn(draft: Draft, request: TxnRequest): TxnResult {
  const path = choosePath(draft, request);
  checkPath(draft, path);
  return { ...runPath(draft, path), revision: draft.revision };
}

/** A transaction after its compares: which branch runs, and the same for the transactions within. */
interface Path {
  readonly succeeded: boolean;
  readonly ops: readonly (Exclude<RequestOp, TxnRequest> | Path)[];
}

function choosePath(draft: Draft, request: TxnRequest): Path {
  const succeeded = request.compare.every((compare) => holds(draft, compare));
  const ops = succeeded ? request.success : request.failure;
  return { succeeded, ops: ops.map((op) => (op?.kind === 'txn' ? choosePath(draft, op) : op)) };
}

function isPath(op: Exclude<RequestOp, TxnRequest> | Path): op is Path {
  return op !== undefined && 'ops' in op;
}

function checkPath(draft: Draft, path: Path): void {
  for (const op of path.ops) {
    if (op === undefined) continue;
    if (isPath(op)) checkPath(draft, op);
    else if (op.kind === 'put') checkPut(draft, op);
    else if (op.kind === 'range' && op.revision !== 0) {
      // Unlike a plain Range, etcd compares a negative revision here as it is.
      if (op.revision > draft.baseRevision) throw new StoreError('FutureRevision');
      if (op.revision < draft.compactedRevision) throw new StoreError('Compacted');
    }
  }
}

/** The revision in a sub-response is what that operation saw; the header of a nested transaction is empty (0). */
function runPath(draft: Draft, path: Path): TxnResult {
  const responses: OpResult[] = [];
  for (const op of path.ops) {
    if (op === undefined) continue;
    if (isPath(op)) responses.push(runPath(draft, op));
    else if (op.kind === 'range') responses.push(evaluateRange(draft, op));
    else if (op.kind === 'put') responses.push(put(draft, op));
    else responses.push(evaluateDeleteRange(draft, op));
  }
  return { kind: 'txn', revision: 0, succeeded: path.succeeded, responses };
}

/** Every key of the range must satisfy the compare. What is missing compares as zero, but never by VALUE. */
function holds(draft: Draft, compare: Compare): boolean {
  if (compare.rangeEnd === '' && compare.target !== CompareTarget.VALUE) {
    return satisfies(compare, draft.live(compare.key), noBytes);
  }
  const items = itemsOf(draft.select(compare, draft.revision, 0, false));
  const byValue = compare.target === CompareTarget.VALUE;
  if (items.length === 0) return !byValue && satisfies(compare, undefined, noBytes);
  // All at once, so that what is missing is loaded in one call.
  if (byValue) draft.keyValues(items);
  return items.every(({ key, version }) => satisfies(compare, version, byValue ? draft.value(key, version) : noBytes));
}

const noBytes: Uint8Array = Buffer.alloc(0);

function satisfies(compare: Compare, version: Version | undefined, value: Uint8Array): boolean {
  const order = orderOf(compare, version, value);
  switch (compare.result) {
    case CompareResult.EQUAL:
      return order === 0;
    case CompareResult.NOT_EQUAL:
      return order !== 0;
    case CompareResult.GREATER:
      return order > 0;
    case CompareResult.LESS:
      return order < 0;
    default:
      return true;
  }
}

function orderOf(compare: Compare, version: Version | undefined, value: Uint8Array): number {
  switch (compare.target) {
    case CompareTarget.VERSION:
      return (version?.version ?? 0) - compare.number;
    case CompareTarget.CREATE:
      return (version?.createRevision ?? 0) - compare.number;
    case CompareTarget.MOD:
      return (version?.modRevision ?? 0) - compare.number;
    case CompareTarget.VALUE:
      return Buffer.compare(value, compare.value);
    case CompareTarget.LEASE: {
      const lease = version?.lease ?? 0n;
      return lease < compare.lease ? -1 : lease > compare.lease ? 1 : 0;
    }
    default:
      return 0;
  }
}

/** Whether a transaction can only read, as etcd decides it: a nested transaction counts as a write. */
export function isReadOnly(request: TxnRequest): boolean {
  return [...request.success, ...request.failure].every((op) => op?.kind === 'range');
}

/** Whether such a transaction may be answered without proof that the view is current. */
export function isSerializable(request: TxnRequest): boolean {
  return [...request.success, ...request.failure].every((op) => op?.kind === 'range' && op.serializable);
}

/** What the puts of a request add, for limits and quota: see etcd's costPut and costTxn. */
export function putBytes(request: RequestOp): number {
  if (request === undefined) return 0;
  if (request.kind === 'put') return putOverheadBytes + request.key.length + request.value.length;
  if (request.kind !== 'txn') return 0;
  const cost = (ops: readonly RequestOp[]) => ops.reduce((sum, op) => sum + putBytes(op), 0);
  return Math.max(cost(request.success), cost(request.failure));
}

/** What a batch has beside key and value: the other fields of the KeyValue, at most, and the record around it. */
const putOverheadBytes = 64;
