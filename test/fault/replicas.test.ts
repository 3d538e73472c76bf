/** Several replicas on one log: what clients of any of them see, also of one that slept. */
import t, { type Test } from 'tap';
import { StoreError } from '../../src/mvcc/errors.ts';
import type { Store } from '../../src/mvcc/store.ts';
import { deleteRange, list, put, txn, versionIs } from '../unit/mvcc/requests.ts';
import { TestSink, watch } from '../unit/mvcc/sink.ts';
import { gate, openStorage, openStore, type TestStorage, turns, until } from '../unit/mvcc/storage.ts';

interface Replica {
  readonly storage: TestStorage;
  readonly store: Store;
}

async function replicas(t: Test, count: number, valueCacheBytes = 1024 * 1024): Promise<Replica[]> {
  const first = await openStorage();
  const storages = [first];
  while (storages.length < count) storages.push(await openStorage({ backend: first.backend }));
  const opened = await Promise.all(
    storages.map(async (storage) => ({ storage, store: await openStore(storage, { valueCacheBytes }) })),
  );
  t.teardown(async () => {
    for (const { storage } of opened) {
      storage.on.log = {};
      storage.on.image = {};
    }
    await Promise.all(opened.map(({ store }) => store.close()));
  });
  return opened;
}

/** Puts a replica to sleep: it learns nothing of the log until it is woken. */
function sleep({ storage }: Replica): { wake: () => void } {
  const { passed, open } = gate();
  storage.on.log.read = async (call, after, limit) => {
    await passed;
    return await call(after, limit);
  };
  return {
    wake() {
      delete storage.on.log.read;
      open();
    },
  };
}

const revisionsOf = (events: readonly string[]): number[] => events.map((event) => Number(/@(\d+)/.exec(event)?.[1]));

t.test('one cluster: the same id for all, a member id for each name', async (t) => {
  const [a, b] = (await replicas(t, 2)) as [Replica, Replica];
  t.equal(a.store.clusterId, b.store.clusterId);
});

t.test('writers on all replicas at once: dense revisions, each event once and in order everywhere', async (t) => {
  const all = await replicas(t, 3);
  const sinks = all.map(({ store }) => {
    const sink = new TestSink();
    watch(store, sink, 0, { prevKv: true });
    return sink;
  });
  const perClient = 40;
  const given: number[] = [];
  const clients = all.flatMap(({ store }, replica) =>
    Array.from({ length: 4 }, async (_, client) => {
      for (let i = 0; i < perClient; i++) {
        const { revision } = await store.put(
          put(i % 2 === 0 ? 'shared' : `${replica}/${client}`, `${replica}/${client}/${i}`),
        );
        given.push(revision);
      }
    }),
  );
  await Promise.all(clients);
  const total = 3 * 4 * perClient;
  const dense = Array.from({ length: total }, (_, i) => i + 2);
  t.strictSame(
    given.sort((x, y) => x - y),
    dense,
  );
  await until('all have seen all', () => sinks.every(({ received }) => received.length >= total));
  for (const { received } of sinks) {
    t.strictSame(revisionsOf(received), dense);
    t.strictSame(received, sinks[0]?.received);
  }
  const hashes = await Promise.all(all.map(({ store }) => store.hashKv(total + 1)));
  t.strictSame(new Set(hashes.map(({ hash }) => hash)).size, 1);
});

t.test('compare and swap from all replicas: each version is won once', async (t) => {
  const all = await replicas(t, 3);
  const versions = 40;
  const won: number[] = [];
  const clients = all.map(async ({ store }) => {
    for (let version = 0; version < versions; version++) {
      const { succeeded } = await store.txn(txn([versionIs('lock', version)], [put('lock', String(version))]));
      if (succeeded) won.push(version);
    }
  });
  await Promise.all(clients);
  t.strictSame(
    won,
    Array.from({ length: versions }, (_, version) => version),
  );
});

