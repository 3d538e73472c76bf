/** What etcd checks of a request before it touches the store, in etcd's order. Throws StoreError. */
import { StoreError } from '../mvcc/errors.ts';
import {
  type DeleteRangeRequest,
  type PutRequest,
  type RangeRequest,
  type RequestOp,
  SortOrder,
  SortTarget,
  type TxnRequest,
} from '../mvcc/requests.ts';
import { varintSize } from '../proto/wire.ts';
import { checkNoKeyIsWrittenTwice } from './txn-keys.ts';

export function checkRange({ key, sortOrder, sortTarget }: RangeRequest): void {
  if (key === '') throw new StoreError('EmptyKey');
  if (!isSortOrder(sortOrder) || !isSortTarget(sortTarget)) throw new StoreError('InvalidSortOption');
}

const isSortOrder = (number: number): boolean => number >= SortOrder.NONE && number <= SortOrder.DESCEND;
const isSortTarget = (number: number): boolean => number >= SortTarget.KEY && number <= SortTarget.VALUE;

export function checkPut({ key, value, lease, ignoreValue, ignoreLease }: PutRequest): void {
  if (key === '') throw new StoreError('EmptyKey');
  if (ignoreValue && value.length > 0) throw new StoreError('ValueProvided');
  if (ignoreLease && lease !== 0n) throw new StoreError('LeaseProvided');
}

export function checkDeleteRange({ key }: DeleteRangeRequest): void {
  if (key === '') throw new StoreError('EmptyKey');
}

/**
 * `opsMax` counts for compares, success and failure each. What the longest of them leaves over is the maximum of a Txn
 * inside: with 128, a Txn of 100 operations may contain Txns of 28.
 */
export function checkTxn(request: TxnRequest, opsMax: number): void {
  checkOps(request, opsMax);
  checkNoKeyIsWrittenTwice(request);
}

function checkOps({ compare, success, failure }: TxnRequest, opsMax: number): void {
  const ops = Math.max(compare.length, success.length, failure.length);
  if (ops > opsMax) throw new StoreError('TooManyOps');
  for (const { key } of compare) if (key === '') throw new StoreError('EmptyKey');
  for (const op of success) checkOp(op, opsMax - ops);
  for (const op of failure) checkOp(op, opsMax - ops);
}

function checkOp(op: RequestOp, opsMax: number): void {
  if (op === undefined) throw new StoreError('KeyNotFound');
  if (op.kind === 'range') checkRange(op);
  else if (op.kind === 'put') checkPut(op);
  else if (op.kind === 'deleteRange') checkDeleteRange(op);
  else checkOps(op, opsMax);
}

/** etcd measures a write as its log will hold it: in an envelope with a header, whose id takes 9 bytes as a varint. */
const envelopeHeaderBytes = 13;

/** Of a write only: reads are limited by the transport alone. */
export function checkRequestBytes(requestBytes: number, requestBytesMax: number): void {
  const size = envelopeHeaderBytes + 1 + varintSize(requestBytes) + requestBytes;
  if (size > requestBytesMax) throw new StoreError('RequestTooLarge');
}
