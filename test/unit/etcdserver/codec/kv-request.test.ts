import fc from 'fast-check';
import t from 'tap';
import {
  decodeCompactionRequest,
  decodeDeleteRangeRequest,
  decodePutRequest,
  decodeRangeRequest,
  decodeTxnRequest,
} from '../../../../src/etcdserver/codec/kv-request.ts';
import { StoreError } from '../../../../src/mvcc/errors.ts';
import type { Compare, RequestOp, TxnRequest } from '../../../../src/mvcc/requests.ts';
import { etcdserverpb as pb } from '../../../../src/proto/generated/etcd.js';
import { type long, safeNumber, signed } from '../../../../src/proto/int64.ts';
import { MalformedMessage } from '../../../../src/proto/wire.ts';
import { deleteRangeRequests, numbers, putRequests, rangeRequests, text, txnRequests } from './arbitraries.ts';

type Int64 = number | ReturnType<typeof long> | null | undefined;
const id = (value: Int64) => signed(value ?? 0);
const number = (value: Int64) => safeNumber(value ?? 0);

function expectedRange(r: pb.RangeRequest.$Properties) {
  const { key, rangeEnd, ...rest } = r;
  return { ...rest, kind: 'range' as const, key: text(key), rangeEnd: text(rangeEnd) };
}

function expectedPut(r: pb.PutRequest.$Properties) {
  return { ...r, kind: 'put' as const, key: text(r.key), value: Buffer.from(r.value ?? []), lease: id(r.lease) };
}

function expectedDeleteRange(r: pb.DeleteRangeRequest.$Properties) {
  return { ...r, kind: 'deleteRange' as const, key: text(r.key), rangeEnd: text(r.rangeEnd) };
}

function expectedCompare(c: pb.Compare.$Properties): Compare {
  const { VERSION, CREATE, MOD, VALUE, LEASE } = pb.Compare.CompareTarget;
  const { target } = c;
  return {
    key: text(c.key),
    rangeEnd: text(c.rangeEnd),
    result: c.result ?? 0,
    target: target ?? 0,
    number: number(
      target === VERSION ? c.version : target === CREATE ? c.createRevision : target === MOD ? c.modRevision : 0,
    ),
    value: Buffer.from(target === VALUE ? (c.value ?? []) : []),
    lease: target === LEASE ? id(c.lease) : 0n,
  };
}

function expectedOp(op: pb.RequestOp.$Properties): RequestOp {
  if (op.requestRange != null) return expectedRange(op.requestRange) as RequestOp;
  if (op.requestPut != null) return expectedPut(op.requestPut) as RequestOp;
  if (op.requestDeleteRange != null) return expectedDeleteRange(op.requestDeleteRange) as RequestOp;
  return op.requestTxn != null ? expectedTxn(op.requestTxn) : undefined;
}

function expectedTxn(r: pb.TxnRequest.$Properties): TxnRequest {
  return {
    kind: 'txn',
    compare: (r.compare ?? []).map(expectedCompare),
    success: (r.success ?? []).map(expectedOp),
    failure: (r.failure ?? []).map(expectedOp),
  };
}

void t.test('what the generated code encodes is decoded to the same', (t) => {
  fc.assert(
    fc.property(rangeRequests, putRequests, deleteRangeRequests, (range, put, deleteRange) => {
      t.strictSame(decodeRangeRequest(pb.RangeRequest.encode(range).finish()), expectedRange(range));
      t.strictSame(decodePutRequest(pb.PutRequest.encode(put).finish()), expectedPut(put));
      const bytes = pb.DeleteRangeRequest.encode(deleteRange).finish();
      t.strictSame(decodeDeleteRangeRequest(bytes), expectedDeleteRange(deleteRange));
    }),
  );
  fc.assert(
    fc.property(txnRequests, (txn) => {
      t.strictSame(decodeTxnRequest(pb.TxnRequest.encode(txn).finish()), expectedTxn(txn));
    }),
  );
  fc.assert(
    fc.property(numbers, fc.boolean(), (revision, physical) => {
      const bytes = pb.CompactionRequest.encode({ revision, physical }).finish();
      t.strictSame(decodeCompactionRequest(bytes), { revision, physical });
    }),
  );
  t.end();
});

