import { isReadOnly } from '../mvcc/evaluate.ts';
import type { Store } from '../mvcc/store.ts';
import type { UnaryMethod } from '../transport/rpc.ts';
import { decodeTxnRequest } from './codec/kv-request.ts';
import { encodeTxnResponse } from './codec/kv-response.ts';
import { checkNotCorrupt } from './corrupt.ts';
import { headerField } from './header.ts';
import { unary } from './method.ts';
import type { ServiceOptions } from './options.ts';
import { checkRequestBytes, checkTxn } from './validate.ts';

export function txnMethod(store: Store, { requestBytesMax, txnOpsMax }: ServiceOptions): UnaryMethod {
  const header = headerField(store);
  return unary((bytes) => {
    const request = decodeTxnRequest(bytes);
    checkTxn(request, txnOpsMax);
    if (!isReadOnly(request)) {
      checkRequestBytes(bytes.length, requestBytesMax);
      checkNotCorrupt(store);
    }
    return store.txn(request).then((result) => encodeTxnResponse(header, result));
  });
}
