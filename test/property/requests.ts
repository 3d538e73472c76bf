/** Random requests, valid by themselves. Few keys and values, so that they meet. Revisions are relative to the store's. */
import fc from 'fast-check';
import type * as q from '../../src/mvcc/requests.ts';

export const leaseIds = [1n, 2n, -3n, 2n ** 62n + 1n];
/** Not UTF-8, with the lowest and the highest byte, prefixes of each other, and one that takes two varint bytes of length. */
const keys = ['a', 'ab', 'b', 'b\0', 'c', '\0', '\xff', '\xff\xff', `k${'x'.repeat(130)}`];

const key = fc.constantFrom(...keys);
const rangeEnd = fc.oneof(
  { weight: 3, arbitrary: fc.constant('') },
  { weight: 3, arbitrary: fc.constant('\0') },
  { weight: 4, arbitrary: fc.constantFrom('a', 'b', 'b\x01', 'd', '\xff') },
);
const value = fc
  .oneof(
    { weight: 5, arbitrary: fc.constantFrom('', '0', '1', '\xff\0') },
    { weight: 1, arbitrary: fc.integer({ min: 100, max: 3000 }).map((length) => 'v'.repeat(length)) },
  )
  .map((text): Uint8Array => Buffer.from(text, 'latin1'));
const noValue: Uint8Array = Buffer.alloc(0);
const lease = fc.oneof(
  { weight: 3, arbitrary: fc.constant(0n) },
  { weight: 2, arbitrary: fc.constantFrom(...leaseIds) },
);
const seldom = fc.integer({ min: 0, max: 5 }).map((number) => number === 0);
const often = fc.boolean();

/** A revision some steps back; made absolute by `settle`. */
const relative = fc.oneof(
  { weight: 3, arbitrary: fc.constant(0) },
  { weight: 2, arbitrary: fc.integer({ min: -12, max: 2 }) },
);
/** A bound of a revision filter: mostly none. */
const bound = fc.oneof(
  { weight: 5, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 25 }) },
);

const range: fc.Arbitrary<q.RangeRequest> = fc.record({
  kind: fc.constant('range' as const),
  key,
  rangeEnd,
  limit: fc.constantFrom(0, 0, 1, 2, 3, -1),
  revision: relative,
  sortOrder: fc.constantFrom(0, 0, 1, 2),
  sortTarget: fc.constantFrom(0, 0, 1, 2, 3, 4),
  serializable: seldom,
  keysOnly: seldom,
  countOnly: seldom,
  minModRevision: bound,
  maxModRevision: bound,
  minCreateRevision: bound,
  maxCreateRevision: bound,
});

const put: fc.Arbitrary<q.PutRequest> = fc
  .record({
    kind: fc.constant('put' as const),
    key,
    value,
    lease,
    prevKv: often,
    ignoreValue: seldom,
    ignoreLease: seldom,
  })
  .map((request) => ({
    ...request,
    value: request.ignoreValue ? noValue : request.value,
    lease: request.ignoreLease ? 0n : request.lease,
  }));

const deleteRange: fc.Arbitrary<q.DeleteRangeRequest> = fc.record({
  kind: fc.constant('deleteRange' as const),
  key,
  rangeEnd,
  prevKv: often,
});

const compare: fc.Arbitrary<q.Compare> = fc.record({
  key,
  rangeEnd,
  result: fc.integer({ min: 0, max: 3 }),
  target: fc.integer({ min: 0, max: 4 }),
  number: fc.integer({ min: 0, max: 12 }),
  value,
  lease,
});

const { txn } = fc.letrec<{ txn: q.TxnRequest; op: Exclude<q.RequestOp, undefined> }>((tie) => ({
  op: fc.oneof(
    { maxDepth: 2 },
    { weight: 3, arbitrary: put },
    { weight: 2, arbitrary: range },
    { weight: 2, arbitrary: deleteRange },
    { weight: 1, arbitrary: tie('txn') },
  ),
  txn: fc.record({
    kind: fc.constant('txn' as const),
    compare: fc.array(compare, { maxLength: 2 }),
    success: fc.array(tie('op'), { maxLength: 4 }).map(withoutDuplicates),
    failure: fc.array(tie('op'), { maxLength: 2 }).map(withoutDuplicates),
  }),
}));

