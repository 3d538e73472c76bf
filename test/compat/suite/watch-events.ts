import type { Test } from 'tap';
import { brief, briefEvents, createWatch, currentRevision, put, takeEvents, watchStream } from './assertions.ts';
import { fresh, type Target } from './target.ts';

const whole = { key: '\0', rangeEnd: '\0' };

export async function watchEvents(t: Test, target: Target): Promise<void> {
  const { client } = await fresh(t, target);

  await t.test('put and delete, all fields, prev_kv', async (t) => {
    const stream = watchStream(t, client);
    await createWatch(stream, { key: 'a', prevKv: true });
    await client.call('Lease/LeaseGrant', { ID: 4, TTL: 600 });
    await put(client, 'a', '1', { lease: 4 }); // 2
    await put(client, 'a', '2'); // 3
    await client.call('KV/DeleteRange', { key: 'a' }); // 4
    await put(client, 'a', '3'); // 5
    const first = { key: 'a', value: '1', createRevision: 2, modRevision: 2, version: 1, lease: 4n };
    const second = { key: 'a', value: '2', createRevision: 2, modRevision: 3, version: 2, lease: 0n };
    const expected = [
      { type: 0, kv: first, prevKv: null },
      { type: 0, kv: second, prevKv: first },
      {
        type: 1,
        kv: { key: 'a', value: '', createRevision: 0, modRevision: 4, version: 0, lease: 0n },
        prevKv: second,
      },
      { type: 0, kv: { key: 'a', value: '3', createRevision: 5, modRevision: 5, version: 1, lease: 0n }, prevKv: null },
    ];
    for (const event of expected) t.strictSame((await stream.next()).events, [event]);
    const history = watchStream(t, client);
    await createWatch(history, { key: 'a', prevKv: true, startRevision: 2 });
    t.strictSame((await history.next()).events, expected, 'the same from history');
    const without = watchStream(t, client);
    await createWatch(without, { key: 'a', startRevision: 2 });
    t.ok(
      (await without.next()).events.every((event) => event.prevKv === null),
      'only if asked for',
    );
  });

  await t.test('filters', async (t) => {
    const stream = watchStream(t, client);
    await createWatch(stream, { watchId: 1, key: 'f', filters: [0] });
    await createWatch(stream, { watchId: 2, key: 'f', filters: [1] });
    await createWatch(stream, { watchId: 3, key: 'f', filters: [0, 1] });
    await createWatch(stream, { watchId: 4, key: 'f' });
    await createWatch(stream, { watchId: 5, key: 'f', filters: [9] });
    const revision = await put(client, 'f', 'x');
    await client.call('KV/DeleteRange', { key: 'f' });
    const seen: string[] = [];
    while (seen.length < 6) {
      const answer = await stream.next();
      for (const event of briefEvents(answer)) seen.push(`${answer.watchId} ${event}`);
    }
    t.strictSame(
      seen.sort(),
      [
        `1 DELETE f @${revision + 1}`,
        `2 PUT f=x @${revision}`,
        `4 DELETE f @${revision + 1}`,
        `4 PUT f=x @${revision}`,
        `5 DELETE f @${revision + 1}`,
        `5 PUT f=x @${revision}`,
      ],
      'NOPUT, NODELETE, both, none, unknown',
    );
    const history = watchStream(t, client);
    await createWatch(history, { key: 'f', filters: [0], startRevision: revision, prevKv: true });
    const answer = await history.next();
    t.strictSame(briefEvents(answer), [`DELETE f @${revision + 1}`], 'from history');
    t.equal(brief(answer.events[0]!.prevKv), `f=x create ${revision} mod ${revision} version 1`);
  });

  await t.test('a range delete: one response, in key order', async (t) => {
    for (const key of ['r2', 'r1', 'r3']) await put(client, key, 'x');
    const stream = watchStream(t, client);
    await createWatch(stream, { key: 'r', rangeEnd: 's', prevKv: true });
    const { header } = await client.call('KV/DeleteRange', { key: 'r', rangeEnd: 's' });
    const answer = await stream.next();
    t.strictSame(
      briefEvents(answer),
      ['r1', 'r2', 'r3'].map((key) => `DELETE ${key} @${header?.revision}`),
    );
    t.ok(answer.events.every((event) => event.prevKv?.value === 'x'));
  });

  await t.test('a put and a later delete of one key in different revisions keep their order', async (t) => {
    const stream = watchStream(t, client);
    const start = await currentRevision(client);
    for (let round = 0; round < 50; round++) {
      await put(client, 'o', `${round}`);
      await client.call('KV/DeleteRange', { key: 'o' });
    }
    await createWatch(stream, { key: 'o', startRevision: start + 1 });
    const expected = Array.from({ length: 50 }, (_, round) => [
      `PUT o=${round} @${start + 1 + 2 * round}`,
      `DELETE o @${start + 2 + 2 * round}`,
    ]).flat();
    t.strictSame(await takeEvents(stream, 100), expected);
  });

  await t.test(
    'a delete that precedes a put of the same key in one txn is not possible, but of others it is',
    async (t) => {
      const stream = watchStream(t, client);
      await put(client, 't1', 'x');
      await createWatch(stream, { ...whole, prevKv: true });
      await client.call('KV/Txn', {
        success: [
          { requestPut: { key: 't3', value: 'new' } },
          { requestDeleteRange: { key: 't1' } },
          { requestPut: { key: 't2', value: 'new' } },
        ],
      });
      const { events } = await stream.next();
      t.strictSame(
        events.map((event) => `${event.type} ${event.kv?.key} ${event.prevKv?.value}`),
        ['0 t3 undefined', '1 t1 x', '0 t2 undefined'],
      );
    },
  );

  await t.test('a lease that is revoked', async (t) => {
    await client.call('Lease/LeaseGrant', { ID: 8, TTL: 600 });
    for (const key of ['l2', 'l1']) await put(client, key, 'x', { lease: 8 });
    const stream = watchStream(t, client);
    await createWatch(stream, { key: 'l', rangeEnd: 'm', prevKv: true });
    const { header } = await client.call('Lease/LeaseRevoke', { ID: 8 });
    const answer = await stream.next();
    t.strictSame(briefEvents(answer), [`DELETE l1 @${header?.revision}`, `DELETE l2 @${header?.revision}`]);
    t.ok(answer.events.every((event) => event.prevKv?.lease === 8n));
  });

  await t.test('many watches on one stream, many streams on one connection', async (t) => {
    const streams = Array.from({ length: 10 }, () => watchStream(t, client));
    for (const stream of streams)
      for (let id = 0; id < 20; id++) await createWatch(stream, { key: 'm', watchId: id + 1 });
    const revision = await put(client, 'm', 'x');
    for (const stream of streams) {
      const ids: bigint[] = [];
      while (ids.length < 20) {
        const answer = await stream.next();
        t.strictSame(briefEvents(answer), [`PUT m=x @${revision}`]);
        ids.push(answer.watchId);
      }
      t.equal(new Set(ids).size, 20, 'each watch once');
    }
  });
}
