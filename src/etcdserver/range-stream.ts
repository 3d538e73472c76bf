/**
 * RangeStream: a Range in pieces of about --max-request-bytes, all of one revision. Only one piece is held at a time: the next
 * is read when the client has taken enough of the ones before.
 */
import { type Key, type RangeRequest, type RangeResult, SortOrder, SortTarget } from '../mvcc/requests.ts';
import type { Store } from '../mvcc/store.ts';
import { Reader } from '../proto/wire.ts';
import type { StreamMethod } from '../transport/rpc.ts';
import { decodeRangeRequest } from './codec/kv-request.ts';
import { encodeRangeStreamResponse } from './codec/kv-response.ts';
import { rpcError } from './errors.ts';
import { headerField } from './header.ts';
import { serverStreaming } from './method.ts';
import type { ServiceOptions } from './options.ts';
import { checkRange } from './validate.ts';

/** Before anything is known about the size of values. */
const firstPieceKeys = 10;

export function rangeStreamMethod(store: Store, { requestBytesMax }: ServiceOptions): StreamMethod {
  const header = headerField(store);
  return serverStreaming(async (bytes, stream, call) => {
    const request = decodeRangeRequest(bytes);
    check(request);
    for await (const { kvs, last } of pieces(store, request, requestBytesMax)) {
      if (call.signal.aborted) return;
      if (!stream.write(encodeRangeStreamResponse(header, kvs, last))) await stream.drained();
    }
  });
}

function check(request: RangeRequest): void {
  checkRange(request);
  const { sortOrder, sortTarget } = request;
  const keyOrder = sortOrder === SortOrder.NONE || (sortOrder === SortOrder.ASCEND && sortTarget === SortTarget.KEY);
  if (!keyOrder) throw rpcError('RangeStreamSortOrder');
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = request;
  if (minModRevision !== 0 || maxModRevision !== 0 || minCreateRevision !== 0 || maxCreateRevision !== 0) {
    throw rpcError('RangeStreamRevisionFilters');
  }
}

interface Piece {
  readonly kvs: RangeResult['kvs'];
  /** With the last piece: what the whole range would have said. */
  readonly last: RangeResult | undefined;
}

async function* pieces(store: Store, request: RangeRequest, bytesTarget: number): AsyncGenerator<Piece> {
  if (request.countOnly) {
    yield { kvs: [], last: await store.range(request) };
    return;
  }
  let wanted = request.limit > 0 ? request.limit : Number.POSITIVE_INFINITY;
  let limit = Math.min(firstPieceKeys, wanted);
  // A target other than KEY without an order sorts after the limit. In a stream that would sort each piece for itself (and
  // makes an etcd repeat keys), so here it is ignored.
  const inKeyOrder = { ...request, sortOrder: SortOrder.NONE, sortTarget: SortTarget.KEY };
  const first = await store.range({ ...inKeyOrder, limit });
  const revision = request.revision > 0 ? request.revision : first.revision;
  for (let result = first; ; ) {
    const { kvs } = result;
    wanted -= kvs.length;
    if (!result.more || wanted === 0) {
      yield { kvs, last: { ...first, more: result.more } };
      return;
    }
    yield { kvs, last: undefined };
    limit = Math.min(nextLimit(limit, kvs, bytesTarget), wanted);
    const key = `${keyOf(kvs.at(-1)!)}\0`;
    // Pinned to the revision of the first piece, which was current: no later piece needs that proof again.
    result = await store.range({ ...inKeyOrder, key, revision, limit, serializable: true });
  }
}

/** Comes near the target by doubling and halving, and stays where it is from half of it to twice of it. */
function nextLimit(limit: number, kvs: RangeResult['kvs'], bytesTarget: number): number {
  const bytes = kvs.reduce((sum, kv) => sum + kv.length, 0);
  if (bytes < bytesTarget / 2) return limit * 2;
  if (bytes > bytesTarget * 2) return Math.max(1, Math.floor(limit / 2));
  return limit;
}

/** Field 1 of an encoded KeyValue, which always comes first. */
function keyOf(kv: Uint8Array): Key {
  const reader = new Reader(kv);
  if (reader.tag() !== 0x0a) throw new Error('an encoded KeyValue that does not begin with its key');
  return reader.latin1();
}
