import type { Test } from 'tap';
import { briefEvents, createWatch, currentRevision, put, watchStream } from './assertions.ts';
import { fresh, type Target } from './target.ts';

export async function leaseExpiry(t: Test, target: Target): Promise<void> {
  await t.test('never early; all keys in one revision, in key order', async (t) => {
    const { client } = await fresh(t, target);
    const stream = watchStream(t, client);
    await createWatch(stream, { key: 'e', rangeEnd: 'f', filters: [0], prevKv: true });
    const granted = performance.now();
    await client.call('Lease/LeaseGrant', { ID: 1, TTL: 2 });
    for (const key of ['e3', 'e1', 'e2']) await put(client, key, 'x', { lease: 1 }); // 2 to 4
    await put(client, 'e4', 'stays'); // 5
    const answer = await stream.next();
    const lived = performance.now() - granted;
    t.ok(lived >= 2_000, `expired after ${lived} ms`);
    t.strictSame(briefEvents(answer), ['DELETE e1 @6', 'DELETE e2 @6', 'DELETE e3 @6']);
    t.ok(answer.events.every((event) => event.prevKv?.lease === 1n));
    t.equal(await currentRevision(client), 6);
    t.equal((await client.call('Lease/LeaseTimeToLive', { ID: 1 })).TTL, -1);
    t.strictSame((await client.call('Lease/LeaseLeases')).leases, []);
    const keepAlive = client.open('Lease/LeaseKeepAlive');
    t.teardown(() => keepAlive.cancel());
    keepAlive.send({ ID: 1 });
    t.equal((await keepAlive.next()).TTL, 0);
  });

  await t.test('a lease without keys expires without a revision; one that is kept alive does not', async (t) => {
    const { client } = await fresh(t, target);
    await client.call('Lease/LeaseGrant', { ID: 1, TTL: 2 });
    await client.call('Lease/LeaseGrant', { ID: 2, TTL: 2 });
    await put(client, 'kept', 'x', { lease: 2 }); // 2
    const keepAlive = client.open('Lease/LeaseKeepAlive');
    t.teardown(() => keepAlive.cancel());
    const started = performance.now();
    for (;;) {
      keepAlive.send({ ID: 2 });
      t.equal((await keepAlive.next()).TTL, 2);
      const { TTL } = await client.call('Lease/LeaseTimeToLive', { ID: 1 });
      if (TTL === -1 && performance.now() - started > 4_500) break;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    t.equal(await currentRevision(client), 2);
    t.equal((await client.call('KV/Range', { key: 'kept' })).count, 1);
  });

  await t.test('a restart gives the whole time again, and forgets no key', async (t) => {
    const server = await fresh(t, target);
    const { client } = server;
    await client.call('Lease/LeaseGrant', { ID: 9, TTL: 60 });
    await put(client, 'r', 'x', { lease: 9 });
    while ((await client.call('Lease/LeaseTimeToLive', { ID: 9 })).TTL > 57) {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    if (target.name.endsWith('memory')) return; // nothing to restart from
    const stoppedAt = performance.now();
    await server.restart();
    const again = server.connect();
    t.teardown(() => again.close());
    const answer = await again.call('Lease/LeaseTimeToLive', { ID: 9, keys: true });
    const restartSeconds = (performance.now() - stoppedAt) / 1000;
    t.strictSame([answer.grantedTTL, answer.keys], [60, ['r']]);
    // The etcd behind a pass-through was not restarted.
    if (target.name.includes('before etcd')) return;
    t.ok(answer.TTL >= 59 - restartSeconds, `${answer.TTL} s left after ${restartSeconds} s, and not 57`);
  });
}
