import fc from 'fast-check';
import t from 'tap';
import {
  encodeCompactionResponse,
  encodeDeleteRangeResponse,
  encodePutResponse,
  encodeRangeResponse,
  encodeRangeStreamResponse,
  encodeTxnResponse,
} from '../../../../src/etcdserver/codec/kv-response.ts';
import { headerField, headerMessage } from '../../../../src/etcdserver/header.ts';
import { unframed } from '../../../../src/mvcc/framed.ts';
import type { OpResult, RangeResult, TxnResult } from '../../../../src/mvcc/requests.ts';
import { mvccpb, etcdserverpb as pb } from '../../../../src/proto/generated/etcd.js';
import type { Message } from '../../../../src/transport/rpc.ts';
import { counts, keyValues } from './arbitraries.ts';

// Both need all 64 bits.
const identity = { clusterId: 0xcdf818194e3a8c32n, memberId: 0x8000000000000001n };
const header = headerField(identity);

const revision = fc.oneof(fc.constant(0), fc.maxSafeNat());
const kvs = fc.array(keyValues, { maxLength: 4 });
const ranges = fc.record({ kind: fc.constant('range' as const), revision, kvs, more: fc.boolean(), count: counts });
const puts = fc.record({
  kind: fc.constant('put' as const),
  revision,
  prevKv: fc.option(keyValues, { nil: undefined }),
});
const deletes = fc.record({ kind: fc.constant('deleteRange' as const), revision, deleted: counts, prevKvs: kvs });
const { txn: txns } = fc.letrec<{ txn: TxnResult; op: OpResult }>((tie) => ({
  txn: fc.record({
    kind: fc.constant('txn' as const),
    revision,
    succeeded: fc.boolean(),
    responses: fc.array(tie('op'), { maxLength: 3 }),
  }),
  op: fc.oneof({ depthSize: 'small' }, ranges, puts, deletes, tie('txn')),
}));

const decodeKvs = (kvs: readonly Uint8Array[]) => kvs.map((kv) => mvccpb.KeyValue.decode(kv));

function rangeMessage({ kvs, more, count }: RangeResult, header: pb.ResponseHeader.$Properties) {
  return { header, kvs: decodeKvs(kvs), more, count };
}

function opMessage(op: OpResult): pb.ResponseOp.$Properties {
  const header = { revision: op.revision };
  switch (op.kind) {
    case 'range':
      return { responseRange: rangeMessage(op, header) };
    case 'put':
      return { responsePut: { header, prevKv: op.prevKv === undefined ? null : mvccpb.KeyValue.decode(op.prevKv) } };
    case 'deleteRange':
      return { responseDeleteRange: { header, deleted: op.deleted, prevKvs: decodeKvs(op.prevKvs) } };
    case 'txn':
      return { responseTxn: { header: {}, succeeded: op.succeeded, responses: op.responses.map(opMessage) } };
  }
}

const hex = (message: Message) =>
  (message instanceof Uint8Array ? Buffer.from(message) : Buffer.concat(message)).toString('hex');

/** As they stand in a RangeResponse. */
const framedBytes = (kvs: readonly Uint8Array[]) => pb.RangeResponse.encode({ kvs: decodeKvs(kvs) }).finish();

void t.test('responses are the very bytes that the generated code writes', (t) => {
  fc.assert(
    fc.property(ranges, puts, deletes, (range, put, deletion) => {
      const of = (revision: number) => headerMessage(identity, revision);
      const rangeResponse = rangeMessage(range, of(range.revision));
      t.equal(hex(encodeRangeResponse(header, range)), hex(pb.RangeResponse.encode(rangeResponse).finish()));
      const framed = { pieces: [framedBytes(range.kvs)], count: range.kvs.length };
      t.equal(
        hex(encodeRangeResponse(header, { ...range, framed })),
        hex(pb.RangeResponse.encode(rangeResponse).finish()),
        'from bytes that are there',
      );
      t.strictSame(unframed(framed).map(hex), range.kvs.map(hex));
      t.equal(
        hex(encodeRangeStreamResponse(header, range.kvs, range)),
        hex(pb.RangeStreamResponse.encode({ rangeResponse }).finish()),
      );
      t.equal(
        hex(encodeRangeStreamResponse(header, range.kvs)),
        hex(pb.RangeStreamResponse.encode({ rangeResponse: { kvs: decodeKvs(range.kvs) } }).finish()),
      );
      const putOp = opMessage(put).responsePut ?? {};
      const putResponse = pb.PutResponse.encode({ ...putOp, header: of(put.revision) }).finish();
      t.equal(hex(encodePutResponse(header, put)), hex(putResponse));
      const deleteOp = opMessage(deletion).responseDeleteRange ?? {};
      const deleteResponse = pb.DeleteRangeResponse.encode({ ...deleteOp, header: of(deletion.revision) }).finish();
      t.equal(hex(encodeDeleteRangeResponse(header, deletion)), hex(deleteResponse));
      const compaction = pb.CompactionResponse.encode({ header: of(put.revision) }).finish();
      t.equal(hex(encodeCompactionResponse(header, put.revision)), hex(compaction));
    }),
  );
  fc.assert(
    fc.property(txns, (txn) => {
      const { succeeded } = txn;
      const message = {
        header: headerMessage(identity, txn.revision),
        succeeded,
        responses: txn.responses.map(opMessage),
      };
      t.equal(hex(encodeTxnResponse(header, txn)), hex(pb.TxnResponse.encode(message).finish()));
    }),
  );
  t.end();
});

void t.test('a Txn answers with the bytes that an etcd sent', (t) => {
  // Range a, put b, Txn (delete b0), an empty Txn, and a Range that finds nothing, in one Txn.
  const etcd =
    '0a1a08aaf4e5f599f3ebe7d101108df2f48ec1f7a6d7bd011803200210011a160a140a021802120c0a01611002180220012a01312001' +
    '1a0612040a0218031a0e220c0a0010011a061a040a0218031a0622040a0010011a060a040a021803';
  const kv = mvccpb.KeyValue.encode({
    key: Buffer.from('a'),
    createRevision: 2,
    modRevision: 2,
    version: 1,
    value: Buffer.from('1'),
  }).finish();
  const empty = { kind: 'range', revision: 3, kvs: [], more: false, count: 0 } as const;
  const inner = { kind: 'txn', revision: 3, succeeded: true } as const;
  const bytes = encodeTxnResponse(headerField({ clusterId: 0xd1cfaf999eb97a2an, memberId: 0xbdae9bbc11dd390dn }), {
    ...inner,
    responses: [
      { ...empty, revision: 2, kvs: [kv], count: 1 },
      { kind: 'put', revision: 3, prevKv: undefined },
      { ...inner, responses: [{ kind: 'deleteRange', revision: 3, deleted: 0, prevKvs: [] }] },
      { ...inner, responses: [] },
      empty,
    ],
  });
  t.equal(bytes.toString('hex'), etcd);
  t.end();
});
