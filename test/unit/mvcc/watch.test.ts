import t, { type Test } from 'tap';
import type { Store } from '../../../src/mvcc/store.ts';
import { BackendError } from '../../../src/registry/log.ts';
import { deleteRange, put, txn } from './requests.ts';
import { TestSink, watch } from './sink.ts';
import { gate, openStorage, openStore, type TestStorage, turns, until } from './storage.ts';

async function opened(
  t: Test,
  options: { exclusive?: boolean; valueCacheBytes?: number } = {},
): Promise<{ storage: TestStorage; store: Store }> {
  const storage = await openStorage({ exclusive: options.exclusive ?? true });
  const store = await openStore(storage, { valueCacheBytes: options.valueCacheBytes ?? 1024 * 1024 });
  t.teardown(() => store.close());
  return { storage, store };
}

/** The newest revisions are kept in memory while anybody watches. */
function keepRecent(store: Store): void {
  watch(store, new TestSink(), 0);
}

t.test('events come live, in order, with the revision of the store', async (t) => {
  const { store } = await opened(t);
  const sink = new TestSink();
  watch(store, sink);
  await store.put(put('a', '1'));
  await store.txn(txn([], [put('b', '2'), deleteRange('a')]));
  t.strictSame(sink.received, ['put a=1 @2', 'put b=2 @3', 'delete a @3']);
  t.strictSame(sink.headers, [2, 3]);
});

t.test('requests of one batch come as one response', async (t) => {
  const { store } = await opened(t);
  const sink = new TestSink();
  watch(store, sink);
  await Promise.all([store.put(put('a', '1')), store.put(put('a', '2')), store.put(put('b', '3'))]);
  t.strictSame(sink.received, ['put a=1 @2', 'put a=2 @3', 'put b=3 @4']);
  t.strictSame(sink.headers, [4]);
});

t.test('a watch from the past catches up and goes on live', async (t) => {
  const { store } = await opened(t);
  for (let i = 0; i < 5; i++) await store.put(put('a', String(i)));
  const sink = new TestSink();
  watch(store, sink, 4);
  t.strictSame(sink.received, [], 'nothing before the call has returned');
  await store.put(put('a', 'live'));
  await until('all are there', () => sink.received.length === 4);
  t.strictSame(sink.received, ['put a=2 @4', 'put a=3 @5', 'put a=4 @6', 'put a=live @7']);
});

t.test('a watch from revision 1 of an empty store', async (t) => {
  const { store } = await opened(t);
  const sink = new TestSink();
  const watcher = watch(store, sink, 1);
  t.equal(store.hub.hasReached(watcher), true);
  await store.put(put('a', '1'));
  await until('the event is there', () => sink.received.length === 1);
  t.strictSame(sink.received, ['put a=1 @2']);
});

t.test('a watch from the future skips what is before', async (t) => {
  const { store } = await opened(t);
  const sink = new TestSink();
  const watcher = watch(store, sink, 4);
  await store.put(put('a', '2'));
  await store.put(put('a', '3'));
  await turns();
  t.strictSame(sink.received, []);
  t.equal(store.hub.hasReached(watcher), false, 'the store has not come to its start');
  await store.put(put('a', '4'));
  await until('its first event is there', () => sink.received.length === 1);
  t.strictSame(sink.received, ['put a=4 @4']);
  t.equal(store.hub.hasReached(watcher), true);
});

t.test('a future watch whose start lies within a batch', async (t) => {
  const { store } = await opened(t);
  const sink = new TestSink();
  watch(store, sink, 3);
  await Promise.all(['2', '3', '4'].map((value) => store.put(put('a', value))));
  await until('its events are there', () => sink.received.length === 2);
  t.strictSame(sink.received, ['put a=3 @3', 'put a=4 @4']);
});

t.test('a future watch counts as reached when nothing in its range happened', async (t) => {
  const { store } = await opened(t);
  const sink = new TestSink();
  const watcher = watch(store, sink, 3, { key: 'b', rangeEnd: '' });
  for (let i = 0; i < 3; i++) await store.put(put('a', String(i)));
  t.equal(store.hub.hasReached(watcher), true);
  await store.put(put('b', '5'));
  t.strictSame(sink.received, ['put b=5 @5']);
});

t.test('a future watch that a compaction passed has lost nothing', async (t) => {
  const { store } = await opened(t);
  const sink = new TestSink();
  watch(store, sink, 3, { key: 'b', rangeEnd: '' });
  for (let i = 0; i < 6; i++) await store.put(put('a', String(i)));
  await store.compact(6, true);
  await store.put(put('b', 'first'));
  await until('its event is there', () => sink.received.length > 0 || sink.compactedAt !== undefined);
  t.strictSame(sink.received, ['put b=first @8']);
  t.equal(sink.compactedAt, undefined);
});

