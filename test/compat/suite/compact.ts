import type { Test } from 'tap';
import { brief, currentRevision, put, refused } from './assertions.ts';
import { fresh, type Target } from './target.ts';

const compacted = 'etcdserver: mvcc: required revision has been compacted';
const future = 'etcdserver: mvcc: required revision is a future revision';

export async function compact(t: Test, target: Target): Promise<void> {
  await t.test('revision 0, once', async (t) => {
    const { client } = await fresh(t, target);
    const answer = await client.call('KV/Compact', { revision: 0 });
    t.equal(answer.header?.revision, 1);
    await refused(t, client.call('KV/Compact', { revision: 0 }), 'OUT_OF_RANGE', compacted);
    await refused(t, client.call('KV/Compact', { revision: -1 }), 'OUT_OF_RANGE', compacted);
    await refused(t, client.call('KV/Compact', { revision: 2 }), 'OUT_OF_RANGE', future);
    await client.call('KV/Compact', { revision: 1 });
  });

  await t.test('below, at and above the compacted revision', async (t) => {
    const { client } = await fresh(t, target);
    await put(client, 'a', '1'); // 2
    await put(client, 'b', '1'); // 3
    await put(client, 'a', '2'); // 4
    await client.call('KV/DeleteRange', { key: 'b' }); // 5
    await put(client, 'c', '1'); // 6
    await refused(t, client.call('KV/Compact', { revision: 7 }), 'OUT_OF_RANGE', future);
    const answer = await client.call('KV/Compact', { revision: 4 });
    t.equal(answer.header?.revision, 6, 'the header has the current revision');
    t.equal(await currentRevision(client), 6, 'a compaction takes no revision');
    await refused(t, client.call('KV/Compact', { revision: 4 }), 'OUT_OF_RANGE', compacted);
    await refused(t, client.call('KV/Compact', { revision: 3 }), 'OUT_OF_RANGE', compacted);

    const at = async (revision: number) =>
      (await client.call('KV/Range', { key: '\0', rangeEnd: '\0', revision })).kvs.map(brief);
    for (const revision of [1, 2, 3]) {
      await refused(t, at(revision), 'OUT_OF_RANGE', compacted, `a read at ${revision}, at once`);
    }
    const a = 'a=2 create 2 mod 4 version 2';
    const b = 'b=1 create 3 mod 3 version 1';
    const c = 'c=1 create 6 mod 6 version 1';
    t.strictSame(await at(4), [a, b], 'the compacted revision itself is readable');
    t.strictSame(await at(5), [a]);
    t.strictSame(await at(6), [a, c]);
    t.strictSame(await at(0), [a, c]);

    await client.call('KV/Compact', { revision: 6, physical: true });
    t.strictSame(await at(6), [a, c], 'the current revision can be compacted');
    await refused(t, at(5), 'OUT_OF_RANGE', compacted);
    t.equal(await put(client, 'b', '2'), 7);
    t.strictSame(await at(7), [a, 'b=2 create 7 mod 7 version 1', c], 'a deleted key starts anew');
  });

  await t.test('versions and create revisions survive', async (t) => {
    const server = await fresh(t, target);
    const { client } = server;
    for (let value = 0; value < 50; value++) for (const key of ['x', 'y', 'z']) await put(client, key, `${value}`); // 2 to 151
    await client.call('KV/DeleteRange', { key: 'y' }); // 152
    const at = async (revision: number) =>
      (await client.call('KV/Range', { key: '\0', rangeEnd: '\0', revision })).kvs.map(brief);
    const before = [await at(120), await at(151), await at(152)];
    await client.call('KV/Compact', { revision: 120, physical: true });
    t.strictSame([await at(120), await at(151), await at(152)], before);
    await client.call('Maintenance/Defragment', {});
    t.strictSame([await at(120), await at(151), await at(152)], before, 'after a defragmentation');
    t.equal(before[2]?.[0], 'x=49 create 2 mod 149 version 50');
  });
}
