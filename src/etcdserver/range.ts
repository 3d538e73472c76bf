import type { Store } from '../mvcc/store.ts';
import type { UnaryMethod } from '../transport/rpc.ts';
import { decodeRangeRequest } from './codec/kv-request.ts';
import { encodeRangeResponse } from './codec/kv-response.ts';
import { headerField } from './header.ts';
import { unary } from './method.ts';
import { checkRange } from './validate.ts';

export function rangeMethod(store: Store): UnaryMethod {
  const header = headerField(store);
  return unary((bytes) => {
    const request = decodeRangeRequest(bytes);
    checkRange(request);
    const result = store.range(request);
    if (result instanceof Promise) return result.then((later) => encodeRangeResponse(header, later));
    return encodeRangeResponse(header, result);
  });
}
