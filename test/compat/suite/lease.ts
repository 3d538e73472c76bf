import type { Test } from 'tap';
import { codes } from '../../support/codes.ts';
import { briefEvents, createWatch, currentRevision, put, refused, watchStream } from './assertions.ts';
import { fresh, type Target } from './target.ts';

const notFound = 'etcdserver: requested lease not found';

export async function lease(t: Test, target: Target): Promise<void> {
  const { client } = await fresh(t, target);

  await t.test('grant', async (t) => {
    const rows: [number, number][] = [
      [1, 2],
      [0, 2],
      [-5, 2],
      [2, 2],
      [3, 3],
      [100, 100],
      [9_000_000_000, 9_000_000_000],
    ];
    for (const [index, [TTL, granted]] of rows.entries()) {
      const ID = BigInt(100 + index);
      const answer = await client.call('Lease/LeaseGrant', { ID, TTL });
      t.strictSame([answer.ID, answer.TTL, answer.error], [ID, granted, ''], `TTL ${TTL}`);
      t.equal(answer.header?.revision, 1, 'no revision is taken');
      t.not(answer.header?.clusterId, 0n);
    }
    const tooLarge = 'etcdserver: too large lease TTL';
    await refused(t, client.call('Lease/LeaseGrant', { ID: 8, TTL: 9_000_000_001 }), 'OUT_OF_RANGE', tooLarge);
    const exists = 'etcdserver: lease already exists';
    await refused(t, client.call('Lease/LeaseGrant', { ID: 100, TTL: 50 }), 'FAILED_PRECONDITION', exists);
  });

  await t.test('ids', async (t) => {
    const ids = new Set<bigint>();
    for (let count = 0; count < 20; count++) {
      const { ID } = await client.call('Lease/LeaseGrant', { TTL: 600 });
      t.ok(ID > 0n && ID < 2n ** 63n, `${ID}`);
      ids.add(ID);
    }
    t.equal(ids.size, 20);
    t.ok(
      [...ids].some((id) => id > 2n ** 53n),
      'of 63 bits',
    );
    for (const ID of [-3n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n + 1n]) {
      t.equal((await client.call('Lease/LeaseGrant', { ID, TTL: 600 })).ID, ID);
      await put(client, `id/${ID}`, '', { lease: ID });
      t.equal((await client.call('KV/Range', { key: `id/${ID}` })).kvs[0]?.lease, ID);
      t.equal((await client.call('Lease/LeaseTimeToLive', { ID })).ID, ID);
    }
    const { leases } = await client.call('Lease/LeaseLeases');
    for (const id of [...ids, -3n, 2n ** 63n - 1n])
      t.ok(
        leases.some((one) => one.ID === id),
        `${id} is listed`,
      );
  });

  await t.test('time to live', async (t) => {
    await client.call('Lease/LeaseGrant', { ID: 200, TTL: 500 });
    for (const key of ['t3', 't1', 't2']) await put(client, key, '', { lease: 200 });
    const answer = await client.call('Lease/LeaseTimeToLive', { ID: 200, keys: true });
    t.equal(answer.ID, 200n);
    t.equal(answer.grantedTTL, 500);
    t.ok(answer.TTL <= 500 && answer.TTL > 400, `${answer.TTL}`);
    t.strictSame([...answer.keys].sort(), ['t1', 't2', 't3']);
    t.equal(answer.header?.revision, await currentRevision(client));
    t.strictSame((await client.call('Lease/LeaseTimeToLive', { ID: 200 })).keys, [], 'keys only if asked for');
    const missing = await client.call('Lease/LeaseTimeToLive', { ID: 999, keys: true });
    t.strictSame([missing.ID, missing.TTL, missing.grantedTTL, missing.keys], [999n, -1, 0, []], 'a missing lease');
    t.equal(missing.header?.revision, await currentRevision(client));
  });

  await t.test('revoke: its keys go in one revision', async (t) => {
    await client.call('Lease/LeaseGrant', { ID: 300, TTL: 600 });
    for (const key of ['r2', 'r1', 'r3']) await put(client, key, 'x', { lease: 300 });
    await put(client, 'r3', 'detached');
    const before = await currentRevision(client);
    const stream = watchStream(t, client);
    await createWatch(stream, { key: 'r', rangeEnd: 's' });
    const answer = await client.call('Lease/LeaseRevoke', { ID: 300 });
    t.equal(answer.header?.revision, before + 1);
    t.strictSame(briefEvents(await stream.next()), [`DELETE r1 @${before + 1}`, `DELETE r2 @${before + 1}`]);
    t.equal((await client.call('KV/Range', { key: 'r', rangeEnd: 's' })).kvs[0]?.value, 'detached');
    await refused(t, client.call('Lease/LeaseRevoke', { ID: 300 }), 'NOT_FOUND', notFound);
    await refused(t, client.call('Lease/LeaseRevoke', { ID: 0 }), 'NOT_FOUND', notFound);
    await refused(t, client.call('KV/Put', { key: 'r1', lease: 300 }), 'NOT_FOUND', notFound);
    t.equal((await client.call('Lease/LeaseGrant', { ID: 300, TTL: 60 })).ID, 300n, 'the id is free again');
  });

  await t.test('revoke without keys takes no revision', async (t) => {
    const before = await currentRevision(client);
    await client.call('Lease/LeaseGrant', { ID: 301, TTL: 600 });
    const answer = await client.call('Lease/LeaseRevoke', { ID: 301 });
    t.equal(answer.header?.revision, before);
    t.equal(await currentRevision(client), before);
  });

  await t.test('keep alive', async (t) => {
    await client.call('Lease/LeaseGrant', { ID: 400, TTL: 77 });
    const stream = client.open('Lease/LeaseKeepAlive');
    for (const [ID, TTL] of [
      [400, 77],
      [404, 0],
      [400, 77],
      [0, 0],
    ] as const) {
      stream.send({ ID });
      const answer = await stream.next();
      t.strictSame(
        [answer.ID, answer.TTL],
        [BigInt(ID), TTL],
        TTL ? 'the granted time again' : 'a missing lease: 0, and the stream goes on',
      );
      t.equal(answer.header?.revision, await currentRevision(client));
    }
    stream.send({ ID: 400 });
    stream.send({ ID: 400 });
    t.equal((await stream.next()).TTL, 77);
    t.equal((await stream.next()).TTL, 77);
    stream.end();
    t.equal((await stream.status).code, codes.OK, 'a half-closed stream ends with OK');
  });

  await t.test('list', async (t) => {
    const { leases } = await client.call('Lease/LeaseLeases');
    t.equal(new Set(leases.map(({ ID }) => ID)).size, leases.length);
    for (const { ID } of leases) await client.call('Lease/LeaseRevoke', { ID });
    const answer = await client.call('Lease/LeaseLeases');
    t.strictSame(answer.leases, []);
    t.equal(answer.header?.revision, await currentRevision(client));
  });
}
