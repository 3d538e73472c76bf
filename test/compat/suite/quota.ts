import type { Test } from 'tap';
import { put, refused } from './assertions.ts';
import { fresh, type Target } from './target.ts';

const noSpace = 'etcdserver: mvcc: database space exceeded';
const quotaBytes = 16 * 1024 * 1024;

export async function quota(t: Test, target: Target): Promise<void> {
  await t.test('an alarm that is raised by hand', async (t) => {
    const server = await fresh(t, target);
    const { client } = server;
    const alarm = (action: number, memberID: bigint, kind: number) =>
      client.call('Maintenance/Alarm', { action, memberID, alarm: kind });
    await put(client, 'a', '1');
    await client.call('Lease/LeaseGrant', { ID: 1, TTL: 600 });
    const { leader } = await client.call('Maintenance/Status');
    const none = await alarm(0, 0n, 0);
    t.strictSame(none.alarms, []);
    t.not(none.header?.clusterId, 0n);

    const raised = [{ memberID: leader, alarm: 1 }];
    t.strictSame((await alarm(1, leader, 1)).alarms, raised);
    t.strictSame((await alarm(1, leader, 1)).alarms, raised, 'twice is once');
    for (const [memberID, kind, expected] of [
      [0n, 0, raised],
      [0n, 1, raised],
      [0n, 2, []],
    ] as const) {
      t.strictSame((await alarm(0, memberID, kind)).alarms, expected, `get of kind ${kind}`);
    }
    const { errors } = await client.call('Maintenance/Status');
    t.equal(errors.length, 1);
    t.match(errors[0], new RegExp(`^memberID:${leader} +alarm:NOSPACE *$`));

    await t.test('refuses what needs space', async (t) => {
      const write = { requestPut: { key: 'x' } };
      await refused(t, client.call('KV/Put', { key: 'a' }), 'RESOURCE_EXHAUSTED', noSpace);
      await refused(t, client.call('KV/Txn', { success: [write] }), 'RESOURCE_EXHAUSTED', noSpace);
      await refused(t, client.call('KV/Txn', { failure: [write] }), 'RESOURCE_EXHAUSTED', noSpace);
      await refused(t, client.call('Lease/LeaseGrant', { TTL: 60 }), 'RESOURCE_EXHAUSTED', noSpace);
    });

    await t.test('allows the rest', async (t) => {
      t.equal((await client.call('KV/Range', { key: 'a' })).count, 1);
      t.equal((await client.call('KV/Txn', { success: [{ requestRange: { key: 'a' } }] })).succeeded, true);
      const deleted = await client.call('KV/Txn', { success: [{ requestDeleteRange: { key: 'a' } }] });
      t.equal(deleted.responses[0]?.responseDeleteRange?.deleted, 1);
      t.equal((await client.call('KV/DeleteRange', { key: 'a' })).deleted, 0);
      await client.call('KV/Compact', { revision: 2 });
      await client.call('Lease/LeaseRevoke', { ID: 1 });
      await client.call('Maintenance/Defragment');
    });

    await t.test('health is bad, readiness is not', async (t) => {
      const health = await server.fetch('/health');
      t.strictSame([health.status, await health.text()], [503, '{"health":"false","reason":"ALARM NOSPACE"}\n']);
      const excluded = await server.fetch('/health?exclude=NOSPACE');
      t.strictSame([excluded.status, await excluded.text()], [200, '{"health":"true","reason":""}']);
      for (const path of ['/readyz', '/livez']) {
        const answer = await server.fetch(path);
        t.strictSame([answer.status, await answer.text()], [200, 'ok\n'], path);
      }
    });

    await t.test('disarmed', async (t) => {
      t.strictSame((await alarm(2, 1n, 1)).alarms, [], 'another member');
      t.strictSame((await alarm(2, leader, 2)).alarms, [], 'another alarm');
      t.strictSame((await alarm(0, 0n, 0)).alarms, raised);
      t.strictSame((await alarm(2, leader, 1)).alarms, raised, 'the answer is what was disarmed');
      t.strictSame((await alarm(0, 0n, 0)).alarms, []);
      t.strictSame((await client.call('Maintenance/Status')).errors, []);
      await put(client, 'a', '2');
      t.equal((await server.fetch('/health')).status, 200);
    });
  });

  await t.test('a corruption alarm', async (t) => {
    const server = await fresh(t, target);
    const { client } = server;
    await put(client, 'a', '1');
    await client.call('Maintenance/Alarm', { action: 1, memberID: 77, alarm: 2 });
    const corrupt = 'etcdserver: corrupt cluster';
    await refused(t, client.call('KV/Put', { key: 'a' }), 'DATA_LOSS', corrupt);
    await refused(t, client.call('KV/DeleteRange', { key: 'a' }), 'DATA_LOSS', corrupt);
    await refused(t, client.call('KV/Compact', { revision: 1 }), 'DATA_LOSS', corrupt);
    await refused(t, client.call('KV/Txn', { success: [{ requestPut: { key: 'x' } }] }), 'DATA_LOSS', corrupt);
    await refused(t, client.call('Lease/LeaseGrant', { TTL: 60 }), 'DATA_LOSS', corrupt);
    t.equal((await client.call('KV/Range', { key: 'a' })).count, 1);
    const health = await server.fetch('/health');
    t.strictSame([health.status, await health.text()], [503, '{"health":"false","reason":"ALARM CORRUPT"}\n']);
    const ready = await server.fetch('/readyz');
    t.equal(ready.status, 503);
    t.match(await ready.text(), /^\[-\]data_corruption failed: alarm activated: CORRUPT$/m);
    t.equal((await server.fetch('/livez')).status, 200);
    await client.call('Maintenance/Alarm', { action: 2, memberID: 77, alarm: 2 });
    await put(client, 'a', '2');
  });

  await t.test('the quota', async (t) => {
    const { client } = await fresh(t, target, `--quota-backend-bytes=${quotaBytes}`);
    t.equal((await client.call('Maintenance/Status')).dbSizeQuota, quotaBytes);
    const value = 'x'.repeat(500_000);
    let error: { code: number; details: string } | undefined;
    for (let index = 0; index < 100 && !error; index++) {
      await client.call('KV/Put', { key: `q/${index % 4}`, value }).catch((refusal) => {
        error = refusal;
      });
    }
    t.match(error, { code: 8, details: noSpace });
    const { alarms } = await client.call('Maintenance/Alarm', { action: 0 });
    const { leader } = await client.call('Maintenance/Status');
    t.strictSame(alarms, [{ memberID: leader, alarm: 1 }], 'the alarm was raised');
    await refused(t, client.call('KV/Put', { key: 'small' }), 'RESOURCE_EXHAUSTED', noSpace);

    const head = (await client.call('KV/DeleteRange', { key: 'q/', rangeEnd: 'q0' })).header!.revision;
    await client.call('KV/Compact', { revision: head, physical: true });
    await client.call('Maintenance/Defragment');
    await refused(t, client.call('KV/Put', { key: 'small' }), 'RESOURCE_EXHAUSTED', noSpace, 'until it is disarmed');
    await client.call('Maintenance/Alarm', { action: 2, memberID: leader, alarm: 1 });
    await put(client, 'small', '1');
    for (let index = 0; index < 8; index++) await put(client, 'q/0', value);
  });
}