t.test('a slow client gets everything once it reads again, and holds up nobody', async (t) => {
  const { store } = await opened(t);
  const [slow, fast] = [new TestSink(), new TestSink()];
  const watcher = watch(store, slow);
  watch(store, fast);
  await store.put(put('a', '1'));
  slow.pause();
  for (let i = 2; i < 50; i++) await store.put(put('a', String(i)));
  t.equal(fast.received.length, 49);
  t.equal(slow.received.length, 1);
  t.equal(store.hub.hasReached(watcher), false);
  t.equal(store.hub.slowWatchers, 1);
  slow.resume();
  await until('it has caught up', () => slow.received.length >= 49);
  t.strictSame(slow.received, fast.received);
  await until('it is handed over', () => store.hub.hasReached(watcher));
  await store.put(put('a', 'live'));
  t.strictSame(slow.received, fast.received);
  t.equal(store.hub.slowWatchers, 0);
});

t.test('who is behind the compacted revision is told so, once', async (t) => {
  const { store } = await opened(t);
  const [slow, late] = [new TestSink(), new TestSink()];
  watch(store, slow);
  slow.pause();
  for (let i = 0; i < 5; i++) await store.put(put('a', String(i)));
  await store.compact(5, true);
  watch(store, late, 4);
  await until('both are told', () => slow.compactedAt === 5 && late.compactedAt === 5);
  slow.resume();
  await store.put(put('a', 'more'));
  await turns();
  t.strictSame([slow.received, late.received], [[], []]);
  t.equal(store.hub.watchers, 0);
});

t.test('the first revision has no events, but can be compacted', async (t) => {
  const { store } = await opened(t);
  await store.put(put('a', '1'));
  await store.compact(1, true);
  const early = new TestSink();
  watch(store, early, 1);
  await until('it has caught up', () => early.received.length === 1);
  t.strictSame(early.received, ['put a=1 @2']);
  await store.compact(2, true);
  const late = new TestSink();
  watch(store, late, 1);
  await until('it is told', () => late.compactedAt === 2);
  t.strictSame(late.received, []);
});

t.test('a watch may start at the compacted revision; what was before that is gone', async (t) => {
  const { store } = await opened(t);
  for (let i = 2; i < 6; i++) await store.put(put('a', String(i)));
  await store.deleteRange(deleteRange('a'));
  await store.put(put('a', '7'));
  await store.compact(6, true);
  const sink = new TestSink();
  watch(store, sink, 6, { prevKv: true });
  await store.put(put('a', '8'));
  await until('all are there', () => sink.received.length === 3);
  t.strictSame(sink.received, ['delete a @6', 'put a=7 @7', 'put a=8 @8 (7)']);
});

t.test('what was before the compacted revision is gone at once, not only when the space is free', async (t) => {
  const { storage, store } = await opened(t);
  for (let i = 2; i < 6; i++) await store.put(put('a', String(i)));
  const held = gate();
  storage.on.image.begin = async (call) => {
    await held.passed;
    return await call();
  };
  await store.compact(4, false);
  const sink = new TestSink();
  watch(store, sink, 4, { prevKv: true });
  await until('all are there', () => sink.received.length === 2);
  t.strictSame(sink.received, ['put a=4 @4', 'put a=5 @5 (4)']);
  held.open();
});

t.test('filters and previous values', async (t) => {
  const { store } = await opened(t);
  const [puts, deletes, previous] = [new TestSink(), new TestSink(), new TestSink()];
  watch(store, puts, 0, { noDelete: true });
  watch(store, deletes, 0, { noPut: true });
  watch(store, previous, 0, { prevKv: true });
  await store.put(put('a', '1'));
  await store.put(put('a', '2'));
  await store.deleteRange(deleteRange('a'));
  await store.put(put('a', '5'));
  t.strictSame(puts.received, ['put a=1 @2', 'put a=2 @3', 'put a=5 @5']);
  t.strictSame(deletes.received, ['delete a @4']);
  t.strictSame(previous.received, ['put a=1 @2', 'put a=2 @3 (1)', 'delete a @4 (2)', 'put a=5 @5']);
});

t.test('previous values that are not in memory are loaded, and nothing overtakes', async (t) => {
  const { storage, store } = await opened(t, { valueCacheBytes: 300 });
  const sink = new TestSink();
  const watcher = watch(store, sink, 0, { prevKv: true });
  await store.put(put('a', 'x'.repeat(200)));
  for (let i = 0; i < 5; i++) await store.put(put('b', 'y'.repeat(200)));
  await until('it is up to date', () => store.hub.hasReached(watcher));
  const loading = gate();
  storage.on.log.load = async (call, slots) => {
    await loading.passed;
    return await call(slots);
  };
  await store.put(put('a', '2'));
  await store.put(put('c', '3'));
  await turns();
  t.equal(sink.received.length, 6, 'events wait for the value');
  t.equal(store.hub.hasReached(watcher), false, 'and so does progress');
  loading.open();
  await until('they came', () => sink.received.length === 8);
  t.strictSame(sink.received.slice(6), [`put a=2 @8 (${'x'.repeat(200)})`, 'put c=3 @9']);
});

