/** The npm client `etcd3`, as applications use it. */
import { once } from 'node:events';
import { Etcd3, type IKeyValue } from 'etcd3';
import type { Test } from 'tap';
import { fresh, skipped, type Target } from '../suite/target.ts';

const text = (bytes: Buffer | undefined) => bytes?.toString() ?? 'none';

export async function etcd3Client(t: Test, target: Target): Promise<void> {
  if (skipped(t, target)) return;
  const server = await fresh(t, target);
  const client = new Etcd3({ hosts: server.url });
  t.teardown(() => client.close());

  await t.test('put, get, delete', async (t) => {
    await client.put('a').value('1');
    t.equal(await client.get('a').string(), '1');
    t.equal((await client.put('a').value('2').getPrevious()).value.toString(), '1');
    t.equal(await client.get('a').number(), 2);
    t.equal(await client.get('missing').string(), null);
    t.equal(await client.get('a').revision(2).string(), '1');
    const bytes = Buffer.from([0, 255, 128]);
    await client.put(bytes).value(bytes);
    t.strictSame(await client.get(bytes).buffer(), bytes);
    for (const key of ['p/1', 'p/2', 'p/3']) await client.put(key).value(key);
    t.strictSame(await client.getAll().prefix('p/').strings(), { 'p/1': 'p/1', 'p/2': 'p/2', 'p/3': 'p/3' });
    t.strictSame(await client.getAll().prefix('p/').sort('Key', 'Descend').limit(2).keys(), ['p/3', 'p/2']);
    t.equal(await client.getAll().prefix('p/').count(), 3);
    t.equal((await client.getAll().inRange({ start: 'p/1', end: 'p/3' }).exec()).kvs.length, 2);
    t.equal((await client.delete().prefix('p/')).deleted, '3');
    t.equal((await client.delete().key('a').getPrevious())[0]?.value.toString(), '2');
  });

  await t.test('namespaces', async (t) => {
    const namespace = client.namespace('n/');
    await namespace.put('x').value('1');
    t.equal(await client.get('n/x').string(), '1');
    t.strictSame(await namespace.getAll().strings(), { x: '1' });
    await namespace.delete().all();
    t.equal(await client.get('n/x').string(), null);
  });

  await t.test('txn', async (t) => {
    const create = () =>
      client.if('t', 'Create', '==', 0).then(client.put('t').value('1')).else(client.get('t')).commit();
    t.equal((await create()).succeeded, true);
    const second = await create();
    t.equal(second.succeeded, false);
    t.equal(second.responses[0]?.response_range?.kvs[0]?.value.toString(), '1');
    const results = await Promise.all(
      Array.from({ length: 20 }, () =>
        client.stm({ retries: 100 }).transact(async (tx) => {
          const value = (await tx.get('t').number()) ?? 0;
          await tx.put('t').value(value + 1);
        }),
      ),
    );
    t.equal(results.length, 20);
    t.equal(await client.get('t').number(), 21, 'twenty software transactions that conflict: each counts once');
  });

  await t.test('watch', async (t) => {
    const watcher = await client.watch().prefix('w/').withPreviousKV().create();
    const events: string[] = [];
    const done = new Promise<void>((resolve) => {
      watcher.on('put', (kv: IKeyValue, previous?: IKeyValue) => {
        events.push(`put ${text(kv.key)} ${text(kv.value)} ${text(previous?.value)}`);
      });
      watcher.on('delete', (kv: IKeyValue, previous?: IKeyValue) => {
        events.push(`delete ${text(kv.key)} ${text(previous?.value)}`);
        resolve();
      });
    });
    await client.put('w/1').value('1');
    await client.put('w/1').value('2');
    await client.delete().key('w/1');
    await done;
    t.strictSame(events, ['put w/1 1 none', 'put w/1 2 1', 'delete w/1 2']);
    await watcher.cancel();
    const second = await client.watch().key('w/2').create();
    const put = once(second, 'put');
    await client.put('w/1').value('3');
    await client.put('w/2').value('4');
    t.equal(String(((await put) as [IKeyValue])[0].value), '4', 'another watch on the same stream');
    await second.cancel();
  });

  await t.test('a watch survives a restart of the server', async (t) => {
    if (target.name.endsWith('memory')) return;
    const watcher = await client.watch().key('r').create();
    const put = once(watcher, 'put');
    await server.restart();
    await client
      .put('r')
      .value('after')
      .catch(() => client.put('r').value('after'));
    t.equal(String(((await put) as [IKeyValue])[0].value), 'after');
    await watcher.cancel();
  });

  await t.test('lease', async (t) => {
    const lease = client.lease(60, { autoKeepAlive: false });
    await lease.put('l').value('1');
    const id = await lease.grant();
    t.equal((await client.get('l').exec()).kvs[0]?.lease, id);
    t.equal((await lease.keepaliveOnce()).TTL, '60');
    await lease.revoke();
    t.equal(await client.get('l').string(), null);
    await t.rejects(lease.put('l').value('2').exec(), { message: /expired or revoked/ });

    const kept = client.lease(2);
    await kept.put('kept').value('1');
    for (let count = 0; count < 4; count++) await once(kept, 'keepaliveSucceeded');
    t.equal(await client.get('kept').string(), '1', 'kept alive for longer than its time');
    await kept.revoke();
  });

  await t.test('maintenance and cluster', async (t) => {
    const status = await client.maintenance.status();
    t.match(status.version, /^3\.7\./);
    const { members } = await client.cluster.memberList({});
    t.strictSame([members.length, members[0]?.clientURLs], [1, [server.url]]);
    t.equal(members[0]?.ID, status.leader, '64-bit ids are the same everywhere');
  });
}