/** Leaves out what would write a key twice: such transactions are refused before they come to the store. */
function withoutDuplicates(ops: readonly Exclude<q.RequestOp, undefined>[]): q.RequestOp[] {
  const puts = new Set<q.Key>();
  const deletes: q.KeyRange[] = [];
  const covers = ({ key: from, rangeEnd: to }: q.KeyRange, candidate: q.Key) =>
    to === '' ? candidate === from : candidate >= from && (to === '\0' || candidate < to);
  return ops.filter((op) => {
    const written = writes(op);
    const twice = written.puts.some(
      (candidate) => puts.has(candidate) || deletes.some((range) => covers(range, candidate)),
    );
    if (twice || written.deletes.some((range) => [...puts].some((candidate) => covers(range, candidate)))) return false;
    for (const candidate of written.puts) puts.add(candidate);
    deletes.push(...written.deletes);
    return true;
  });
}

function writes(op: q.RequestOp): { puts: q.Key[]; deletes: q.KeyRange[] } {
  if (op === undefined || op.kind === 'range') return { puts: [], deletes: [] };
  if (op.kind === 'put') return { puts: [op.key], deletes: [] };
  if (op.kind === 'deleteRange') return { puts: [], deletes: [op] };
  const inner = [...op.success, ...op.failure].map(writes);
  return { puts: inner.flatMap(({ puts }) => puts), deletes: inner.flatMap(({ deletes }) => deletes) };
}

export type Request = q.RangeRequest | q.PutRequest | q.DeleteRangeRequest | q.TxnRequest;

/** With its relative revisions made absolute. */
export function settle<R extends Request>(request: R, current: number): R {
  if (request.kind === 'range') {
    return { ...request, revision: request.revision === 0 ? 0 : current + request.revision };
  }
  if (request.kind !== 'txn') return request;
  const all = (ops: readonly q.RequestOp[]) => ops.map((op) => op && settle(op, current));
  return { ...request, success: all(request.success), failure: all(request.failure) };
}

export interface WatchStart {
  readonly filter: q.KeyRange & { noPut: boolean; noDelete: boolean; prevKv: boolean };
  /** Relative to the next revision; undefined: from now on. */
  readonly start: number | undefined;
  /** Which client's stream. */
  readonly stream: number;
}

/** What a client, an operator or fate does to a store. */
export type Action =
  /** Requests of the same moment: they share a batch. */
  | { kind: 'requests'; requests: readonly Request[] }
  | { kind: 'compact'; back: number; physical: boolean }
  | { kind: 'grant' | 'revoke'; lease: bigint }
  | ({ kind: 'watch' } & WatchStart)
  | { kind: 'cancel'; watch: number }
  | { kind: 'stream'; stream: number; writable: boolean }
  /** Waits until all streams that read have what there is. */
  | { kind: 'settle' }
  | { kind: 'reopen' };

export const streams = 3;

const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant('requests' as const),
      requests: fc.array(
        fc.oneof(
          { weight: 4, arbitrary: put },
          { weight: 2, arbitrary: txn },
          { weight: 1, arbitrary: deleteRange },
          { weight: 3, arbitrary: range },
        ),
        { minLength: 1, maxLength: 5 },
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('compact' as const),
      back: fc.integer({ min: -1, max: 6 }),
      physical: often,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('grant' as const, 'revoke' as const),
      lease: fc.constantFrom(...leaseIds),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('watch' as const),
      filter: fc
        .record({ key, rangeEnd, noPut: seldom, noDelete: seldom, prevKv: often })
        .filter(({ key: from, rangeEnd: to }) => to === '' || to === '\0' || from < to),
      start: fc.option(fc.integer({ min: -15, max: 3 }), { nil: undefined }),
      stream: fc.integer({ min: 0, max: streams - 1 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cancel' as const), watch: fc.nat(20) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('stream' as const),
      stream: fc.integer({ min: 0, max: streams - 1 }),
      writable: often,
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'settle' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'reopen' as const }) },
);

export const actions = fc.array(action, { minLength: 1, maxLength: 60, size: 'max' });
