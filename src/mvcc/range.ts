/**
 * Range as etcd's txn/range.go has it: which versions, in which order, how many. Used by plain reads and by reads inside a
 * transaction, which select from different things but follow the same rules.
 *
 * The limit is pushed down to the index only where the order is that of the keys and nothing is filtered; otherwise
 * everything is fetched, filtered, sorted and cut. One quirk is etcd's own: a sort target without an order sorts ascending,
 * but only the first `limit` + 1 keys.
 */
import { StoreError } from './errors.ts';
import { encodeKeyValue } from './key-value.ts';
import type { Change } from './records.ts';
import { type EncodedKeyValue, type RangeRequest, type RangeResult, SortOrder, SortTarget } from './requests.ts';
import { itemsOf, type Selection } from './selection.ts';
import type { Version } from './version.ts';

/** The revision that a request reads at, given the store's current and compacted ones. Throws StoreError. */
export function readRevision(requested: number, current: number, compacted: number): number {
  if (requested > current) throw new StoreError('FutureRevision');
  const revision = requested <= 0 ? current : requested;
  if (revision < compacted) throw new StoreError('Compacted');
  return revision;
}

/** The limit that the index may apply; 0: none. One more than asked tells whether there is more. */
export function pushedDownLimit(request: RangeRequest): number {
  if (request.limit <= 0 || !isKeyOrder(request.sortTarget, request.sortOrder) || hasRevisionFilters(request)) return 0;
  return request.limit + 1;
}

function isKeyOrder(sortTarget: number, sortOrder: number): boolean {
  return sortOrder === SortOrder.NONE || (sortTarget === SortTarget.KEY && sortOrder === SortOrder.ASCEND);
}

function hasRevisionFilters(request: RangeRequest): boolean {
  return (
    request.minModRevision !== 0 ||
    request.maxModRevision !== 0 ||
    request.minCreateRevision !== 0 ||
    request.maxCreateRevision !== 0
  );
}

/** Filters, sorts and cuts a selection to what the request asks for. `valueOfItem` is called only for a sort by value. */
export function arrange(
  request: RangeRequest,
  selection: Selection,
  valueOfItem: (item: Change) => Uint8Array,
): { items: Change[]; more: boolean } {
  let items = itemsOf(selection);
  if (hasRevisionFilters(request)) items = items.filter(({ version }) => passesFilters(request, version));
  const sortOrder =
    request.sortTarget !== SortTarget.KEY && request.sortOrder === SortOrder.NONE
      ? SortOrder.ASCEND
      : request.sortOrder;
  if (!isKeyOrder(request.sortTarget, sortOrder)) {
    const compare = comparator(request.sortTarget, valueOfItem);
    if (sortOrder === SortOrder.ASCEND) items.sort(compare);
    else if (sortOrder === SortOrder.DESCEND) items.sort((a, b) => compare(b, a));
  }
  const more = request.limit > 0 && items.length > request.limit;
  if (more) items.length = request.limit;
  return { items, more };
}

function passesFilters(request: RangeRequest, version: Version): boolean {
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = request;
  return (
    (maxModRevision === 0 || version.modRevision <= maxModRevision) &&
    (minModRevision === 0 || version.modRevision >= minModRevision) &&
    (maxCreateRevision === 0 || version.createRevision <= maxCreateRevision) &&
    (minCreateRevision === 0 || version.createRevision >= minCreateRevision)
  );
}

function comparator(sortTarget: number, valueOfItem: (item: Change) => Uint8Array): (a: Change, b: Change) => number {
  switch (sortTarget) {
    case SortTarget.VERSION:
      return (a, b) => a.version.version - b.version.version;
    case SortTarget.CREATE:
      return (a, b) => a.version.createRevision - b.version.createRevision;
    case SortTarget.MOD:
      return (a, b) => a.version.modRevision - b.version.modRevision;
    case SortTarget.VALUE:
      return (a, b) => Buffer.compare(valueOfItem(a), valueOfItem(b));
    default:
      return (a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0);
  }
}

/** True if the reply is the selection as it is, cut by the limit at most: what nearly all requests ask for. */
export function isPlain(request: RangeRequest): boolean {
  const inKeyOrder = request.sortTarget === SortTarget.KEY && request.sortOrder !== SortOrder.DESCEND;
  return inKeyOrder && !request.keysOnly && !hasRevisionFilters(request);
}

/** True if the reply needs values (from the cache or the log), false if the index alone can give it. */
export function needsValues(request: RangeRequest): boolean {
  return !request.keysOnly || request.sortTarget === SortTarget.VALUE;
}

/**
 * A KeyValue without its value. etcd 3.7 answers keys_only from its index, which does not know the lease, except when the
 * order is by value.
 */
export function withoutValue(request: RangeRequest, { key, version }: Change): EncodedKeyValue {
  const { createRevision, modRevision } = version;
  const lease = request.sortTarget === SortTarget.VALUE ? version.lease : 0n;
  return encodeKeyValue({ key, createRevision, modRevision, version: version.version, lease }, undefined);
}

/** The reply, once every value that it needs is at hand. `kvOf` gives the encoded KeyValue of a version. */
export function assemble(
  request: RangeRequest,
  selection: Selection,
  revision: number,
  kvOf: (item: Change) => EncodedKeyValue,
  valueOfItem: (item: Change) => Uint8Array,
): RangeResult {
  const { items, more } = arrange(request, selection, valueOfItem);
  const kvs = items.map((item) => (request.keysOnly ? withoutValue(request, item) : kvOf(item)));
  return { kind: 'range', revision, kvs, more, count: selection.count };
}
