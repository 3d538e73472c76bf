/** Short forms of requests for tests. */
import type {
  DeleteRangeRequest,
  Key,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
} from '../../../src/mvcc/requests.ts';

export function range(key: Key, rangeEnd: Key = ''): RangeRequest {
  return {
    kind: 'range',
    key,
    rangeEnd,
    limit: 0,
    revision: 0,
    sortOrder: 0,
    sortTarget: 0,
    serializable: false,
    keysOnly: false,
    countOnly: false,
    minModRevision: 0,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
  };
}

export function put(key: Key): PutRequest {
  const value = Buffer.alloc(0);
  return { kind: 'put', key, value, lease: 0n, prevKv: false, ignoreValue: false, ignoreLease: false };
}

export function del(key: Key, rangeEnd: Key = ''): DeleteRangeRequest {
  return { kind: 'deleteRange', key, rangeEnd, prevKv: false };
}

export function txn(success: readonly RequestOp[], failure: readonly RequestOp[] = []): TxnRequest {
  return { kind: 'txn', compare: [], success, failure };
}
