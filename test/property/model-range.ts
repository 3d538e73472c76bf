/** What a range over a plain set of keys answers, and whether a compare holds on them: etcd's rules, one after the other. */
import type * as q from '../../src/mvcc/requests.ts';

export interface Item {
  readonly key: q.Key;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  /** Bytes as a binary string, as keys are. */
  readonly value: string;
  readonly lease: bigint;
}
export type Keys = ReadonlyMap<q.Key, Item>;

export const binary = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const order = <T>(a: T, b: T): number => (a < b ? -1 : a > b ? 1 : 0);

export function contains({ key, rangeEnd }: q.KeyRange, candidate: q.Key): boolean {
  if (rangeEnd === '') return candidate === key;
  return candidate >= key && (rangeEnd === '\0' || candidate < rangeEnd);
}

export function within(keys: Keys, range: q.KeyRange): Item[] {
  return [...keys.values()].filter(({ key }) => contains(range, key)).sort((a, b) => order(a.key, b.key));
}

export function answerRange(keys: Keys, op: q.RangeRequest): { kvs: Item[]; count: number; more: boolean } {
  const all = within(keys, op);
  if (op.countOnly) return { kvs: [], count: all.length, more: false };
  const passes = (value: number, min: number, max: number) =>
    (min === 0 || value >= min) && (max === 0 || value <= max);
  const kvs = all
    .filter((kv) => passes(kv.modRevision, op.minModRevision, op.maxModRevision))
    .filter((kv) => passes(kv.createRevision, op.minCreateRevision, op.maxCreateRevision));
  const filtered = op.minModRevision || op.maxModRevision || op.minCreateRevision || op.maxCreateRevision;
  // etcd's quirk: without an order (and without filters) it takes limit + 1 by key, then sorts, then cuts.
  if (op.sortOrder === 0 && op.limit > 0 && !filtered) kvs.splice(op.limit + 1);
  const property = (['key', 'version', 'createRevision', 'modRevision', 'value'] as const)[op.sortTarget] ?? 'key';
  kvs.sort((a, b) => (op.sortOrder === 2 ? -1 : 1) * order(a[property], b[property]));
  const more = op.limit > 0 && kvs.length > op.limit;
  if (more) kvs.length = op.limit;
  // keys_only is answered without the value's record, which is what knows the lease.
  const bare = (kv: Item): Item => ({ ...kv, value: '', lease: property === 'value' ? kv.lease : 0n });
  return { kvs: op.keysOnly ? kvs.map(bare) : kvs, count: all.length, more };
}

/** Every key of the range has to satisfy it. What is missing compares as zero, but never by value. */
export function holds(keys: Keys, compare: q.Compare): boolean {
  const found: (Item | undefined)[] = within(keys, compare);
  return (found.length === 0 ? [undefined] : found).every((item) => {
    if (compare.target === 3 && item === undefined) return false;
    const [left, right] = [
      [item?.version ?? 0, compare.number],
      [item?.createRevision ?? 0, compare.number],
      [item?.modRevision ?? 0, compare.number],
      [item?.value ?? '', binary(compare.value)],
      [item?.lease ?? 0n, compare.lease],
    ][compare.target] as [number, number];
    return [left === right, left > right, left < right, left !== right][compare.result];
  });
}
