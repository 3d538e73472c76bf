import type { Store } from '../mvcc/store.ts';
import type { UnaryMethod } from '../transport/rpc.ts';
import { decodeDeleteRangeRequest } from './codec/kv-request.ts';
import { encodeDeleteRangeResponse } from './codec/kv-response.ts';
import { checkNotCorrupt } from './corrupt.ts';
import { headerField } from './header.ts';
import { unary } from './method.ts';
import type { ServiceOptions } from './options.ts';
import { checkDeleteRange, checkRequestBytes } from './validate.ts';

export function deleteRangeMethod(store: Store, { requestBytesMax }: ServiceOptions): UnaryMethod {
  const header = headerField(store);
  return unary((bytes) => {
    const request = decodeDeleteRangeRequest(bytes);
    checkDeleteRange(request);
    checkRequestBytes(bytes.length, requestBytesMax);
    checkNotCorrupt(store);
    return store.deleteRange(request).then((result) => encodeDeleteRangeResponse(header, result));
  });
}
