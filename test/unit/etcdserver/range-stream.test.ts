import t, { type Test } from 'tap';
import { etcdserverpb as pb } from '../../../src/proto/generated/etcd.js';
import { safeNumber } from '../../../src/proto/int64.ts';
import { ClientStream, options, Service } from './service.ts';

const path = '/etcdserverpb.KV/RangeStream';
const put = [pb.PutRequest, pb.PutResponse] as const;
const key = (i: number) => Buffer.from(`k${String(i).padStart(4, '0')}`);
const all = { key: Buffer.from('k'), rangeEnd: Buffer.from('l') };

async function fill(t: Test, count: number, valueBytes: number): Promise<Service> {
  const service = await Service.open(t);
  const value = Buffer.alloc(valueBytes, 'v');
  for (let i = 0; i < count; i++) await service.call('/etcdserverpb.KV/Put', put, { key: key(i), value });
  return service;
}

async function pieces(service: Service, request: pb.RangeRequest.$Properties, onPiece = () => {}) {
  const client = new ClientStream(pb.RangeRequest.encode(request).finish());
  const drained = client.drained.bind(client);
  client.drained = () => {
    onPiece();
    return drained();
  };
  await service.stream(path, client);
  return client.received.map((bytes) => pb.RangeStreamResponse.decode(bytes).rangeResponse as pb.RangeResponse);
}

const keysOf = (pieces: pb.RangeResponse[]) =>
  pieces.flatMap(({ kvs }) => kvs.map((kv) => Buffer.from(kv.key as Buffer).toString()));
const names = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => key(from + i).toString());

void t.test('ten keys, then twice as many each time; header, count and more come last', async (t) => {
  const service = await fill(t, 100, 0);
  const parts = await pieces(service, all);
  t.same(
    parts.map(({ kvs }) => kvs.length),
    [10, 20, 40, 30],
  );
  t.same(keysOf(parts), names(0, 100));
  for (const part of parts.slice(0, -1)) {
    t.notOk(part.header);
    t.equal(safeNumber(part.count), 0);
  }
  const last = parts.at(-1)!;
  t.equal(safeNumber(last.header!.revision!), 101);
  t.equal(safeNumber(last.count), 100);
  t.equal(last.more, false);
});

void t.test('pieces of large values stay near the limit of a request', async (t) => {
  const service = await fill(t, 100, 1000);
  const sizes = (await pieces(service, all)).map((part) => pb.RangeResponse.encode(part).finish().length);
  for (const size of sizes.slice(3)) t.ok(size <= 2 * options.requestBytesMax + 100, `${size} bytes`);
  t.same(keysOf(await pieces(service, all)), names(0, 100));
});

void t.test('a limit cuts, and the count is still that of all keys', async (t) => {
  const service = await fill(t, 30, 0);
  const parts = await pieces(service, { ...all, limit: 12 });
  t.same(keysOf(parts), names(0, 12));
  t.equal(safeNumber(parts.at(-1)!.count), 30);
  t.equal(parts.at(-1)!.more, true);
  const exact = await pieces(service, { ...all, limit: 30 });
  t.equal(exact.at(-1)!.more, false);
  t.equal(keysOf(exact).length, 30);
});

void t.test('one message where nothing is to be paged', async (t) => {
  const service = await fill(t, 30, 0);
  const [count, ...none] = await pieces(service, { ...all, countOnly: true, limit: 3 });
  t.match(none, []);
  t.equal(safeNumber(count!.count), 30);
  t.equal(count!.more, false);
  const empty = await pieces(service, { key: Buffer.from('x') });
  t.equal(empty.length, 1);
  t.equal(safeNumber(empty[0]!.header!.revision!), 31);
});

void t.test('all pieces are of the revision of the first, whatever is written meanwhile', async (t) => {
  const service = await fill(t, 100, 0);
  const writes: Promise<unknown>[] = [];
  const parts = await pieces(service, all, () => {
    writes.push(service.call('/etcdserverpb.KV/Put', put, { key: Buffer.from(`k0099-${writes.length}`) }));
  });
  await Promise.all(writes);
  t.ok(writes.length > 1);
  t.same(keysOf(parts), names(0, 100));
  t.equal(safeNumber(parts.at(-1)!.header!.revision!), 101);
});

void t.test('a history that is compacted between two pieces ends the stream', async (t) => {
  const service = await fill(t, 100, 0);
  let compaction: Promise<unknown> | undefined;
  const types = [pb.CompactionRequest, pb.CompactionResponse] as const;
  await t.rejects(
    pieces(service, { ...all, revision: 100 }, () => {
      compaction ??= service.call('/etcdserverpb.KV/Compact', types, { revision: 101 });
    }),
    { message: 'etcdserver: mvcc: required revision has been compacted' },
  );
  await compaction;
});

void t.test('no order but that of keys, no revision filters', async (t) => {
  const service = await fill(t, 12, 0);
  const refused: [pb.RangeRequest.$Properties, string][] = [
    [{ key: Buffer.alloc(0) }, 'etcdserver: key is not provided'],
    [{ ...all, sortOrder: 7 as 0 }, 'etcdserver: invalid sort option'],
    [{ ...all, sortOrder: 2 }, 'RangeStream does not support custom sort orders'],
    [{ ...all, sortOrder: 1, sortTarget: 3 }, 'RangeStream does not support custom sort orders'],
    [{ ...all, maxModRevision: 5 }, 'RangeStream does not support revision filters'],
  ];
  for (const [request, message] of refused) await t.rejects(pieces(service, request), { message }, message);
  t.same(keysOf(await pieces(service, { ...all, sortOrder: 1 })), names(0, 12));
  t.same(keysOf(await pieces(service, { ...all, sortTarget: 3 })), names(0, 12));
});
