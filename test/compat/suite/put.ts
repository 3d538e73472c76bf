import type { Test } from 'tap';
import { brief, put, refused } from './assertions.ts';
import { fresh, type Target } from './target.ts';

export async function putTopic(t: Test, target: Target): Promise<void> {
  const { client } = await fresh(t, target);
  const get = async (key: string) => (await client.call('KV/Range', { key })).kvs[0] ?? null;

  await t.test('revisions are dense and start at 2', async (t) => {
    t.equal(await put(client, 'a', '1'), 2);
    t.equal(await put(client, 'b', '1'), 3);
    t.equal(await put(client, 'a', '2'), 4);
    t.equal(brief(await get('a')), 'a=2 create 2 mod 4 version 2');
    t.equal(await put(client, 'a', '2'), 5, 'the same value takes a revision too');
    t.equal(brief(await get('a')), 'a=2 create 2 mod 5 version 3');
  });

  await t.test('prev_kv', async (t) => {
    const first = await client.call('KV/Put', { key: 'prev', value: 'x', prevKv: true });
    t.equal(first.prevKv, null);
    const second = await client.call('KV/Put', { key: 'prev', value: 'y', prevKv: true });
    const revision = first.header!.revision;
    t.equal(brief(second.prevKv), `prev=x create ${revision} mod ${revision} version 1`);
    const third = await client.call('KV/Put', { key: 'prev', value: 'z' });
    t.equal(third.prevKv, null, 'only if asked for');
  });

  await t.test('a key that was deleted starts anew', async (t) => {
    await put(client, 'gone', '1');
    await put(client, 'gone', '2');
    await client.call('KV/DeleteRange', { key: 'gone' });
    const answer = await client.call('KV/Put', { key: 'gone', value: '3', prevKv: true });
    t.equal(answer.prevKv, null);
    const revision = answer.header!.revision;
    t.equal(brief(await get('gone')), `gone=3 create ${revision} mod ${revision} version 1`);
  });

  await t.test('empty value', async (t) => {
    await put(client, 'empty');
    t.equal((await get('empty'))?.value, '');
  });

  await t.test('leases', async (t) => {
    const attached = async (ID: number) => (await client.call('Lease/LeaseTimeToLive', { ID, keys: true })).keys;
    await client.call('Lease/LeaseGrant', { ID: 1, TTL: 600 });
    await client.call('Lease/LeaseGrant', { ID: 2, TTL: 600 });
    await put(client, 'leased', 'x', { lease: 1 });
    t.equal((await get('leased'))?.lease, 1n);
    t.strictSame(await attached(1), ['leased']);
    await put(client, 'leased', 'x', { lease: 2 });
    t.strictSame([await attached(1), await attached(2)], [[], ['leased']], 'a put with a lease moves the key');
    await put(client, 'leased', 'y', { ignoreLease: true });
    t.strictSame([(await get('leased'))?.lease, (await get('leased'))?.value], [2n, 'y'], 'ignore_lease keeps it');
    await put(client, 'leased', '', { lease: 1, ignoreValue: true });
    t.strictSame(
      [(await get('leased'))?.lease, (await get('leased'))?.value],
      [1n, 'y'],
      'ignore_value keeps the value',
    );
    await put(client, 'leased', 'z');
    t.strictSame([await attached(1), await attached(2)], [[], []], 'a put without a lease detaches the key');
    t.equal((await get('leased'))?.lease, 0n);
    const both = await client.call('KV/Put', { key: 'leased', ignoreLease: true, ignoreValue: true, prevKv: true });
    t.equal(both.prevKv?.value, 'z');
    t.equal((await get('leased'))?.value, 'z');
    t.equal((await get('leased'))?.version, 6);
  });

  await t.test('refused, and nothing is written', async (t) => {
    const before = await get('a');
    const rows: [object, Parameters<typeof refused>[2], string][] = [
      [{}, 'INVALID_ARGUMENT', 'etcdserver: key is not provided'],
      [{ value: 'x' }, 'INVALID_ARGUMENT', 'etcdserver: key is not provided'],
      [{ key: 'a', value: 'x', ignoreValue: true }, 'INVALID_ARGUMENT', 'etcdserver: value is provided'],
      [{ key: 'a', lease: 1, ignoreLease: true }, 'INVALID_ARGUMENT', 'etcdserver: lease is provided'],
      [{ key: 'a', lease: 9, ignoreLease: true }, 'INVALID_ARGUMENT', 'etcdserver: lease is provided'],
      [{ key: 'missing', ignoreValue: true }, 'INVALID_ARGUMENT', 'etcdserver: key not found'],
      [{ key: 'missing', value: 'x', ignoreLease: true }, 'INVALID_ARGUMENT', 'etcdserver: key not found'],
      [{ key: 'a', value: 'x', lease: 999 }, 'NOT_FOUND', 'etcdserver: requested lease not found'],
      [{ key: 'missing', ignoreValue: true, lease: 999 }, 'NOT_FOUND', 'etcdserver: requested lease not found'],
      [{ key: 'a', value: 'x', lease: -1 }, 'NOT_FOUND', 'etcdserver: requested lease not found'],
    ];
    for (const [request, code, text] of rows) {
      await refused(t, client.call('KV/Put', { ...request }), code, text, `${JSON.stringify(request)}: ${text}`);
    }
    t.strictSame(await get('a'), before);
    t.equal(await get('missing'), null);
  });

  await t.test('many clients at once: every write has a revision of its own', async (t) => {
    const start = await put(client, 'start');
    const revisions = await Promise.all(
      Array.from({ length: 200 }, (_, index) => put(client, `many/${index % 20}`, `${index}`)),
    );
    t.strictSame(
      revisions.sort((a, b) => a - b),
      Array.from({ length: 200 }, (_, index) => start + 1 + index),
    );
    const answer = await client.call('KV/Range', { key: 'many/', rangeEnd: 'many0' });
    t.ok(answer.kvs.every((kv) => kv.version === 10));
  });
}
