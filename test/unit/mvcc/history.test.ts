/** A key with a long history, hardly a value of which is in memory: every way to read it. */
import t from 'tap';
import { decodeKeyValue } from '../../../src/mvcc/key-value.ts';
import type { Store } from '../../../src/mvcc/store.ts';
import { list, put, range, txn } from './requests.ts';
import { TestSink, watch } from './sink.ts';
import { openStorage, openStore, until } from './storage.ts';

const last = 101;
const valueAt = (revision: number) => `${revision}`.padStart(40, 'v');
const revisionsFrom = (first: number) => Array.from({ length: last + 1 - first }, (_, i) => first + i);

/** `k` is put at the revisions 2 to `last`. */
async function written(store: Store): Promise<Store> {
  for (const revision of revisionsFrom(2)) await store.put(put('k', valueAt(revision)));
  return store;
}

async function fresh(): Promise<{ store: Store; storage: Awaited<ReturnType<typeof openStorage>> }> {
  const storage = await openStorage({ exclusive: true });
  return { storage, store: await written(await openStore(storage, { valueCacheBytes: 100 })) };
}

t.test('by ranges', async (t) => {
  const { store } = await fresh();
  for (const revision of revisionsFrom(2)) {
    t.strictSame(await list(store, 'k', '', { revision }), [`k=${valueAt(revision)}`]);
    t.strictSame(await list(store, '\0', '\0', { revision }), [`k=${valueAt(revision)}`]);
    const { kvs } = await store.range(range('k', '', { revision, keysOnly: true }));
    t.equal(decodeKeyValue(Buffer.from(kvs[0]!)).version, revision - 1);
  }
  await store.close();
});

t.test('within transactions, of which the second writes', async (t) => {
  const { store } = await fresh();
  for (const ops of [[], [put('other', '')]]) {
    for (const revision of [2, 3, 50, 98]) {
      const { responses } = await store.txn(txn([], [range('k', '', { revision }), ...ops]));
      const [first] = responses;
      const found = first?.kind === 'range' ? first.kvs.map((kv) => decodeKeyValue(Buffer.from(kv)).value) : [];
      t.strictSame(found.map(String), [valueAt(revision)]);
    }
  }
  await store.close();
});

t.test('by a watch, with what was there before', async (t) => {
  const { store } = await fresh();
  const sink = new TestSink();
  watch(store, sink, 3, { prevKv: true });
  await until('all are there', () => sink.received.length === last - 2);
  t.strictSame(
    sink.received,
    revisionsFrom(3).map((revision) => `put k=${valueAt(revision)} @${revision} (${valueAt(revision - 1)})`),
  );
  await store.close();
});

t.test('by its hash, and from the image after a compaction', async (t) => {
  const { store, storage } = await fresh();
  const roomy = await written(await openStore(await openStorage({ exclusive: true })));
  for (const revision of [2, 40, 0]) t.equal((await store.hashKv(revision)).hash, (await roomy.hashKv(revision)).hash);
  await roomy.close();
  t.equal(store.counts.versions, last - 1);
  await store.compact(50, true);
  t.equal(store.counts.versions, last - 49);
  for (const revision of revisionsFrom(50)) {
    t.strictSame(await list(store, 'k', '', { revision }), [`k=${valueAt(revision)}`]);
  }
  await store.close();
  const [row] = await storage.image.load([Buffer.from('k')]);
  t.equal(Buffer.from(row?.value ?? []).toString(), valueAt(50));
});
