import type { Test } from 'tap';
import { brief, briefEvents, createWatch, put, takeEvents, watchStream } from './assertions.ts';
import { fresh, type Target } from './target.ts';

const whole = { key: '\0', rangeEnd: '\0' };

export async function watchCompacted(t: Test, target: Target): Promise<void> {
  const { client } = await fresh(t, target);
  await put(client, 'a', '1'); // 2
  await put(client, 'b', '1'); // 3
  await put(client, 'a', '2'); // 4
  await client.call('KV/DeleteRange', { key: 'b' }); // 5
  await put(client, 'a', '3'); // 6
  await put(client, 'b', '2'); // 7
  const early = watchStream(t, client);
  await createWatch(early, whole);
  await client.call('KV/Compact', { revision: 5 });

  await t.test('a start below: created, then cancelled with the compacted revision', async (t) => {
    for (const startRevision of [1, 2, 4]) {
      const stream = watchStream(t, client);
      const created = await createWatch(stream, { ...whole, startRevision });
      t.match(created, { watchId: 0n, created: true, canceled: false, cancelReason: '', compactRevision: 0 });
      t.equal(created.header?.revision, 7);
      const answer = await stream.next();
      t.match(answer, {
        watchId: 0n,
        created: false,
        canceled: true,
        cancelReason: '',
        compactRevision: 5,
        events: [],
      });
      t.equal(answer.header?.revision, 0, 'the header has the ids but no revision');
      t.equal(answer.header?.clusterId, created.header?.clusterId);
      const next = await createWatch(stream, { key: 'a' });
      t.equal(next.watchId, 1n, 'the stream goes on');
    }
  });

  await t.test('the id of a watch that was compacted stays taken until the client cancels it', async (t) => {
    const stream = watchStream(t, client);
    await createWatch(stream, { ...whole, startRevision: 2, watchId: 7 });
    t.match(await stream.next(), { watchId: 7n, canceled: true, compactRevision: 5 });
    stream.send({ createRequest: { key: 'a', watchId: 7 } });
    const cancelReason = 'mvcc: duplicate watch ID provided on the WatchStream';
    t.match(await stream.next(), { watchId: -1n, created: true, canceled: true, cancelReason });
    stream.send({ cancelRequest: { watchId: 7 } });
    t.match(await stream.next(), { watchId: 7n, created: false, canceled: true, compactRevision: 0 });
    t.equal((await createWatch(stream, { key: 'a', watchId: 7 })).watchId, 7n);
  });

  await t.test('a start at the compacted revision works, with the tombstone there', async (t) => {
    const stream = watchStream(t, client);
    await createWatch(stream, { ...whole, startRevision: 5, prevKv: true });
    const answer = await stream.next();
    t.strictSame(briefEvents(answer), ['DELETE b @5', 'PUT a=3 @6', 'PUT b=2 @7']);
    t.strictSame(
      answer.events.map((event) => brief(event.prevKv)),
      ['none', 'a=2 create 2 mod 4 version 2', 'none'],
      'prev_kv is gone exactly at the compacted revision, and there after it',
    );
  });

  await t.test('a start above', async (t) => {
    const stream = watchStream(t, client);
    await createWatch(stream, { ...whole, startRevision: 6 });
    t.strictSame(await takeEvents(stream, 2), ['PUT a=3 @6', 'PUT b=2 @7']);
  });

  await t.test('watches that are up to date do not notice a compaction', async (t) => {
    await put(client, 'c', '1'); // 8
    await client.call('KV/Compact', { revision: 8 });
    await put(client, 'c', '2'); // 9
    t.strictSame(await takeEvents(early, 2), ['PUT c=1 @8', 'PUT c=2 @9']);
  });

  await t.test('at a compacted put: its event is there, what it replaced is not', async (t) => {
    await put(client, 'c', '3'); // 10
    await client.call('KV/Compact', { revision: 9 });
    const stream = watchStream(t, client);
    await createWatch(stream, { ...whole, startRevision: 9, prevKv: true });
    const answer = await stream.next();
    t.strictSame(briefEvents(answer), ['PUT c=2 @9', 'PUT c=3 @10']);
    t.strictSame(
      answer.events.map((event) => brief(event.prevKv)),
      ['none', 'c=2 create 8 mod 9 version 2'],
    );
  });

  await t.test('several watches on one stream: only the compacted one goes', async (t) => {
    const stream = watchStream(t, client);
    await createWatch(stream, { key: 'c', watchId: 1 });
    await createWatch(stream, { key: 'c', watchId: 2, startRevision: 3 });
    t.match(await stream.next(), { watchId: 2n, canceled: true, compactRevision: 9 });
    await put(client, 'c', '4'); // 11
    t.match(await stream.next(), { watchId: 1n, canceled: false, events: [{ kv: { value: '4' } }] });
  });
}
