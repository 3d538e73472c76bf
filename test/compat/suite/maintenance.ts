import type { Test } from 'tap';
import { eventually } from '../../support/process.ts';
import { put, refused } from './assertions.ts';
import { fresh, type Target } from './target.ts';

export async function maintenance(t: Test, target: Target): Promise<void> {
  const server = await fresh(t, target);
  const { client } = server;

  await t.test('status', async (t) => {
    // A real etcd raises the version of its storage from 3.5.0 in its first seconds.
    const status = await eventually(async () => {
      const now = await client.call('Maintenance/Status');
      if (now.storageVersion !== '3.7.0') throw new Error(`storageVersion is ${now.storageVersion}`);
      return now;
    });
    t.match(status.version, /^3\.7\.\d+$/);
    t.ok(status.dbSize > 0, `dbSize ${status.dbSize}`);
    t.ok(status.dbSizeInUse > 0 && status.dbSizeInUse <= status.dbSize, `dbSizeInUse ${status.dbSizeInUse}`);
    t.equal(status.dbSizeQuota, 2 * 1024 ** 3);
    t.equal(status.leader, status.header?.memberId);
    t.equal(status.raftTerm, status.header?.raftTerm);
    t.ok(status.raftTerm > 0n);
    t.equal(status.header?.revision, 1);
    t.strictSame([status.errors, status.isLearner], [[], false]);
    t.strictSame(status.downgradeInfo, { enabled: false, targetVersion: '' });
    await put(client, 'a', '1');
    const later = await client.call('Maintenance/Status');
    t.ok(later.raftIndex > status.raftIndex, 'the index moves with writes');
    t.ok(later.raftAppliedIndex > status.raftAppliedIndex);
    t.ok(later.raftAppliedIndex <= later.raftIndex);
  });

  await t.test('defragment after a compaction: the space returns', async (t) => {
    const value = 'x'.repeat(100_000);
    for (let round = 0; round < 100; round++) await put(client, `d/${round % 4}`, value);
    // Servers may count what they write a moment later.
    const full = await eventually(async () => {
      const status = await client.call('Maintenance/Status');
      if (status.dbSize < 8_000_000) throw new Error(`100 values of 100 kB, but dbSize is ${status.dbSize}`);
      return status;
    });
    const head = await put(client, 'd/last', '');
    await client.call('KV/Compact', { revision: head, physical: true });
    const answer = await client.call('Maintenance/Defragment');
    t.equal(answer.header, null, 'an answer without a header');
    const after = await client.call('Maintenance/Status');
    t.ok(after.dbSize < full.dbSize / 4, `${full.dbSize} before, ${after.dbSize} after`);
    t.equal((await client.call('KV/Range', { key: 'd/', rangeEnd: 'd0', countOnly: true })).count, 5);
  });

  await t.test('hash', async (t) => {
    const one = await client.call('Maintenance/Hash');
    t.type(one.hash, 'number');
    t.equal((await client.call('Maintenance/Hash')).hash, one.hash, 'the same while nothing changes');
    await put(client, 'h', '1');
    t.not((await client.call('Maintenance/Hash')).hash, one.hash);
    t.ok(one.header!.revision > 1);
  });

  await t.test('hashkv', async (t) => {
    const revision = await put(client, 'h', '2');
    const now = await client.call('Maintenance/HashKV');
    t.equal(now.hashRevision, revision);
    t.equal(now.header?.revision, revision);
    await put(client, 'h', '3');
    const then = await client.call('Maintenance/HashKV', { revision });
    t.strictSame([then.hash, then.hashRevision, then.compactRevision], [now.hash, revision, now.compactRevision]);
    t.not((await client.call('Maintenance/HashKV')).hash, now.hash);
    const future = 'etcdserver: mvcc: required revision is a future revision';
    await refused(t, client.call('Maintenance/HashKV', { revision: revision + 99 }), 'OUT_OF_RANGE', future);
    await client.call('KV/Compact', { revision, physical: true });
    const compacted = 'etcdserver: mvcc: required revision has been compacted';
    await refused(t, client.call('Maintenance/HashKV', { revision: revision - 1 }), 'OUT_OF_RANGE', compacted);
    t.equal((await client.call('Maintenance/HashKV')).compactRevision, revision);
  });

  await t.test('move leader', async (t) => {
    const bad = 'etcdserver: bad leader transferee';
    for (const targetID of [0, 1]) {
      await refused(t, client.call('Maintenance/MoveLeader', { targetID }), 'FAILED_PRECONDITION', bad);
    }
    const { leader } = await client.call('Maintenance/Status');
    t.equal((await client.call('Maintenance/MoveLeader', { targetID: leader })).header, null);
  });

  await t.test('downgrade', async (t) => {
    const valid = await client.call('Maintenance/Downgrade', { action: 0, version: '3.6.0' });
    t.equal(valid.version, '3.7');
    t.not(valid.header?.clusterId, 0n);
    const format = 'etcdserver: wrong downgrade target version format';
    const invalid = 'etcdserver: invalid downgrade target version';
    const call = (action: number, version = '') => client.call('Maintenance/Downgrade', { action, version });
    await refused(t, call(0, 'x'), 'INVALID_ARGUMENT', format);
    await refused(t, call(1, ''), 'INVALID_ARGUMENT', format);
    await refused(t, call(0, '3.5.0'), 'INVALID_ARGUMENT', invalid);
    await refused(t, call(0, '3.7.0'), 'INVALID_ARGUMENT', invalid);
    await refused(t, call(7), 'UNKNOWN', 'etcdserver: unknown method');
  });
}
