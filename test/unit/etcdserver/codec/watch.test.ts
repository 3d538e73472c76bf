import fc from 'fast-check';
import t from 'tap';
import { decodeWatchRequest } from '../../../../src/etcdserver/codec/watch-request.ts';
import { encodeWatchResponse, watchResponsePrefix } from '../../../../src/etcdserver/codec/watch-response.ts';
import { etcdserverpb as pb } from '../../../../src/proto/generated/etcd.js';
import { long, safeNumber, signed, unsigned } from '../../../../src/proto/int64.ts';
import { MalformedMessage } from '../../../../src/proto/wire.ts';
import { bytes, ids, numbers, text } from './arbitraries.ts';

const creates = fc.record({
  key: bytes,
  rangeEnd: bytes,
  startRevision: numbers,
  progressNotify: fc.boolean(),
  filters: fc.array(fc.integer({ min: 0, max: 2 }), { maxLength: 3 }),
  prevKv: fc.boolean(),
  watchId: ids,
  fragment: fc.boolean(),
});

void t.test('requests that the generated code encodes are decoded to the same', (t) => {
  fc.assert(
    fc.property(creates, (create) => {
      const createRequest = { ...create, watchId: long(create.watchId) };
      const { filters, ...rest } = create;
      t.strictSame(decodeWatchRequest(pb.WatchRequest.encode({ createRequest }).finish()), {
        ...rest,
        kind: 'create',
        key: text(create.key),
        rangeEnd: text(create.rangeEnd),
        noPut: filters.includes(0),
        noDelete: filters.includes(1),
      });
    }),
  );
  fc.assert(
    fc.property(ids, (watchId) => {
      const bytes = pb.WatchRequest.encode({ cancelRequest: { watchId: long(watchId) } }).finish();
      t.strictSame(decodeWatchRequest(bytes), { kind: 'cancel', watchId });
    }),
  );
  const progress = pb.WatchRequest.encode({ progressRequest: {} }).finish();
  t.strictSame(decodeWatchRequest(progress), { kind: 'progress' });
  t.equal(decodeWatchRequest(Buffer.alloc(0)), undefined, 'an empty union');
  t.throws(() => decodeWatchRequest(Buffer.from('0a05', 'hex')), MalformedMessage);
  t.end();
});

void t.test('filters come packed or one by one', (t) => {
  const none = { noPut: false, noDelete: false };
  const forms: [string, object][] = [
    ['0a022800', { ...none, noPut: true }],
    ['0a022801', { ...none, noDelete: true }],
    ['0a0428002801', { noPut: true, noDelete: true }],
    ['0a042a020001', { noPut: true, noDelete: true }],
    ['0a052a01002801', { noPut: true, noDelete: true }],
    ['0a022807', none],
  ];
  for (const [hex, expected] of forms) {
    t.match(decodeWatchRequest(Buffer.from(hex, 'hex')), expected, hex);
  }
  t.end();
});

void t.test('responses', (t) => {
  const identity = { clusterId: 2n ** 64n - 1n, memberId: 7n };
  const decoded = pb.WatchResponse.decode(
    encodeWatchResponse(identity, {
      revision: 0,
      watchId: -5n,
      canceled: true,
      compactRevision: 3,
      cancelReason: 'why',
    }),
  );
  t.equal(unsigned(decoded.header?.clusterId ?? 0), identity.clusterId);
  t.equal(safeNumber(decoded.header?.revision ?? 0), 0, 'no revision in the header');
  t.equal(signed(decoded.watchId), -5n);
  t.match(decoded, { canceled: true, created: false, cancelReason: 'why', events: [] });
  t.equal(safeNumber(decoded.compactRevision), 3);

  // One event: a put of an empty KeyValue.
  const prefix = watchResponsePrefix(identity, 9, 2n ** 62n);
  const whole = pb.WatchResponse.decode(Buffer.concat([prefix, Buffer.from('5a021200', 'hex')]));
  t.equal(whole.events.length, 1);
  t.equal(signed(whole.watchId), 2n ** 62n);
  t.equal(safeNumber(whole.header?.revision ?? 0), 9);

  for (const watchId of [0n, 1n, 127n, 128n, 2n ** 31n, 2n ** 53n - 1n, 2n ** 53n, -1n]) {
    const general = encodeWatchResponse(identity, { revision: 300, watchId });
    t.same(Buffer.from(watchResponsePrefix(identity, 300, watchId)), Buffer.from(general), `watch id ${watchId}`);
  }
  t.end();
});
