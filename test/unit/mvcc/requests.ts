/** Requests with the usual values, for tests that care about one or two fields. */
import { decodeKeyValue } from '../../../src/mvcc/key-value.ts';
import {
  type Compare,
  type DeleteRangeRequest,
  newRange,
  type PutRequest,
  type RangeRequest,
  type RequestOp,
  type TxnRequest,
} from '../../../src/mvcc/requests.ts';
import type { Store } from '../../../src/mvcc/store.ts';

export function put(key: string, value = '', more: Partial<PutRequest> = {}): PutRequest {
  const bytes = Buffer.from(value, 'latin1');
  return { kind: 'put', key, value: bytes, lease: 0n, prevKv: false, ignoreValue: false, ignoreLease: false, ...more };
}

export function range(key: string, rangeEnd = '', more: Partial<RangeRequest> = {}): RangeRequest {
  return { ...newRange(key), rangeEnd, ...more };
}

export function deleteRange(key: string, rangeEnd = '', prevKv = false): DeleteRangeRequest {
  return { kind: 'deleteRange', key, rangeEnd, prevKv };
}

export function txn(compare: Compare[], success: RequestOp[], failure: RequestOp[] = []): TxnRequest {
  return { kind: 'txn', compare, success, failure };
}

/** That the key has this version; 0: that it is not there. */
export function versionIs(key: string, version: number): Compare {
  return { key, rangeEnd: '', result: 0, target: 0, number: version, value: Buffer.alloc(0), lease: 0n };
}

/** Keys and values, `key=value`, of a range. */
export async function list(
  store: Store,
  key = '\0',
  rangeEnd = '\0',
  more: Partial<RangeRequest> = {},
): Promise<string[]> {
  const { kvs } = await store.range(range(key, rangeEnd, more));
  return kvs.map((bytes) => {
    const kv = decodeKeyValue(Buffer.from(bytes));
    return `${kv.key}=${Buffer.from(kv.value).toString('latin1')}`;
  });
}
