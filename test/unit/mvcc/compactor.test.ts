/** What a compaction leaves in the image and in the log, also when it is interrupted or another replica does it. */
import t from 'tap';
import { StoreError } from '../../../src/mvcc/errors.ts';
import { decodeBatch } from '../../../src/mvcc/records.ts';
import type { Store } from '../../../src/mvcc/store.ts';
import { BackendError } from '../../../src/registry/log.ts';
import { deleteRange, list, put, range, txn } from './requests.ts';
import { gate, openStorage, openStore, type TestStorage, turns } from './storage.ts';

const compacted = new StoreError('Compacted');

/** The image as SQL would show it: `key=value c<create> m<mod> v<version> l<lease>`. */
async function rows({ image }: TestStorage): Promise<string[]> {
  const { rows: chunks } = await image.scan();
  const keys: Uint8Array[] = [];
  for await (const chunk of chunks) for (const { key } of chunk) keys.push(key);
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');
  return (await image.load(keys))
    .map((row) => {
      const revisions = `c${row.createRevision} m${row.modRevision} v${row.version}`;
      return `${text(row.key)}=${text(row.value)} ${revisions}${row.lease === 0n ? '' : ` l${row.lease}`}`;
    })
    .sort();
}

/** Revisions that the log still has. */
async function logged({ log }: TestStorage): Promise<number[]> {
  const batches = await log.read((await firstSlot({ log } as TestStorage)) - 1, { batches: 10_000, bytes: 1e9 });
  return batches.flatMap(({ data }) =>
    decodeBatch(data).records.flatMap((record) => (record.kind === 'revision' ? [record.revision] : [])),
  );
}

async function firstSlot({ log }: TestStorage): Promise<number> {
  const [first] = await log.read(-1, { batches: 1, bytes: 1e9 });
  return first?.slot ?? -1;
}

async function restarted(store: Store, storage: TestStorage): Promise<Store> {
  await store.close();
  return await openStore(storage, { valueCacheBytes: 100 });
}

t.test('brings the state at the compacted revision into the image and cuts the log', async (t) => {
  const storage = await openStorage({ exclusive: true });
  let store = await openStore(storage);
  await store.leases.grant(-5n, 1000); // no revision
  await store.put(put('a', '1')); // 2
  await store.put(put('a', '2')); // 3
  await store.put(put('b', '1', { lease: -5n })); // 4
  await store.put(put('gone', 'x')); // 5
  await store.deleteRange(deleteRange('gone')); // 6
  await store.put(put('a', '3')); // 7
  await store.put(put('c', '1')); // 8
  await store.compact(7, true);
  t.strictSame(await rows(storage), ['a=3 c2 m7 v3', 'b=1 c4 m4 v1 l-5']);
  t.strictSame(await logged(storage), [7, 8], 'the slot of the compacted revision stays');
  t.equal(store.counts.versions, 3);
  store = await restarted(store, storage);
  t.equal(store.revision, 8);
  t.equal(store.compactedRevision, 7);
  t.strictSame(await list(store), ['a=3', 'b=1', 'c=1']);
  t.strictSame(await list(store, '\0', '\0', { revision: 7 }), ['a=3', 'b=1']);
  t.strictSame(store.leases.timeToLive(-5n)?.keys(), ['b']);
  await store.leases.revoke(-5n);
  t.strictSame(await list(store), ['a=3', 'c=1']);
  await store.close();
});

t.test('a deletion exactly at the compacted revision can still be watched; the row goes', async (t) => {
  const storage = await openStorage({ exclusive: true });
  let store = await openStore(storage);
  await store.put(put('a', '1')); // 2
  await store.compact(2, true);
  t.strictSame(await rows(storage), ['a=1 c2 m2 v1']);
  await store.deleteRange(deleteRange('a')); // 3
  await store.compact(3, true);
  t.strictSame(await rows(storage), []);
  t.equal(store.counts.versions, 1, 'the tombstone');
  store = await restarted(store, storage);
  t.strictSame(await list(store), []);
  t.equal(store.counts.versions, 1);
  await store.put(put('b', '1'));
  await store.compact(4, true);
  t.equal(store.counts.versions, 1, 'only b');
  await store.close();
});

