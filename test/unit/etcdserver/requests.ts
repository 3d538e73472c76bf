/** Short forms of requests for tests. */
import type { RequestOp, TxnRequest } from '../../../src/mvcc/requests.ts';
import * as requests from '../mvcc/requests.ts';

export { deleteRange as del, put, range } from '../mvcc/requests.ts';

export function txn(success: readonly RequestOp[], failure: readonly RequestOp[] = []): TxnRequest {
  return requests.txn([], [...success], [...failure]);
}
