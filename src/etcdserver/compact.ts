import type { Store } from '../mvcc/store.ts';
import type { UnaryMethod } from '../transport/rpc.ts';
import { decodeCompactionRequest } from './codec/kv-request.ts';
import { encodeCompactionResponse } from './codec/kv-response.ts';
import { checkNotCorrupt } from './corrupt.ts';
import { headerField } from './header.ts';
import { unary } from './method.ts';

export function compactMethod(store: Store): UnaryMethod {
  const header = headerField(store);
  return unary(async (bytes) => {
    const { revision, physical } = decodeCompactionRequest(bytes);
    checkNotCorrupt(store);
    await store.compact(revision, physical);
    return encodeCompactionResponse(header, store.revision);
  });
}
