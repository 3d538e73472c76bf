import type { Test } from 'tap';
import { brief, currentRevision, keysOf, put, refused } from './assertions.ts';
import { fresh, type Target } from './target.ts';

const order = { NONE: 0, ASCEND: 1, DESCEND: 2 };
const sortBy = { KEY: 0, VERSION: 1, CREATE: 2, MOD: 3, VALUE: 4 };
const whole = { key: '\0', rangeEnd: '\0' };

export async function range(t: Test, target: Target): Promise<void> {
  const { client } = await fresh(t, target);

  await t.test('an empty store is at revision 1', async (t) => {
    const answer = await client.call('KV/Range', { key: 'a' });
    t.equal(answer.header?.revision, 1);
    t.not(answer.header?.clusterId, 0n);
    t.not(answer.header?.memberId, 0n);
    t.ok(answer.header!.raftTerm > 0n);
    t.strictSame([answer.kvs, answer.more, answer.count], [[], false, 0]);
  });

  // Values, versions and revisions are chosen so that every sort target gives another order.
  await put(client, 'a', '3'); // 2
  await put(client, 'b', '1'); // 3
  await put(client, 'c', '2'); // 4
  await put(client, 'd', '0'); // 5
  await put(client, 'a', '4'); // 6: version 2
  await put(client, 'c', '9'); // 7: version 2
  await put(client, 'c', '2'); // 8: version 3
  await client.call('Lease/LeaseGrant', { ID: 77, TTL: 600 });
  await put(client, 'b', '1', { lease: 77 }); // 9: version 2

  await t.test('which keys', async (t) => {
    const rows: [string, string, string[]][] = [
      ['b', '', ['b']],
      ['bb', '', []],
      ['a', 'c', ['a', 'b']],
      ['b', 'c\0', ['b', 'c']],
      ['b', '\0', ['b', 'c', 'd']],
      ['\0', '\0', ['a', 'b', 'c', 'd']],
      ['\0', '', []],
      ['b', 'b', []],
      ['c', 'a', []],
      ['a', 'b\0', ['a', 'b']],
      ['a', '\0\0', []],
      ['e', '\0', []],
    ];
    for (const [key, rangeEnd, expected] of rows) {
      const answer = await client.call('KV/Range', { key, rangeEnd });
      t.strictSame(keysOf(answer), expected, JSON.stringify([key, rangeEnd]));
      t.equal(answer.count, expected.length);
      t.equal(answer.more, false);
    }
    await refused(t, client.call('KV/Range', {}), 'INVALID_ARGUMENT', 'etcdserver: key is not provided');
    await refused(t, client.call('KV/Range', { rangeEnd: 'z' }), 'INVALID_ARGUMENT', 'etcdserver: key is not provided');
  });

  await t.test('a key value with all its fields', async (t) => {
    const answer = await client.call('KV/Range', { key: 'b' });
    t.strictSame(answer.kvs, [{ key: 'b', value: '1', createRevision: 3, modRevision: 9, version: 2, lease: 77n }]);
    t.equal(answer.header?.revision, 9);
  });

  await t.test('limit, more and count', async (t) => {
    const rows: [number, number, boolean][] = [
      [0, 4, false],
      [1, 1, true],
      [3, 3, true],
      [4, 4, false],
      [5, 4, false],
      [-1, 4, false],
      [-100, 4, false],
      [Number.MAX_SAFE_INTEGER, 4, false],
    ];
    for (const [limit, length, more] of rows) {
      const answer = await client.call('KV/Range', { ...whole, limit });
      t.strictSame([answer.kvs.length, answer.more, answer.count], [length, more, 4], `limit ${limit}`);
    }
    const largest = await client.call('KV/Range', { ...whole, limit: 2n ** 63n - 1n });
    t.strictSame([largest.kvs.length, largest.more, largest.count], [4, false, 4], 'the largest limit');
    const single = await client.call('KV/Range', { key: 'a', limit: 1 });
    t.strictSame([single.kvs.length, single.more, single.count], [1, false, 1], 'limit 1 on one key');
  });

  await t.test('count_only', async (t) => {
    for (const request of [{}, { limit: 2 }, { keysOnly: true }, { sortTarget: sortBy.VALUE, sortOrder: 2 }]) {
      const answer = await client.call('KV/Range', { ...whole, ...request, countOnly: true });
      t.strictSame([answer.kvs, answer.more, answer.count], [[], false, 4], JSON.stringify(request));
    }
    const filtered = await client.call('KV/Range', { ...whole, countOnly: true, minModRevision: 9 });
    t.equal(filtered.count, 4, 'filters do not change the count');
    const old = await client.call('KV/Range', { ...whole, countOnly: true, revision: 3 });
    t.equal(old.count, 2, 'at a revision');
    t.equal(old.header?.revision, 9);
  });

  await t.test('keys_only has neither value nor lease', async (t) => {
    const answer = await client.call('KV/Range', { ...whole, keysOnly: true });
    t.strictSame(answer.kvs[1], { key: 'b', value: '', createRevision: 3, modRevision: 9, version: 2, lease: 0n });
    t.ok(answer.kvs.every((kv) => kv.value === ''));
    t.equal(answer.count, 4);
    const limited = await client.call('KV/Range', { ...whole, keysOnly: true, limit: 2 });
    t.strictSame([keysOf(limited), limited.more, limited.count], [['a', 'b'], true, 4]);
    const byValue = await client.call('KV/Range', { ...whole, keysOnly: true, sortTarget: sortBy.VALUE, sortOrder: 1 });
    t.strictSame(keysOf(byValue), ['d', 'b', 'c', 'a'], 'sorted by the values that are not sent');
    t.ok(byValue.kvs.every((kv) => kv.value === ''));
  });

  await t.test('at a revision', async (t) => {
    const rows: [number, string[]][] = [
      [1, []],
      [2, ['a=3 create 2 mod 2 version 1']],
      [4, ['a=3 create 2 mod 2 version 1', 'b=1 create 3 mod 3 version 1', 'c=2 create 4 mod 4 version 1']],
    ];
    for (const [revision, expected] of rows) {
      const answer = await client.call('KV/Range', { ...whole, revision });
      t.strictSame(answer.kvs.map(brief), expected, `revision ${revision}`);
      t.equal(answer.header?.revision, 9, 'the header has the current revision');
      t.equal(answer.count, expected.length);
    }
    const current = await client.call('KV/Range', { ...whole, revision: 9 });
    t.equal(current.count, 4);
    for (const revision of [-1, -5]) {
      const negative = await client.call('KV/Range', { ...whole, revision });
      t.equal(negative.count, 4, `revision ${revision} is the latest`);
    }
    const future = 'etcdserver: mvcc: required revision is a future revision';
    await refused(t, client.call('KV/Range', { key: 'a', revision: 10 }), 'OUT_OF_RANGE', future);
    await refused(t, client.call('KV/Range', { key: 'a', revision: 2n ** 63n - 1n }), 'OUT_OF_RANGE', future);
  });

  await t.test('sorting', async (t) => {
    const ascending: [number, string[]][] = [
      [sortBy.KEY, ['a', 'b', 'c', 'd']],
      [sortBy.VERSION, ['d', 'a', 'b', 'c']],
      [sortBy.CREATE, ['a', 'b', 'c', 'd']],
      [sortBy.MOD, ['d', 'a', 'c', 'b']],
      [sortBy.VALUE, ['d', 'b', 'c', 'a']],
    ];
    for (const [sortTarget, expected] of ascending) {
      const up = await client.call('KV/Range', { ...whole, sortTarget, sortOrder: order.ASCEND });
      t.strictSame(keysOf(up), expected, `target ${sortTarget} ascending`);
      const none = await client.call('KV/Range', { ...whole, sortTarget, sortOrder: order.NONE });
      t.strictSame(keysOf(none), expected, `target ${sortTarget} without order`);
      const first = await client.call('KV/Range', { ...whole, sortTarget, sortOrder: order.ASCEND, limit: 2 });
      t.strictSame(keysOf(first), expected.slice(0, 2), `target ${sortTarget}: the limit cuts after sorting`);
      t.strictSame([first.more, first.count], [true, 4]);
      const down = await client.call('KV/Range', { ...whole, sortTarget, sortOrder: order.DESCEND, limit: 1 });
      const last = sortTarget === sortBy.VERSION ? 'c' : expected.at(-1)!;
      t.strictSame(keysOf(down), [last], `target ${sortTarget} descending, limit 1`);
    }
    const quirk = await client.call('KV/Range', {
      ...whole,
      sortTarget: sortBy.VALUE,
      sortOrder: order.NONE,
      limit: 2,
    });
    t.strictSame(keysOf(quirk), ['b', 'c'], 'without order the first limit + 1 keys are sorted, then cut');
    t.strictSame([quirk.more, quirk.count], [true, 4]);
    const ties = await client.call('KV/Range', {
      key: 'a',
      rangeEnd: 'c',
      sortTarget: sortBy.VERSION,
      sortOrder: order.DESCEND,
    });
    t.strictSame(keysOf(ties), ['a', 'b'], 'ties stay in key order, also descending');
    const old = await client.call('KV/Range', {
      ...whole,
      revision: 4,
      sortTarget: sortBy.VALUE,
      sortOrder: order.DESCEND,
    });
    t.strictSame(keysOf(old), ['a', 'c', 'b'], 'at a revision');
    for (const odd of [{ sortOrder: 3 }, { sortTarget: 5 }, { sortOrder: -1 }, { sortTarget: 99, countOnly: true }]) {
      const call = client.call('KV/Range', { ...whole, ...odd });
      await refused(t, call, 'INVALID_ARGUMENT', 'etcdserver: invalid sort option', JSON.stringify(odd));
    }
  });

  await t.test('revision filters', async (t) => {
    const rows: [object, string[]][] = [
      [{ minModRevision: 8 }, ['b', 'c']],
      [{ maxModRevision: 6 }, ['a', 'd']],
      [{ minModRevision: 6, maxModRevision: 8 }, ['a', 'c']],
      [{ minCreateRevision: 4 }, ['c', 'd']],
      [{ maxCreateRevision: 3 }, ['a', 'b']],
      [{ minCreateRevision: 3, maxCreateRevision: 4 }, ['b', 'c']],
      [{ minModRevision: 9, maxModRevision: 2 }, []],
      [{ minModRevision: -1 }, ['a', 'b', 'c', 'd']],
      [{ maxModRevision: -1 }, []],
      [{ maxCreateRevision: -1 }, []],
    ];
    for (const [filter, expected] of rows) {
      const answer = await client.call('KV/Range', { ...whole, ...filter });
      t.strictSame(keysOf(answer), expected, JSON.stringify(filter));
      t.strictSame([answer.count, answer.more], [4, false], 'the count ignores filters');
      const limited = await client.call('KV/Range', { ...whole, ...filter, limit: 1 });
      t.strictSame(keysOf(limited), expected.slice(0, 1), 'the limit cuts what the filter left');
      t.strictSame([limited.count, limited.more], [4, expected.length > 1]);
    }
    const latestBefore = {
      ...whole,
      maxCreateRevision: 4,
      sortTarget: sortBy.CREATE,
      sortOrder: order.DESCEND,
      limit: 1,
    };
    t.strictSame(keysOf(await client.call('KV/Range', latestBefore)), ['c'], 'what an election asks');
    const keysOnly = await client.call('KV/Range', { ...whole, keysOnly: true, minModRevision: 9 });
    t.strictSame(keysOf(keysOnly), ['b']);
  });

  await t.test('serializable', async (t) => {
    const answer = await client.call('KV/Range', { ...whole, serializable: true });
    t.equal(answer.header?.revision, await currentRevision(client));
    t.strictSame(keysOf(answer), ['a', 'b', 'c', 'd']);
  });

  await t.test('keys and values are bytes', async (t) => {
    const bytes = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte));
    for (const byte of bytes) await put(client, `bytes/${byte}`, byte);
    const answer = await client.call('KV/Range', { key: 'bytes/', rangeEnd: 'bytes0' });
    t.strictSame(
      keysOf(answer),
      bytes.map((byte) => `bytes/${byte}`),
      'in byte order',
    );
    t.strictSame(
      answer.kvs.map((kv) => kv.value),
      bytes,
    );
    const all = bytes.join('');
    await put(client, all, all);
    t.equal((await client.call('KV/Range', { key: all })).kvs[0]?.value, all);
    await put(client, '\xff\xff', 'last');
    t.strictSame(keysOf(await client.call('KV/Range', { key: '\xff', rangeEnd: '\0' })), ['\xff\xff']);
  });
}
