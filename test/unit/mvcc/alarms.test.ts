import t, { type Test } from 'tap';
import { StoreError } from '../../../src/mvcc/errors.ts';
import { BackendError } from '../../../src/registry/log.ts';
import { deleteRange, list, put, range, txn } from './requests.ts';
import { openStorage, openStore, until } from './storage.ts';

const noSpace = new StoreError('NoSpace');

/** A store with a quota of 10,000 bytes, and a size that the test sets. */
async function fixture(t: Test) {
  const storage = await openStorage({ exclusive: true });
  const size = { total: 0, inUse: 0, measured: 0 };
  storage.on.image.size = async () => {
    size.measured++;
    return { total: size.total, inUse: size.inUse };
  };
  const store = await openStore(storage, { quotaBytes: 10_000 });
  t.teardown(() => store.close());
  return { storage, store, size };
}

const nospace = (memberId: bigint) => [{ memberId, alarm: 1 }];

t.test('a write beyond the quota is refused and raises the alarm, which stays', async (t) => {
  const { store, size } = await fixture(t);
  await store.leases.grant(7n, 100);
  await store.put(put('a', '1'));
  size.total = 9_900;
  await store.size();
  await t.rejects(store.put(put('b', 'x'.repeat(200))), noSpace);
  t.strictSame(store.alarms.list(), nospace(store.memberId));
  size.total = 0;
  await store.size();
  await t.rejects(store.put(put('b', '')), noSpace, 'until somebody disarms it');
  await t.rejects(store.txn(txn([], [put('b', '')])), noSpace);
  await t.rejects(store.txn(txn([], [txn([], [], [put('b', '')])])), noSpace);
  await t.rejects(store.leases.grant(8n, 100), noSpace);
  t.strictSame(await list(store), ['a=1'], 'reads go on');
  t.equal((await store.txn(txn([], [range('a')]))).succeeded, true);
  t.equal(await store.leases.keepAlive(7n), 100);
  await store.leases.revoke(7n);
  t.equal((await store.deleteRange(deleteRange('a'))).deleted, 1);
  t.equal((await store.txn(txn([], [deleteRange('c')]))).succeeded, true);
  await store.compact(3, true);
  await store.alarms.deactivate(store.memberId, 1);
  await store.put(put('b', ''));
  t.strictSame(store.alarms.list(), []);
});

t.test('space that was freed since the size was measured counts', async (t) => {
  const { store, size } = await fixture(t);
  size.total = 9_900;
  await store.size();
  size.total = 100;
  await store.put(put('a', 'x'.repeat(1000)));
  t.strictSame(store.alarms.list(), []);
});

t.test('what was written since the size was measured counts', async (t) => {
  const { store, size } = await fixture(t);
  await store.size();
  const { measured } = size;
  for (let i = 0; i < 5; i++) await store.put(put('a', 'x'.repeat(1000)));
  t.equal(size.measured, measured, 'by an estimate, as long as that is enough');
  size.total = 9_000;
  await t.rejects(
    (async () => {
      for (let i = 0; i < 100; i++) await store.put(put('a', 'x'.repeat(1000)));
    })(),
    noSpace,
  );
});

t.test('a size that cannot be told raises no alarm', async (t) => {
  const { store, size, storage } = await fixture(t);
  size.total = 9_900;
  await store.size();
  storage.on.image.size = () => Promise.reject(new BackendError('failed', 'out of reach'));
  await store.put(put('a', 'x'.repeat(1000)));
  t.strictSame(store.alarms.list(), []);
  await t.rejects(store.size(), /out of reach/);
});

t.test('no quota, no measuring', async (t) => {
  const storage = await openStorage({ exclusive: true });
  storage.on.image.size = () => Promise.reject(new Error('not to be asked'));
  const store = await openStore(storage);
  t.teardown(() => store.close());
  await store.put(put('a', 'x'.repeat(100_000)));
  t.equal(store.revision, 2);
});

t.test('alarms are in the log: other replicas obey, restarts keep them', async (t) => {
  const storage = await openStorage();
  const store = await openStore(storage, { memberName: 'one' });
  const other = await openStore(await openStorage({ backend: storage.backend }), { memberName: 'two' });
  t.not(store.memberId, other.memberId);
  await store.alarms.activate(store.memberId, 1);
  await store.alarms.activate(store.memberId, 1);
  const { slot } = store;
  await other.barrier();
  await t.rejects(other.put(put('a', '')), noSpace);
  t.strictSame(other.alarms.list(), nospace(store.memberId));
  t.equal(other.slot, slot);
  await store.close();
  const again = await openStore(storage, { memberName: 'one' });
  t.strictSame(again.alarms.list(), nospace(again.memberId));
  await other.alarms.deactivate(again.memberId, 1);
  await until('it is gone here too', () => again.alarms.list().length === 0);
  await other.close();
  await again.close();
});