void t.test('damaged requests are decoded to something or refused as malformed, nothing else', (t) => {
  const decoders = [
    decodeRangeRequest,
    decodePutRequest,
    decodeDeleteRangeRequest,
    decodeTxnRequest,
    decodeCompactionRequest,
  ];
  let refused = 0;
  fc.assert(
    fc.property(txnRequests, fc.nat(), fc.nat({ max: 255 }), fc.nat(), (txn, at, byte, cut) => {
      const bytes = Buffer.from(pb.TxnRequest.encode(txn).finish());
      if (bytes.length === 0) return;
      bytes[at % bytes.length] = byte;
      for (const decode of decoders) {
        try {
          decode(bytes.subarray(0, cut % (bytes.length + 1)));
        } catch (error) {
          if (!(error instanceof MalformedMessage)) throw error;
          refused++;
        }
      }
    }),
  );
  t.ok(refused > 0, 'some were refused');
  t.end();
});

const field = (tag: number, content: Uint8Array) => Buffer.concat([Buffer.from([tag, content.length]), content]);

void t.test('the last value of a field wins; messages are merged; another member of a oneof replaces', (t) => {
  const first = pb.PutRequest.encode({ key: Buffer.from('a'), value: Buffer.from('1'), prevKv: true }).finish();
  const second = pb.PutRequest.encode({ key: Buffer.from('b') }).finish();
  t.match(decodePutRequest(Buffer.concat([first, second])), { key: 'b', value: Buffer.from('1'), prevKv: true });

  const merged = field(0x12, Buffer.concat([field(0x12, first), field(0x12, second)]));
  t.match(decodeTxnRequest(merged).success, [{ kind: 'put', key: 'b', value: Buffer.from('1') }]);

  const range = pb.RangeRequest.encode({ key: Buffer.from('r'), limit: 5 }).finish();
  const replaced = field(0x12, Buffer.concat([field(0x12, first), field(0x0a, range), field(0x12, second)]));
  t.match(decodeTxnRequest(replaced).success, [{ kind: 'put', key: 'b', value: Buffer.alloc(0), prevKv: false }]);

  const inner = pb.TxnRequest.encode({ success: [{ requestRange: { key: Buffer.from('x') } }] }).finish();
  const twice = field(0x12, Buffer.concat([field(0x22, inner), field(0x22, inner)]));
  t.match(decodeTxnRequest(twice).success, [{ kind: 'txn', success: [{ key: 'x' }, { key: 'x' }] }]);
  t.end();
});

void t.test('a compare whose union does not belong to its target compares with zero', (t) => {
  const { MOD, LEASE } = pb.Compare.CompareTarget;
  const compare = pb.Compare.encode({ target: MOD, key: Buffer.from('k'), version: 7 }).finish();
  t.match(decodeTxnRequest(field(0x0a, compare)).compare, [{ target: MOD, number: 0 }]);
  const last = Buffer.concat([compare, Buffer.from([0x30, 9])]);
  t.match(decodeTxnRequest(field(0x0a, last)).compare, [{ target: MOD, number: 9 }], 'the last member counts');
  const lease = Buffer.concat([pb.Compare.encode({ target: LEASE }).finish(), Buffer.from([0x40, 9, 0x20, 1])]);
  t.match(decodeTxnRequest(field(0x0a, lease)).compare, [{ target: LEASE, lease: 0n }]);
  t.end();
});

void t.test('a known field in another wire type is an unknown field', (t) => {
  t.equal(decodeRangeRequest(Buffer.from([0x08, 1, 0x0a, 1, 0x61])).key, 'a');
  t.equal(decodeRangeRequest(Buffer.from([0x13, 0x08, 1, 0x14, 0x0a, 1, 0x61])).key, 'a');
  t.end();
});

void t.test('Txns in Txns are bounded before the stack is', (t) => {
  // Each wrap is a RequestOp with a Txn, 10 bytes at most.
  let bytes = Buffer.alloc(0);
  const varint = (value: number): number[] => (value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)]);
  const wrap = (tag: number, content: Buffer) =>
    Buffer.concat([Buffer.from([tag, ...varint(content.length)]), content]);
  for (let depth = 0; depth < 999; depth++) bytes = wrap(0x12, wrap(0x22, bytes));
  t.equal(decodeTxnRequest(bytes).success.length, 1);
  for (let depth = 0; depth < 20_000; depth++) bytes = wrap(0x12, wrap(0x22, bytes));
  t.throws(() => decodeTxnRequest(bytes), new StoreError('TooManyOps'));
  t.end();
});
