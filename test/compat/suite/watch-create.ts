import type { Test } from 'tap';
import type { WatchResponse } from '../../support/messages.ts';
import { briefEvents, createWatch, put, takeEvents, watchStream } from './assertions.ts';
import { fresh, type Target } from './target.ts';

const noEvents = { fragment: false, compactRevision: 0, cancelReason: '', events: [] };
const created = (watchId: bigint, revision: number) => ({
  watchId,
  created: true,
  canceled: false,
  revision,
  ...noEvents,
});
const refusal = (revision: number, cancelReason: string) => ({
  ...noEvents,
  watchId: -1n,
  created: true,
  canceled: true,
  revision,
  cancelReason,
});

/** All fields, the header as its revision. */
function flat({ header, ...rest }: WatchResponse) {
  return { ...rest, revision: header?.revision };
}

export async function watchCreate(t: Test, target: Target): Promise<void> {
  const { client } = await fresh(t, target);
  await put(client, 'a', '1'); // 2
  await put(client, 'b', '1'); // 3
  await put(client, 'a', '2'); // 4

  await t.test('revision 0: created, then what comes', async (t) => {
    const stream = watchStream(t, client);
    const first = await createWatch(stream, { key: 'a' });
    t.strictSame(flat(first), created(0n, 4));
    t.not(first.header?.clusterId, 0n);
    t.not(first.header?.memberId, 0n);
    await put(client, 'a', '3'); // 5
    const answer = await stream.next();
    t.strictSame(flat({ ...answer, events: [] }), { ...created(0n, 5), created: false });
    t.strictSame(answer.events, [
      {
        type: 0,
        kv: { key: 'a', value: '3', createRevision: 2, modRevision: 5, version: 3, lease: 0n },
        prevKv: null,
      },
    ]);
  });

  await t.test('a past revision: created first, then the past', async (t) => {
    const stream = watchStream(t, client);
    t.strictSame(flat(await createWatch(stream, { key: '\0', rangeEnd: '\0', startRevision: 3 })), created(0n, 5));
    const answer = await stream.next();
    t.strictSame(briefEvents(answer), ['PUT b=1 @3', 'PUT a=2 @4', 'PUT a=3 @5']);
    t.equal(answer.header?.revision, 5, 'the header has the current revision');
    await put(client, 'b', '2'); // 6
    t.strictSame(await takeEvents(stream, 1), ['PUT b=2 @6']);
  });

  await t.test('revision 1 is the whole history', async (t) => {
    const stream = watchStream(t, client);
    await createWatch(stream, { key: 'a', startRevision: 1 });
    t.strictSame(await takeEvents(stream, 3), ['PUT a=1 @2', 'PUT a=2 @4', 'PUT a=3 @5']);
  });

  await t.test('the current revision', async (t) => {
    const stream = watchStream(t, client);
    await createWatch(stream, { key: 'b', startRevision: 6 });
    t.strictSame(await takeEvents(stream, 1), ['PUT b=2 @6']);
  });

  await t.test('a future revision: what comes before it is skipped', async (t) => {
    const stream = watchStream(t, client);
    t.strictSame(flat(await createWatch(stream, { key: 'a', startRevision: 9 })), created(0n, 6));
    for (const value of ['7', '8', '9', '10']) await put(client, 'a', value); // 7 to 10
    t.strictSame(await takeEvents(stream, 2), ['PUT a=9 @9', 'PUT a=10 @10']);
  });

  await t.test('a negative revision is refused as compacted', async (t) => {
    const stream = watchStream(t, client);
    for (const startRevision of [-1, -100]) {
      stream.send({ createRequest: { key: 'a', startRevision } });
      const text = 'etcdserver: mvcc: required revision has been compacted';
      t.strictSame(flat(await stream.next()), refusal(10, text), `revision ${startRevision}`);
    }
    t.strictSame(
      flat(await createWatch(stream, { key: 'a' })),
      created(0n, 10),
      'the stream goes on, and no id was used',
    );
  });

  await t.test('an empty range', async (t) => {
    const stream = watchStream(t, client);
    for (const rangeEnd of ['b', 'a', 'b\0'].slice(0, 2)) {
      stream.send({ createRequest: { key: 'b', rangeEnd } });
      t.strictSame(flat(await stream.next()), refusal(10, 'mvcc: watcher range is empty'), `b to ${rangeEnd}`);
    }
    t.strictSame(flat(await createWatch(stream, { key: 'b', rangeEnd: 'b\0' })), created(0n, 10));
  });

  await t.test('ids chosen by the server', async (t) => {
    const stream = watchStream(t, client);
    const ids: bigint[] = [];
    for (const request of [
      {},
      {},
      { watchId: 3 },
      { watchId: 2 },
      {},
      {},
      { watchId: -7 },
      { watchId: 2n ** 62n },
      {},
    ]) {
      ids.push((await createWatch(stream, { key: 'a', ...request })).watchId);
    }
    t.strictSame(ids, [0n, 1n, 3n, 2n, 4n, 5n, -7n, 2n ** 62n, 6n], 'those in use are skipped');
    stream.send({ createRequest: { key: 'z', watchId: 3 } });
    t.strictSame(flat(await stream.next()), refusal(10, 'mvcc: duplicate watch ID provided on the WatchStream'));
    t.equal((await createWatch(stream, { key: 'a', watchId: 9 })).watchId, 9n, 'the stream goes on');
    const other = watchStream(t, client);
    t.equal((await createWatch(other, { key: 'a', watchId: 3 })).watchId, 3n, 'ids belong to a stream');
  });

  await t.test('which keys', async (t) => {
    const stream = watchStream(t, client);
    await createWatch(stream, { watchId: 1, key: '', rangeEnd: '\0' });
    await createWatch(stream, { watchId: 2, key: '' });
    await createWatch(stream, { watchId: 3, key: 'k', rangeEnd: 'l' });
    await createWatch(stream, { watchId: 4, key: 'k', rangeEnd: '\0' });
    await createWatch(stream, { watchId: 5, key: 'k' });
    await createWatch(stream, { watchId: 6, key: 'k', rangeEnd: 'k\0' });
    const seen = async (key: string) => {
      await put(client, key);
      await put(client, `${key}/end`);
      const ids = new Set<number>();
      for (;;) {
        const answer = await stream.next();
        const keys = answer.events.map((event) => event.kv?.key);
        if (keys.includes(key)) ids.add(Number(answer.watchId));
        // Watch 1 sees everything: its next event says that all of the one before was sent, by etcd in any order of ids.
        if (keys.includes(`${key}/end`) && answer.watchId === 1n) return [...ids].sort((a, b) => a - b);
      }
    };
    t.strictSame(await seen('k'), [1, 3, 4, 5, 6]);
    t.strictSame(await seen('kk'), [1, 3, 4]);
    t.strictSame(await seen('l'), [1, 4]);
    t.strictSame(await seen('a'), [1]);
    await put(client, '\0', 'zero');
    const both = new Set<bigint>();
    while (both.size < 2) both.add((await stream.next()).watchId);
    t.strictSame(
      [...both].filter((id) => id === 2n),
      [2n],
      'an empty key is the key "\\0"',
    );
  });

  await t.test('an empty request is ignored', async (t) => {
    const stream = watchStream(t, client);
    stream.send({});
    t.equal((await createWatch(stream, { key: 'a' })).watchId, 0n);
  });
}