t.test('watches that see the same share the encoded events', async (t) => {
  const { store } = await opened(t);
  const sinks = Array.from({ length: 50 }, () => new TestSink());
  for (const sink of sinks) watch(store, sink);
  const other = new TestSink();
  watch(store, other, 0, { prevKv: true });
  await store.put(put('a', '1'));
  t.equal(new Set(sinks.map(({ blocks }) => blocks[0])).size, 1);
  t.not(other.blocks[0], sinks[0]?.blocks[0]);
  const late = Array.from({ length: 50 }, () => new TestSink());
  for (const sink of late) watch(store, sink, 2);
  await until('all have it', () => late.every(({ received }) => received.length === 1));
  t.equal(new Set(late.map(({ blocks }) => blocks[0])).size, 1, 'also when they catch up');
});

t.test('a cancelled watch gets nothing any more, and leaves nothing behind', async (t) => {
  const { store } = await opened(t);
  const sinks = Array.from({ length: 4 }, () => new TestSink());
  await store.put(put('a', '1'));
  const watchers = [
    watch(store, sinks[0] as TestSink),
    watch(store, sinks[1] as TestSink, 2),
    watch(store, sinks[2] as TestSink, 100),
    watch(store, sinks[3] as TestSink, 0, { key: 'a', rangeEnd: '' }),
  ];
  for (const watcher of watchers) store.hub.cancel(watcher);
  store.hub.cancel(watchers[0] as (typeof watchers)[0]);
  await store.put(put('a', '2'));
  await turns();
  for (const { received } of sinks) t.strictSame(received, []);
  t.equal(store.hub.watchers, 0);
  t.equal(store.hub.slowWatchers, 0);
});

t.test('catching up a long way is cut into responses of at most 1000 revisions', async (t) => {
  const { store } = await opened(t);
  const writes: Promise<unknown>[] = [];
  for (let i = 0; i < 2500; i++) writes.push(store.put(put('a', String(i))));
  await Promise.all(writes);
  const sink = new TestSink();
  watch(store, sink, 2);
  await until('all are there', () => sink.received.length === 2500);
  t.ok(sink.blocks.every(({ count }) => count <= 1000));
  t.equal(sink.received.at(-1), 'put a=2499 @2501');
});

t.test('who is a little behind does not wait for who is far behind', async (t) => {
  const { storage, store } = await opened(t);
  keepRecent(store);
  const writes: Promise<unknown>[] = [];
  for (let i = 0; i < 19_000; i++) writes.push(store.put(put('a', 'v')));
  await Promise.all(writes);
  const [far, near] = [new TestSink(), new TestSink()];
  let reads = 0;
  storage.on.log.read = (call, after, limit) => {
    if (near.received.length === 0) reads++;
    return call(after, limit);
  };
  watch(store, far, 2);
  watch(store, near, store.revision - 10);
  await until('the near one is served', () => near.received.length === 11);
  t.ok(reads <= 2, `after ${reads} reads for the other`);
  await until('the far one is served', () => far.received.length === 19_000);
});

t.test('a compaction while events are being loaded', async (t) => {
  const { storage, store } = await opened(t, { valueCacheBytes: 300 });
  keepRecent(store);
  const big = 'x'.repeat(400);
  for (let i = 0; i < 10; i++) await store.put(put('a', big));
  const [loading, reached] = [gate(), gate()];
  storage.on.log.load = async (call, slots) => {
    reached.open();
    await loading.passed;
    return await call(slots);
  };
  const sink = new TestSink();
  watch(store, sink, 5);
  await reached.passed;
  delete storage.on.log.load;
  await store.compact(10, true);
  loading.open();
  await until('it is told', () => sink.compactedAt !== undefined);
  t.strictSame(sink.received, []);
  t.equal(sink.compactedAt, 10);
});

t.test('the database out of reach: watches wait and lose nothing', async (t) => {
  const { storage, store } = await opened(t, { valueCacheBytes: 300 });
  keepRecent(store);
  for (let i = 0; i < 10; i++) await store.put(put('a', 'x'.repeat(400)));
  let refused = 0;
  storage.on.log.load = async (call, slots) => {
    if (++refused < 4) throw new BackendError('failed', 'out of reach');
    return await call(slots);
  };
  const sink = new TestSink();
  watch(store, sink, 5);
  await until('all are there', () => sink.received.length === 7);
  t.ok(refused >= 4);
});
