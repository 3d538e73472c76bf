import type { Random } from '../../support/random.ts';
import type { RequestMessage } from '../../support/wire.ts';
import { randomKey, randomPut, randomRange } from './operations.ts';

/** What the reference has answered so far. */
export interface History {
  readonly head: number;
  readonly compacted: number;
}

const depthMax = 3;

/**
 * What a txn may hold. etcd does not see every overlap of puts and deletes in one txn (a delete up to "\0"; a put in one
 * nested txn and a delete in the next), and a key that is put and deleted in one revision makes it panic after the next
 * compaction. So a txn has both only where they cannot meet, or on one level, where etcd sees it and refuses.
 */
interface Shape {
  readonly puts: readonly string[] | undefined;
  readonly deletes: readonly (readonly [key: string, rangeEnd: string])[] | undefined;
  readonly nests: boolean;
}

const lowKeys = ['\0', 'a', 'a\0', 'ab', 'b'];
const highRanges = [
  ['c', ''],
  ['c', 'e'],
  ['d', '\xff'],
  ['\xff', ''],
  ['c', '\0'],
  ['x', 'y'],
] as const;
const closedRanges = [['a', ''], ['a', 'c'], ['b', 'd'], ['c', 'a'], ['\xff', ''], ...highRanges.slice(0, 4)] as const;

const shapes = {
  puts: { puts: [...lowKeys, 'c', 'd', 'e', '\xff'], deletes: undefined, nests: true },
  deletes: { puts: undefined, deletes: [...closedRanges, ...highRanges, ['\0', '\0'], ['b', '\0']], nests: true },
  apart: { puts: lowKeys, deletes: highRanges, nests: true },
  overlapping: { puts: [...lowKeys, 'c', 'd', 'e', '\xff'], deletes: closedRanges, nests: false },
} satisfies Record<string, Shape>;

export function randomTxn(random: Random, history: History): RequestMessage {
  const shape = shapes[random.weighted({ puts: 4, deletes: 1, apart: 3, overlapping: 2 })];
  return txn(random, history, shape, 1);
}

function txn(random: Random, history: History, shape: Shape, depth: number): RequestMessage {
  const many = <T>(most: number, one: () => T): T[] => Array.from({ length: random.integer(0, most) }, one);
  const branch = () =>
    distinctPuts(
      random,
      many(4, () => operation(random, history, shape, depth)),
    );
  return { compare: many(2, () => compare(random, history)), success: branch(), failure: branch() };
}

function operation(random: Random, history: History, shape: Shape, depth: number): RequestMessage {
  if (random.chance(0.01)) return {};
  const { puts, deletes, nests } = shape;
  const nested = nests && depth < depthMax;
  switch (random.weighted({ put: puts ? 5 : 0, range: 4, delete: deletes ? 3 : 0, txn: nested ? 2 : 0 })) {
    case 'put':
      return { requestPut: { ...randomPut(random), key: random.chance(0.02) ? '' : random.pick(puts!) } };
    case 'range':
      return { requestRange: randomRange(random, history) };
    case 'delete': {
      const [key, rangeEnd] = random.pick(deletes!);
      return { requestDeleteRange: { key, rangeEnd, prevKv: random.chance(0.5) } };
    }
    case 'txn':
      return { requestTxn: txn(random, history, shape, depth + 1) };
  }
}

/** Mostly without two puts of one key, or nearly every txn would be refused. */
function distinctPuts(random: Random, operations: RequestMessage[]): RequestMessage[] {
  if (random.chance(0.1)) return operations;
  const seen = new Set<unknown>();
  return operations.filter(({ requestPut }) => {
    if (!requestPut) return true;
    const { key } = requestPut as RequestMessage;
    const first = !seen.has(key);
    seen.add(key);
    return first;
  });
}

function compare(random: Random, { head }: History): RequestMessage {
  const target = random.chance(0.02) ? 9 : random.integer(0, 4);
  const union: RequestMessage[] = [
    { version: random.integer(-1, 3) },
    { createRevision: random.integer(0, head + 1) },
    { modRevision: random.integer(0, head + 1) },
    { value: random.pick(['', 'v', 'w', 'vv']) },
    { lease: random.integer(0, 4) },
  ];
  return {
    key: randomKey(random),
    rangeEnd: random.chance(0.2) ? random.pick(['\0', 'b', 'c', 'e', 'ab']) : undefined,
    target,
    result: random.chance(0.02) ? 9 : random.integer(0, 3),
    ...(random.chance(0.9) ? union[target] : random.pick(union)),
  };
}
