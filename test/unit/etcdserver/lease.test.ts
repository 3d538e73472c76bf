import t from 'tap';
import { etcdserverpb as pb } from '../../../src/proto/generated/etcd.js';
import { long, safeNumber, signed } from '../../../src/proto/int64.ts';
import { Code } from '../../../src/transport/rpc.ts';
import { ClientStream, Service } from './service.ts';

const grant = [pb.LeaseGrantRequest, pb.LeaseGrantResponse] as const;
const revoke = [pb.LeaseRevokeRequest, pb.LeaseRevokeResponse] as const;
const timeToLive = [pb.LeaseTimeToLiveRequest, pb.LeaseTimeToLiveResponse] as const;
const leases = [pb.LeaseLeasesRequest, pb.LeaseLeasesResponse] as const;
const put = [pb.PutRequest, pb.PutResponse] as const;
const alarm = [pb.AlarmRequest, pb.AlarmResponse] as const;

const lease = (name: string) => `/etcdserverpb.Lease/Lease${name}`;

void t.test('ids keep all bits, also those chosen by the server', async (t) => {
  const service = await Service.open(t);
  for (const id of [-5n, 2n ** 63n - 1n, -(2n ** 63n), 0n]) {
    const granted = await service.call(lease('Grant'), grant, { ID: long(id), TTL: 100 });
    const given = signed(granted.ID);
    if (id === 0n) t.ok(given > 0n);
    else t.equal(given, id);
    const { ID, TTL, grantedTTL } = await service.call(lease('TimeToLive'), timeToLive, { ID: long(given) });
    t.equal(signed(ID), given);
    t.equal(safeNumber(grantedTTL), 100);
    t.ok(safeNumber(TTL) >= 98 && safeNumber(TTL) <= 100);
    const list = await service.call(lease('Leases'), leases, {});
    t.ok(list.leases.some((one) => signed(one.ID!) === given));
    await service.call(lease('Revoke'), revoke, { ID: long(given) });
  }
  t.same((await service.call(lease('Leases'), leases, {})).leases, []);
});

void t.test('refusals', async (t) => {
  const service = await Service.open(t);
  await service.call(lease('Grant'), grant, { ID: 7, TTL: 100 });
  t.same(await service.refusal(lease('Grant'), grant, { ID: 7, TTL: 100 }), [
    Code.FAILED_PRECONDITION,
    'etcdserver: lease already exists',
  ]);
  t.same(await service.refusal(lease('Grant'), grant, { TTL: 9_000_000_001 }), [
    Code.OUT_OF_RANGE,
    'etcdserver: too large lease TTL',
  ]);
  t.same(await service.refusal(lease('Revoke'), revoke, { ID: 8 }), [
    Code.NOT_FOUND,
    'etcdserver: requested lease not found',
  ]);
  const missing = await service.call(lease('TimeToLive'), timeToLive, { ID: 8, keys: true });
  t.same([signed(missing.ID), safeNumber(missing.TTL), safeNumber(missing.grantedTTL)], [8n, -1, 0]);
});

void t.test('a lease knows its keys, as bytes', async (t) => {
  const service = await Service.open(t);
  await service.call(lease('Grant'), grant, { ID: 7, TTL: 100 });
  const key = Buffer.from([0, 0xff, 0x80]);
  await service.call('/etcdserverpb.KV/Put', put, { key, lease: 7 });
  const { keys } = await service.call(lease('TimeToLive'), timeToLive, { ID: 7, keys: true });
  t.same(
    keys.map((one) => Buffer.from(one)),
    [key],
  );
  t.same((await service.call(lease('TimeToLive'), timeToLive, { ID: 7 })).keys, []);
});

void t.test('keep-alives are answered in order, each after the client took the one before', async (t) => {
  const service = await Service.open(t);
  for (const ID of [1, 3]) await service.call(lease('Grant'), grant, { ID, TTL: 50 });
  const requests = [3, 2, 1, 3].map((ID) => pb.LeaseKeepAliveRequest.encode({ ID }).finish());
  const client = new ClientStream(...requests);
  await service.stream(lease('KeepAlive'), client);
  const answers = client.received.map((bytes) => pb.LeaseKeepAliveResponse.decode(bytes));
  t.same(
    answers.map(({ ID, TTL }) => [signed(ID), safeNumber(TTL)]),
    [
      [3n, 50],
      [2n, 0],
      [1n, 50],
      [3n, 50],
    ],
  );
  t.equal(client.waits, 4);
  await t.rejects(service.stream(lease('KeepAlive'), new ClientStream(Buffer.from([0x0f]))), { code: Code.INTERNAL });
});

void t.test('the CORRUPT alarm stops what writes, and nothing else', async (t) => {
  const service = await Service.open(t);
  await service.call(lease('Grant'), grant, { ID: 7, TTL: 100 });
  const corrupt = { alarm: 2, memberID: long(service.store.memberId) };
  await service.call('/etcdserverpb.Maintenance/Alarm', alarm, { action: 1, ...corrupt });
  const refused = [Code.DATA_LOSS, 'etcdserver: corrupt cluster'];
  t.same(await service.refusal(lease('Grant'), grant, { TTL: 10 }), refused);
  t.same(await service.refusal(lease('Revoke'), revoke, { ID: 7 }), refused);
  const key = Buffer.from('k');
  const kv = '/etcdserverpb.KV/';
  t.same(await service.refusal(`${kv}Put`, put, { key }), refused);
  t.same(await service.refusal(`${kv}DeleteRange`, [pb.DeleteRangeRequest, pb.DeleteRangeResponse], { key }), refused);
  t.same(
    await service.refusal(`${kv}Compact`, [pb.CompactionRequest, pb.CompactionResponse], { revision: 1 }),
    refused,
  );
  const txn = [pb.TxnRequest, pb.TxnResponse] as const;
  t.same(await service.refusal(`${kv}Txn`, txn, { success: [{ requestPut: { key } }] }), refused);
  t.equal((await service.call(`${kv}Txn`, txn, { success: [{ requestRange: { key } }] })).succeeded, true);
  await service.call(`${kv}Range`, [pb.RangeRequest, pb.RangeResponse], { key });
  await service.call('/etcdserverpb.Maintenance/Alarm', alarm, { action: 2, ...corrupt });
  await service.call(`${kv}Put`, put, { key });
});