t.test('a revision in the middle of a batch', async (t) => {
  const storage = await openStorage({ exclusive: true });
  let store = await openStore(storage);
  await store.put(put('a', 'before'));
  await store.put(put('d', 'before'));
  await Promise.all([
    store.put(put('a', '1')), // 4
    store.put(put('b', '1')), // 5
    store.deleteRange(deleteRange('d')), // 6
    store.put(put('a', '2')), // 7
    store.put(put('c', '1')), // 8
  ]);
  await store.compact(6, true);
  t.strictSame(await rows(storage), ['a=1 c2 m4 v2', 'b=1 c5 m5 v1']);
  t.strictSame(await logged(storage), [4, 5, 6, 7, 8]);
  store = await restarted(store, storage);
  t.strictSame(await list(store, '\0', '\0', { revision: 6 }), ['a=1', 'b=1']);
  t.strictSame(await list(store), ['a=2', 'b=1', 'c=1']);
  t.equal(store.counts.keys, 3);
  await store.compact(8, true);
  t.strictSame(await rows(storage), ['a=2 c2 m7 v3', 'b=1 c5 m5 v1', 'c=1 c8 m8 v1']);
  await store.close();
});

t.test('many keys go in chunks', async (t) => {
  const storage = await openStorage({ exclusive: true });
  const store = await openStore(storage, { valueCacheBytes: 1000 });
  const keys = Array.from({ length: 5000 }, (_, i) => `key${String(i).padStart(5, '0')}`);
  await Promise.all(keys.map((key) => store.put(put(key, key))));
  await store.deleteRange(deleteRange('key00100', 'key00200'));
  await store.compact(store.revision, true);
  t.equal((await rows(storage)).length, 4900);
  await store.put(put('key00000', 'changed'));
  let written = 0;
  storage.on.image.begin = async (call) => {
    const checkpoint = await call();
    return {
      write: (changes) => {
        written += changes.length;
        return checkpoint.write(changes);
      },
      finish: (mark, records) => checkpoint.finish(mark, records),
    };
  };
  await store.compact(store.revision, true);
  t.equal(written, 1, 'only what changed is written');
  await store.close();
});

for (const failing of ['write', 'finish', 'truncate'] as const) {
  t.test(`interrupted at ${failing}: a restart continues`, async (t) => {
    const storage = await openStorage({ exclusive: true });
    let store = await openStore(storage, { valueCacheBytes: 100 });
    for (let i = 0; i < 3; i++) await store.put(put('a', String(i)));
    await store.put(put('b', '1')); // 5
    await store.compact(5, true);
    await store.put(put('a', 'last')); // 6
    await store.deleteRange(deleteRange('b')); // 7
    await store.put(put('c', '1')); // 8
    const reached = gate();
    const refuse = () => {
      reached.open();
      return Promise.reject(new BackendError('failed', 'cut'));
    };
    if (failing === 'truncate') storage.on.log.truncate = refuse;
    else {
      storage.on.image.begin = async (call) => {
        const { write, finish } = await call();
        return { write, finish, [failing]: refuse };
      };
    }
    await store.compact(7, false);
    await reached.passed;
    t.strictSame(await list(store), ['a=last', 'c=1'], 'all can be read meanwhile');
    store = await restarted(store, storage);
    t.strictSame(await list(store), ['a=last', 'c=1']);
    t.equal(store.compactedRevision, 7);
    await store.close();
    // Without the fault the next start completes it by itself.
    const healthy = await openStorage({ exclusive: true, backend: storage.backend });
    store = await openStore(healthy, { valueCacheBytes: 100 });
    await store.defragment();
    t.equal(store.counts.versions, 3);
    t.strictSame(await rows(healthy), ['a=last c2 m6 v4']);
    t.strictSame(await logged(healthy), [7, 8]);
    t.strictSame(await list(store, '\0', '\0', { revision: 7 }), ['a=last']);
    await store.close();
  });
}

t.test('a failed run is tried again by itself', async (t) => {
  const storage = await openStorage({ exclusive: true });
  const warnings: string[] = [];
  const store = await openStore(storage, {
    observer: {
      committed() {},
      troubled() {},
      settled() {},
      compacted() {},
      warn: (message) => warnings.push(message),
    },
  });
  await store.put(put('a', '1'));
  await store.put(put('a', '2'));
  let failures = 0;
  storage.on.log.truncate = async (call, through) => {
    if (++failures === 1) throw new BackendError('failed', 'not now');
    await call(through);
  };
  await store.compact(3, true);
  t.strictSame(await logged(storage), [3]);
  t.strictSame(warnings, ['compaction to revision 3 will be tried again: not now']);
  await store.close();
});

