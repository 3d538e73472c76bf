/** Cluster, Maintenance, Auth and health. What an etcd with one member answers is checked by the compat suite as well. */
import t from 'tap';
import { grpc, etcdserverpb as pb } from '../../../src/proto/generated/etcd.js';
import { long, safeNumber, unsigned } from '../../../src/proto/int64.ts';
import { Code } from '../../../src/transport/rpc.ts';
import { ClientStream, Service, type Types } from './service.ts';

void t.test('Cluster: one member, as it is; no change pretends to have happened', async (t) => {
  const service = await Service.open(t);
  const me = long(service.store.memberId);
  const list = [pb.MemberListRequest, pb.MemberListResponse] as const;
  const { header, members } = await service.call('/etcdserverpb.Cluster/MemberList', list, { linearizable: true });
  t.equal(unsigned(header!.clusterId!), service.store.clusterId);
  t.equal(unsigned(header!.memberId!), service.store.memberId);
  t.equal(safeNumber(header!.revision!), 0, 'no revision, as in etcd');
  t.equal(members.length, 1);
  t.equal(unsigned(members[0]!.ID!), service.store.memberId);
  t.match(members[0], {
    name: 'm',
    clientURLs: ['http://here:2379'],
    peerURLs: ['http://here:2380'],
    isLearner: false,
  });

  const refused = async <In>(name: string, types: Types<In, unknown>, message: In) =>
    (await service.refusal(`/etcdserverpb.Cluster/${name}`, types, message))[1];
  const add = [pb.MemberAddRequest, pb.MemberAddResponse] as const;
  const bad = 'etcdserver: given member URLs are invalid';
  for (const url of ['xx', 'http://foo', 'http://foo:1/x', 'ftp://foo:1', 'http://:1']) {
    t.equal(await refused('MemberAdd', add, { peerURLs: ['http://foo:2', url] }), bad, url);
  }
  t.equal(await refused('MemberAdd', add, {}), bad);
  t.equal(await refused('MemberAdd', add, { peerURLs: ['http://here:2380'] }), 'etcdserver: Peer URLs already exists');
  for (const url of ['http://foo:1', 'https://[::1]:2380', 'http://10.0.0.1:2380']) {
    t.equal(await refused('MemberAdd', add, { peerURLs: [url] }), 'etcdserver: not capable', url);
  }
  const notFound = 'etcdserver: member not found';
  const remove = [pb.MemberRemoveRequest, pb.MemberRemoveResponse] as const;
  t.equal(await refused('MemberRemove', remove, { ID: 5 }), notFound);
  t.same(await service.refusal('/etcdserverpb.Cluster/MemberRemove', remove, { ID: me }), [
    Code.UNKNOWN,
    'etcdserver: re-configuration failed due to not enough started members',
  ]);
  const update = [pb.MemberUpdateRequest, pb.MemberUpdateResponse] as const;
  t.equal(await refused('MemberUpdate', update, { ID: 5 }), notFound);
  t.equal(await refused('MemberUpdate', update, { ID: me, peerURLs: ['http://foo:1'] }), 'etcdserver: not capable');
  const promote = [pb.MemberPromoteRequest, pb.MemberPromoteResponse] as const;
  t.equal(await refused('MemberPromote', promote, { ID: 5 }), notFound);
  t.equal(await refused('MemberPromote', promote, { ID: me }), 'etcdserver: can only promote a learner member');
});

