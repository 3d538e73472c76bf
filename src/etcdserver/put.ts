import type { Store } from '../mvcc/store.ts';
import type { UnaryMethod } from '../transport/rpc.ts';
import { decodePutRequest } from './codec/kv-request.ts';
import { encodePutResponse } from './codec/kv-response.ts';
import { checkNotCorrupt } from './corrupt.ts';
import { headerField } from './header.ts';
import { unary } from './method.ts';
import type { ServiceOptions } from './options.ts';
import { checkPut, checkRequestBytes } from './validate.ts';

export function putMethod(store: Store, { requestBytesMax }: ServiceOptions): UnaryMethod {
  const header = headerField(store);
  return unary((bytes) => {
    const request = decodePutRequest(bytes);
    checkPut(request);
    checkRequestBytes(bytes.length, requestBytesMax);
    checkNotCorrupt(store);
    return store.put(request).then((result) => encodePutResponse(header, result));
  });
}