t.test('a read on one replica includes what another acknowledged before it', async (t) => {
  const [a, b, c] = (await replicas(t, 3)) as [Replica, Replica, Replica];
  for (let i = 0; i < 100; i++) {
    const [writer, reader] = i % 2 === 0 ? [a, b] : [c, a];
    await writer.store.put(put('k', String(i)));
    t.strictSame(await list(reader.store, 'k', ''), [`k=${i}`]);
    const inTxn = await reader.store.txn(txn([versionIs('k', i + 1)], [], []));
    t.equal(inTxn.succeeded, true);
  }
});

t.test('a serializable read is answered even while the log cannot be read', async (t) => {
  const [a, b] = (await replicas(t, 2)) as [Replica, Replica];
  await a.store.put(put('k', '1'));
  await b.store.barrier();
  const { wake } = sleep(b);
  await a.store.put(put('k', '2'));
  t.strictSame(await list(b.store, 'k', '', { serializable: true }), ['k=1']);
  wake();
  t.strictSame(await list(b.store, 'k', ''), ['k=2']);
});

t.test('a lease granted here is kept alive, used and revoked there', async (t) => {
  const [a, b] = (await replicas(t, 2)) as [Replica, Replica];
  await a.store.leases.grant(5n, 3);
  await b.store.put(put('k', '1', { lease: 5n }));
  await a.store.barrier();
  t.strictSame(a.store.leases.timeToLive(5n)?.keys(), ['k']);
  // Longer than its TTL and the slack, kept alive through the other replica only.
  const until = performance.now() + 6000;
  while (performance.now() < until) {
    t.equal(await b.store.leases.keepAlive(5n), 3);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  t.strictSame(await list(a.store), ['k=1']);
  t.strictSame(a.store.leases.ids(), [5n]);
  await b.store.leases.revoke(5n);
  t.strictSame(await list(a.store), []);
  t.equal(a.store.leases.timeToLive(5n), undefined);
});

t.test('an expired lease is revoked once, in one revision', async (t) => {
  const all = await replicas(t, 3);
  const [a, , c] = all as [Replica, Replica, Replica];
  await a.store.leases.grant(5n, 2);
  await a.store.put(put('x', '1', { lease: 5n }));
  await a.store.put(put('y', '1', { lease: 5n }));
  const sink = new TestSink();
  await c.store.barrier();
  watch(c.store, sink);
  await until('it is gone everywhere', () => all.every(({ store }) => store.leases.ids().length === 0));
  await a.store.put(put('z', '1'));
  await until('the watch is there too', () => sink.received.length >= 3);
  t.strictSame(sink.received, ['delete x @4', 'delete y @4', 'put z=1 @5']);
});

t.test('a compaction through one replica reaches the others', async (t) => {
  const all = await replicas(t, 3, 200);
  const [a, b] = all as [Replica, Replica];
  for (let i = 2; i <= 40; i++) await a.store.put(put(`k${i % 5}`, String(i)));
  await a.store.deleteRange(deleteRange('k3')); // 41
  await a.store.put(put('k0', 'last')); // 42
  await a.store.compact(41, true);
  await b.store.barrier();
  t.equal(b.store.compactedRevision, 41);
  await t.rejects(list(b.store, '\0', '\0', { revision: 40 }), new StoreError('Compacted'));
  const expected = ['k0=40', 'k1=36', 'k2=37', 'k4=39'];
  for (const { store } of all) t.strictSame(await list(store, '\0', '\0', { revision: 41 }), expected);
  await until('all have dropped the history', () => all.every(({ store }) => store.counts.versions <= 6));
  for (const { store } of all) {
    t.strictSame(await list(store, '\0', '\0', { revision: 41 }), expected);
    t.strictSame(await list(store), ['k0=last', ...expected.slice(1)]);
  }
});

t.test('deleted keys stay deleted, whichever replicas compact, and in which order', async (t) => {
  const all = await replicas(t, 3, 200);
  for (let round = 0; round < 12; round++) {
    const { store } = all[round % 3] as Replica;
    for (let i = 0; i < 6; i++) await store.put(put(`k${i}`, `${round}`));
    await store.deleteRange(deleteRange(`k${round % 6}`, `k${(round % 6) + 2}`));
    await Promise.all(all.map((replica) => replica.store.compact(store.revision, true).catch(ignoreCompacted)));
    const expected = await list(store);
    for (const replica of all) t.strictSame(await list(replica.store), expected);
    const newcomer = await replicaOn(t, all[0] as Replica);
    t.strictSame(await list(newcomer.store), expected, 'and to one that starts now');
  }
});

t.test('a deletion that no checkpoint has brought to the image yet is not forgotten', async (t) => {
  const [a] = (await replicas(t, 2)) as [Replica, Replica];
  await a.store.put(put('gone', 'x')); // 2
  await a.store.put(put('x', '1')); // 3
  await Promise.all([
    a.store.put(put('x', '2')), // 4
    a.store.deleteRange(deleteRange('gone')), // 5
    a.store.put(put('x', '3')), // 6
    a.store.put(put('x', '4')), // 7
  ]);
  await a.store.compact(4, true);
  // The same slot: the image counts as up to date, and still has the row.
  await a.store.compact(7, true);
  await a.store.put(put('x', '5')); // 8
  await a.store.compact(8, true);
  const newcomer = await replicaOn(t, a);
  t.strictSame(await list(newcomer.store), ['x=5']);
});

t.test('a checkpoint that is late does not set the image back', async (t) => {
  const [a, b] = (await replicas(t, 2)) as [Replica, Replica];
  await a.store.put(put('k', 'old')); // 2
  await a.store.put(put('gone', 'x')); // 3
  // b begins the checkpoint of revision 3, and is stopped there.
  const [begun, held] = [gate(), gate()];
  b.storage.on.image.begin = async (call) => {
    begun.open();
    await held.passed;
    return await call();
  };
  a.storage.on.image.begin = async (call) => {
    await begun.passed;
    return await call();
  };
  await a.store.compact(3, true);
  const { wake } = sleep(b);
  await a.store.put(put('k', 'new')); // 4
  await a.store.deleteRange(deleteRange('gone')); // 5
  await a.store.put(put('z', '1')); // 6
  await a.store.compact(6, true);
  delete b.storage.on.image.begin;
  held.open();
  // It has gone on, and is stopped for good before it can repair anything.
  await new Promise((resolve) => setTimeout(resolve, 50));
  b.storage.on.image.begin = () => new Promise(() => {});
  const newcomer = await replicaOn(t, a);
  t.strictSame(await list(newcomer.store), ['k=new', 'z=1']);
  t.strictSame(await list(newcomer.store, '\0', '\0', { revision: 6 }), ['k=new', 'z=1']);
  delete b.storage.on.image.begin;
  wake();
});

t.test('a replica that slept through a truncation', async (t) => {
  const [a, b] = (await replicas(t, 2)) as [Replica, Replica];
  const [fromNow, behind] = [new TestSink(), new TestSink()];
  await a.store.put(put('k', '2'));
  await b.store.barrier();
  watch(b.store, fromNow);
  watch(b.store, behind);
  await a.store.put(put('k', '3'));
  await until('they are live', () => fromNow.received.length === 1 && behind.received.length === 1);
  const { wake } = sleep(b);
  // The read that was under way is answered still.
  await new Promise((resolve) => setTimeout(resolve, 5));
  for (let i = 4; i <= 20; i++) await a.store.put(put('k', String(i)));
  await a.store.leases.grant(9n, 100);
  await a.store.put(put('leased', '1', { lease: 9n })); // 21
  // Its compactor has to stay out of the way: it sleeps.
  await a.store.compact(15, true);
  const asleep = b.store.revision;
  t.ok(asleep < 15);
  // A write through it, meanwhile: decided when it wakes, on the newest state.
  const write = b.store.put(put('k', 'mine', { prevKv: true }));
  wake();
  t.equal((await write).revision, 22);
  t.strictSame(await list(b.store), ['k=mine', 'leased=1']);
  t.strictSame(b.store.leases.timeToLive(9n)?.keys(), ['leased']);
  await until('the watches are told', () => fromNow.compactedAt !== undefined && behind.compactedAt !== undefined);
  for (const sink of [fromNow, behind]) {
    t.equal(sink.compactedAt, 15);
    t.strictSame(revisionsOf(sink.received), [3], 'nothing after a gap');
  }
});

t.test('a replica that slept, but whose watches lost nothing', async (t) => {
  const [a, b] = (await replicas(t, 2)) as [Replica, Replica];
  for (let i = 2; i <= 10; i++) await a.store.put(put('k', String(i)));
  await b.store.barrier();
  const [live, slow, future] = [new TestSink(), new TestSink(), new TestSink()];
  watch(b.store, live);
  watch(b.store, slow);
  slow.pause();
  watch(b.store, future, 14);
  const { wake } = sleep(b);
  await new Promise((resolve) => setTimeout(resolve, 5));
  for (let i = 11; i <= 20; i++) await a.store.put(put('k', String(i)));
  const known = b.store.revision;
  // What b does not have yet stays in the log.
  await a.store.compact(known, true);
  wake();
  await until('they have caught up', () => live.received.length >= 10 && future.received.length >= 7);
  slow.resume();
  await until('the slow one too', () => slow.received.length >= 10);
  t.strictSame(revisionsOf(live.received), [11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
  t.strictSame(slow.received, live.received);
  t.strictSame(revisionsOf(future.received), [14, 15, 16, 17, 18, 19, 20]);
});

t.test('values that another replica has compacted away are not an internal error', async (t) => {
  const [a, b] = (await replicas(t, 2, 100)) as [Replica, Replica];
  for (let i = 2; i <= 20; i++) await a.store.put(put('k', `${i}${'x'.repeat(200)}`));
  await b.store.barrier();
  const [loading, reached] = [gate(), gate()];
  b.storage.on.log.load = async (call, slots) => {
    reached.open();
    await loading.passed;
    return await call(slots);
  };
  const read = list(b.store, 'k', '', { revision: 5 });
  await reached.passed;
  const { wake } = sleep(b);
  await a.store.compact(18, true);
  delete b.storage.on.log.load;
  loading.open();
  wake();
  await t.rejects(read, new StoreError('Compacted'));
});

t.test('reads and failed compares come back although another replica never stops writing', async (t) => {
  const [a, b] = (await replicas(t, 2)) as [Replica, Replica];
  let writing = true;
  let written = 0;
  await a.store.put(put('busy', '0'));
  const writer = (async () => {
    while (writing) {
      await a.store.put(put('busy', String(++written)));
      await turns(1);
    }
  })();
  // Each look of b at the log takes longer than a write of a.
  b.storage.on.log.read = async (call, after, limit) => {
    const before = written;
    const answer = await call(after, limit);
    await until('something more is written', () => !writing || written > before + 1);
    return answer;
  };
  for (let i = 0; i < 5; i++) {
    t.equal((await list(b.store, 'busy', '')).length, 1);
    t.equal((await b.store.txn(txn([versionIs('busy', 0)], [put('never', '')]))).succeeded, false);
  }
  writing = false;
  await writer;
});

async function replicaOn(t: Test, { storage }: Replica): Promise<Replica> {
  const own = await openStorage({ backend: storage.backend });
  const store = await openStore(own, { valueCacheBytes: 100 });
  t.teardown(() => store.close());
  return { storage: own, store };
}

function ignoreCompacted(error: unknown): void {
  if (!(error instanceof StoreError && error.reason === 'Compacted')) throw error;
}