void t.test('Maintenance: status and alarms', async (t) => {
  const service = await Service.open(t);
  const status = async () =>
    await service.call('/etcdserverpb.Maintenance/Status', [pb.StatusRequest, pb.StatusResponse], {});
  await service.call('/etcdserverpb.KV/Put', [pb.PutRequest, pb.PutResponse], { key: Buffer.from('k') });
  const first = await status();
  t.match(first, { version: '3.7.3', storageVersion: '3.7.0', errors: [], isLearner: false });
  t.match(first.downgradeInfo, { enabled: false });
  t.equal(unsigned(first.leader), service.store.memberId);
  t.equal(safeNumber(first.dbSizeQuota), -1, 'no quota');
  t.ok(safeNumber(first.dbSize) >= safeNumber(first.dbSizeInUse) && safeNumber(first.dbSizeInUse) > 0);
  t.equal(safeNumber(first.raftAppliedIndex), service.store.slot);

  const call = async (message: pb.AlarmRequest.$Properties) => {
    const types = [pb.AlarmRequest, pb.AlarmResponse] as const;
    const { alarms } = await service.call('/etcdserverpb.Maintenance/Alarm', types, message);
    return alarms.map(({ memberID, alarm }) => [unsigned(memberID!), alarm]);
  };
  const me = service.store.memberId;
  const mine = { memberID: long(me) };
  t.same(await call({ action: 1 }), [], 'to activate no alarm');
  t.same(await call({ action: 1, alarm: 1, ...mine }), [[me, 1]]);
  t.same(await call({ action: 1, alarm: 1, ...mine }), [[me, 1]], 'again');
  t.same(await call({ action: 1, alarm: 2 }), [[0n, 2]]);
  t.same((await status()).errors.sort(), ['alarm:CORRUPT', `memberID:${me} alarm:NOSPACE`]);
  t.equal((await call({})).length, 2);
  t.same(await call({ alarm: 1, memberID: 77 }), [[me, 1]], 'reading ignores the member');
  t.same(await call({ action: 2, alarm: 1, memberID: 77 }), []);
  t.same(await call({ action: 2, alarm: 1, ...mine }), [[me, 1]]);
  t.same(await call({ action: 2, alarm: 1, ...mine }), []);
  t.same(await call({ action: 2, alarm: 2 }), [[0n, 2]]);
  t.same((await status()).errors, []);
  await t.rejects(call({ action: 9 as 0 }), { code: Code.INVALID_ARGUMENT });
  await t.rejects(call({ action: 1, alarm: 9 as 0 }), { code: Code.INVALID_ARGUMENT });
});

void t.test('Maintenance: the rest', async (t) => {
  const service = await Service.open(t);
  const at = (name: string) => `/etcdserverpb.Maintenance/${name}`;
  const hashKv = [pb.HashKVRequest, pb.HashKVResponse] as const;
  const put = [pb.PutRequest, pb.PutResponse] as const;
  await service.call('/etcdserverpb.KV/Put', put, { key: Buffer.from('a') });
  const before = await service.call(at('HashKV'), hashKv, {});
  t.same([safeNumber(before.hashRevision), safeNumber(before.compactRevision)], [2, -1]);
  await service.call('/etcdserverpb.KV/Put', put, { key: Buffer.from('b') });
  t.not((await service.call(at('HashKV'), hashKv, {})).hash, before.hash);
  t.equal((await service.call(at('HashKV'), hashKv, { revision: 2 })).hash, before.hash);
  t.same(await service.refusal(at('HashKV'), hashKv, { revision: 99 }), [
    Code.OUT_OF_RANGE,
    'etcdserver: mvcc: required revision is a future revision',
  ]);
  t.ok((await service.call(at('Hash'), [pb.HashRequest, pb.HashResponse], {})).header);
  t.notOk((await service.call(at('Defragment'), [pb.DefragmentRequest, pb.DefragmentResponse], {})).header);

  const move = [pb.MoveLeaderRequest, pb.MoveLeaderResponse] as const;
  await service.call(at('MoveLeader'), move, { targetID: long(service.store.memberId) });
  t.same(await service.refusal(at('MoveLeader'), move, { targetID: 5 }), [
    Code.FAILED_PRECONDITION,
    'etcdserver: bad leader transferee',
  ]);

  const downgrade = [pb.DowngradeRequest, pb.DowngradeResponse] as const;
  for (const version of ['3.6', '3.6.0', '3.6.1', '3.6.0-rc.1']) {
    t.equal((await service.call(at('Downgrade'), downgrade, { version })).version, '3.7', version);
  }
  t.equal((await service.call(at('Downgrade'), downgrade, { action: 2 })).version, '3.7', 'nothing to cancel');
  const refused = async (message: pb.DowngradeRequest.$Properties) =>
    (await service.refusal(at('Downgrade'), downgrade, message))[1];
  for (const version of ['', '3', 'x.y']) {
    t.equal(await refused({ version }), 'etcdserver: wrong downgrade target version format', version);
  }
  for (const version of ['3.5', '3.7', '3.8', '4.6']) {
    t.equal(await refused({ version }), 'etcdserver: invalid downgrade target version', version);
  }
  t.equal(await refused({ action: 1, version: '3.9' }), 'etcdserver: invalid downgrade target version');
  t.equal(await refused({ action: 1, version: '3.6' }), 'etcdserver: not capable');
  t.equal(await refused({ action: 7 as 0 }), 'etcdserver: unknown method');
});

