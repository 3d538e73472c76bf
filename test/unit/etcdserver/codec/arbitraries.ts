/** Random messages as the generated code takes them, and what the hand-written code makes of them. */
import fc from 'fast-check';
import type { EncodedKeyValue } from '../../../../src/mvcc/requests.ts';
import type { etcdserverpb as pb } from '../../../../src/proto/generated/etcd.js';
import { mvccpb } from '../../../../src/proto/generated/etcd.js';
import { long } from '../../../../src/proto/int64.ts';

/** Zero often: it is what proto3 leaves out. */
const orZero = (numbers: fc.Arbitrary<number>) => fc.oneof(fc.constant(0), numbers);

export const bytes = fc.uint8Array({ maxLength: 12 }).map((array) => Buffer.from(array));
export const numbers = orZero(fc.oneof(fc.integer({ min: -3, max: 300 }), fc.maxSafeInteger()));
export const counts = orZero(fc.oneof(fc.nat({ max: 300 }), fc.maxSafeNat()));
export const enums = fc.integer({ min: 0, max: 4 });
export const ids = fc.oneof(fc.constant(0n), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }));

export const text = (bytes: Uint8Array | null | undefined) => Buffer.from(bytes ?? []).toString('latin1');

export const rangeRequests = fc.record({
  key: bytes,
  rangeEnd: bytes,
  limit: numbers,
  revision: numbers,
  sortOrder: fc.integer({ min: 0, max: 2 }),
  sortTarget: enums,
  serializable: fc.boolean(),
  keysOnly: fc.boolean(),
  countOnly: fc.boolean(),
  minModRevision: numbers,
  maxModRevision: numbers,
  minCreateRevision: numbers,
  maxCreateRevision: numbers,
});

export const putRequests = fc.record({
  key: bytes,
  value: bytes,
  lease: ids.map(long),
  prevKv: fc.boolean(),
  ignoreValue: fc.boolean(),
  ignoreLease: fc.boolean(),
});

export const deleteRangeRequests = fc.record({ key: bytes, rangeEnd: bytes, prevKv: fc.boolean() });

const compares: fc.Arbitrary<pb.Compare.$Properties> = fc
  .tuple(
    fc.record({ result: fc.integer({ min: 0, max: 3 }), target: enums, key: bytes, rangeEnd: bytes }),
    fc.oneof(
      fc.constant({}),
      numbers.map((version) => ({ version })),
      numbers.map((createRevision) => ({ createRevision })),
      numbers.map((modRevision) => ({ modRevision })),
      bytes.map((value) => ({ value })),
      ids.map((id) => ({ lease: long(id) })),
    ),
  )
  .map(([compare, union]) => ({ ...compare, ...union }) as pb.Compare.$Properties);

const { txn } = fc.letrec<{ txn: pb.TxnRequest.$Properties; op: pb.RequestOp.$Properties }>((tie) => ({
  txn: fc.record({
    compare: fc.array(compares, { maxLength: 3 }),
    success: fc.array(tie('op'), { maxLength: 3 }),
    failure: fc.array(tie('op'), { maxLength: 3 }),
  }) as fc.Arbitrary<pb.TxnRequest.$Properties>,
  op: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constant({}),
    rangeRequests.map((requestRange) => ({ requestRange })),
    putRequests.map((requestPut) => ({ requestPut })),
    deleteRangeRequests.map((requestDeleteRange) => ({ requestDeleteRange })),
    tie('txn').map((requestTxn) => ({ requestTxn })),
  ) as fc.Arbitrary<pb.RequestOp.$Properties>,
}));
export const txnRequests = txn;

export const keyValues: fc.Arbitrary<EncodedKeyValue> = fc
  .record({
    key: bytes,
    createRevision: counts,
    modRevision: counts,
    version: counts,
    value: bytes,
    lease: ids.map(long),
  })
  .map((kv) => mvccpb.KeyValue.encode(kv).finish());
