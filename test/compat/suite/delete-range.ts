import type { Test } from 'tap';
import { brief, currentRevision, put, refused } from './assertions.ts';
import { fresh, type Target } from './target.ts';

export async function deleteRange(t: Test, target: Target): Promise<void> {
  const { client } = await fresh(t, target);
  for (const key of ['a', 'b', 'c', 'd', 'e']) await put(client, key, key.toUpperCase()); // 2 to 6

  await t.test('one key', async (t) => {
    const answer = await client.call('KV/DeleteRange', { key: 'a' });
    t.match(answer, { deleted: 1, prevKvs: [], header: { revision: 7 } });
    t.equal((await client.call('KV/Range', { key: 'a' })).count, 0);
    t.equal((await client.call('KV/Range', { key: 'a', revision: 6 })).count, 1, 'history stays');
  });

  await t.test('what matches nothing takes no revision', async (t) => {
    for (const request of [
      { key: 'a' },
      { key: 'x', rangeEnd: 'z' },
      { key: 'c', rangeEnd: 'b' },
      { key: 'c', rangeEnd: 'c' },
    ]) {
      const answer = await client.call('KV/DeleteRange', { ...request, prevKv: true });
      t.strictSame([answer.deleted, answer.prevKvs, answer.header?.revision], [0, [], 7], JSON.stringify(request));
    }
    t.equal(await currentRevision(client), 7);
  });

  await t.test('a range is one revision; prev_kvs in key order', async (t) => {
    const answer = await client.call('KV/DeleteRange', { key: 'b', rangeEnd: 'd', prevKv: true });
    t.equal(answer.deleted, 2);
    t.equal(answer.header?.revision, 8);
    t.strictSame(answer.prevKvs.map(brief), ['b=B create 3 mod 3 version 1', 'c=C create 4 mod 4 version 1']);
  });

  await t.test('range_end "\\0" is everything from the key on', async (t) => {
    await put(client, 'f'); // 9
    const answer = await client.call('KV/DeleteRange', { key: 'e', rangeEnd: '\0' });
    t.equal(answer.deleted, 2);
    const all = await client.call('KV/DeleteRange', { key: '\0', rangeEnd: '\0', prevKv: true });
    t.strictSame(all.prevKvs.map(brief), ['d=D create 5 mod 5 version 1']);
    t.equal((await client.call('KV/Range', { key: '\0', rangeEnd: '\0' })).count, 0);
  });

  await t.test('a deleted key leaves its lease', async (t) => {
    await client.call('Lease/LeaseGrant', { ID: 5, TTL: 600 });
    await put(client, 'leased', '', { lease: 5 });
    await client.call('KV/DeleteRange', { key: 'leased' });
    t.strictSame((await client.call('Lease/LeaseTimeToLive', { ID: 5, keys: true })).keys, []);
  });

  await t.test('refused', async (t) => {
    for (const request of [{}, { rangeEnd: 'z' }, { rangeEnd: '\0' }]) {
      await refused(t, client.call('KV/DeleteRange', request), 'INVALID_ARGUMENT', 'etcdserver: key is not provided');
    }
  });
}