void t.test('Auth: off, without users, and honest about it', async (t) => {
  const service = await Service.open(t);
  const at = (name: string) => `/etcdserverpb.Auth/${name}`;
  const status = await service.call(at('AuthStatus'), [pb.AuthStatusRequest, pb.AuthStatusResponse], {});
  t.same([status.enabled, safeNumber(status.authRevision)], [false, 1]);
  await service.call(at('AuthDisable'), [pb.AuthDisableRequest, pb.AuthDisableResponse], {});
  t.same((await service.call(at('UserList'), [pb.AuthUserListRequest, pb.AuthUserListResponse], {})).users, []);
  t.same((await service.call(at('RoleList'), [pb.AuthRoleListRequest, pb.AuthRoleListResponse], {})).roles, []);

  const users = { UserGet: 1, UserDelete: 1, UserChangePassword: 1, UserGrantRole: 1, UserRevokeRole: 1 };
  for (const name of Object.keys(users) as (keyof typeof users)[]) {
    const types = [pb[`Auth${name}Request`], pb[`Auth${name}Response`]] as unknown as Types<object, unknown>;
    t.same(await service.refusal(at(name), types, { name: 'u', role: 'r' }), [
      Code.FAILED_PRECONDITION,
      'etcdserver: user name not found',
    ]);
  }
  const refused = async <In>(name: string, types: Types<In, unknown>, message: In) =>
    (await service.refusal(at(name), types, message))[1];
  t.equal(
    await refused('AuthEnable', [pb.AuthEnableRequest, pb.AuthEnableResponse], {}),
    'etcdserver: root user does not exist',
  );
  t.equal(
    await refused('Authenticate', [pb.AuthenticateRequest, pb.AuthenticateResponse], { name: 'a', password: 'b' }),
    'etcdserver: authentication is not enabled',
  );
  const add = [pb.AuthUserAddRequest, pb.AuthUserAddResponse] as const;
  t.equal(await refused('UserAdd', add, {}), 'etcdserver: user name is empty');
  t.equal((await service.refusal(at('UserAdd'), add, { name: 'u' }))[0], Code.UNIMPLEMENTED);
  const grant = [pb.AuthRoleGrantPermissionRequest, pb.AuthRoleGrantPermissionResponse] as const;
  t.equal(await refused('RoleGrantPermission', grant, {}), 'etcdserver: permission not given');
  t.equal(await refused('RoleGrantPermission', grant, { perm: {} }), 'etcdserver: role name not found');
  const bytes = { encode: () => ({ finish: () => Buffer.from('0a02ffff', 'hex') }), decode: () => {} };
  t.same(await service.refusal(at('UserGet'), [bytes, bytes], {}), [
    Code.INTERNAL,
    'grpc: error unmarshalling request: string field contains invalid UTF-8',
  ]);
});

void t.test('health: the server as a whole', async (t) => {
  const service = await Service.open(t);
  const { HealthCheckRequest, HealthCheckResponse } = grpc.health.v1;
  const types = [HealthCheckRequest, HealthCheckResponse] as const;
  t.equal((await service.call('/grpc.health.v1.Health/Check', types, {})).status, 1);
  t.same(await service.refusal('/grpc.health.v1.Health/Check', types, { service: 'x' }), [
    Code.NOT_FOUND,
    'unknown service',
  ]);
  for (const [name, status] of [
    ['', 1],
    ['x', 3],
  ] as const) {
    const client = new ClientStream(HealthCheckRequest.encode({ service: name }).finish());
    const end = new AbortController();
    const watching = service.stream('/grpc.health.v1.Health/Watch', client, end.signal);
    while (client.received.length === 0) await new Promise((resolve) => setImmediate(resolve));
    end.abort();
    await watching;
    t.same(
      client.received.map((bytes) => HealthCheckResponse.decode(bytes).status),
      [status],
    );
  }
});