t.test('leases, alarms and the cluster id survive without the log that told of them', async (t) => {
  const storage = await openStorage({ exclusive: true });
  let store = await openStore(storage);
  const { clusterId, memberId } = store;
  await store.leases.grant(2n ** 62n + 1n, 5000);
  await store.leases.grant(9n, 5000);
  await store.leases.revoke(9n);
  await store.alarms.activate(memberId, 2);
  for (let i = 0; i < 3; i++) await store.put(put('a', String(i), { lease: 2n ** 62n + 1n }));
  await store.compact(4, true);
  t.ok((await firstSlot(storage)) > 2);
  store = await restarted(store, storage);
  t.equal(store.clusterId, clusterId);
  t.equal(store.memberId, memberId);
  t.strictSame(store.leases.ids(), [2n ** 62n + 1n]);
  t.strictSame(store.leases.timeToLive(2n ** 62n + 1n)?.keys(), ['a']);
  t.strictSame(store.alarms.list(), [{ memberId, alarm: 2 }]);
  await store.close();
});

t.test('a lease that was revoked and granted anew between checkpoint and restart', async (t) => {
  const storage = await openStorage({ exclusive: true });
  let store = await openStore(storage);
  await store.leases.grant(7n, 100);
  await store.put(put('old', '1', { lease: 7n })); // 2
  await store.put(put('x', '1')); // 3
  await store.compact(3, true);
  await store.leases.revoke(7n); // 4
  await store.leases.grant(7n, 200);
  await store.put(put('new', '1', { lease: 7n })); // 5
  store = await restarted(store, storage);
  t.strictSame(store.leases.timeToLive(7n)?.keys(), ['new']);
  t.equal(store.leases.timeToLive(7n)?.grantedTtlSeconds, 200);
  t.strictSame(await list(store), ['new=1', 'x=1']);
  await store.close();
});

t.test('reads go on while a compaction runs, at the compacted revision too', async (t) => {
  const storage = await openStorage({ exclusive: true });
  const store = await openStore(storage, { valueCacheBytes: 100 });
  const keys = Array.from({ length: 3000 }, (_, i) => `k${i}`);
  for (const value of ['1', '2']) await Promise.all(keys.map((key) => store.put(put(key, value))));
  const revision = store.revision;
  await store.put(put('k0', '3'));
  let done = false;
  const compaction = store.compact(revision, true).then(() => {
    done = true;
  });
  let reads = 0;
  while (!done) {
    const answer = await list(store, '\0', '\0', { revision });
    t.equal(answer.length, 3000);
    if (answer.some((item) => !item.endsWith('=2'))) t.fail('another value than that of the revision');
    reads++;
    await turns(1);
  }
  await compaction;
  t.ok(reads > 0);
  await store.close();
});

t.test('values being loaded while they are compacted away: compacted, not an internal error', async (t) => {
  const storage = await openStorage({ exclusive: true });
  const store = await openStore(storage, { valueCacheBytes: 100 });
  for (let i = 2; i < 10; i++) await store.put(put('a', `${i}${'x'.repeat(300)}`));
  const [loading, reached] = [gate(), gate()];
  let loads = 0;
  storage.on.log.load = async (call, slots) => {
    if (++loads === 2) reached.open();
    await loading.passed;
    return await call(slots);
  };
  const read = list(store, 'a', '', { revision: 4 });
  const readInTxn = store.txn(txn([], [range('a', '', { revision: 4 })]));
  await reached.passed;
  delete storage.on.log.load;
  await store.compact(8, true);
  loading.open();
  await t.rejects(read, compacted);
  await t.rejects(readInTxn, compacted);
  await store.close();
});

t.test('the hash is that of one history, whatever compactions happen', async (t) => {
  const storage = await openStorage({ exclusive: true });
  const store = await openStore(storage, { valueCacheBytes: 100 });
  for (let i = 2; i < 600; i++) await store.put(put(`k${i % 7}`, String(i)));
  const revision = store.revision;
  const [loading, reached] = [gate(), gate()];
  storage.on.log.load = async (call, slots) => {
    reached.open();
    await loading.passed;
    return await call(slots);
  };
  const hash = store.hashKv(revision);
  await reached.passed;
  delete storage.on.log.load;
  await store.compact(400, true);
  loading.open();
  const after = await store.hashKv(revision);
  t.strictSame(await hash, after);
  t.equal(after.compactedRevision, 400);
  await store.close();
});
