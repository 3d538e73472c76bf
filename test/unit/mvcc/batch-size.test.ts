import t from 'tap';
import { StoreError } from '../../../src/mvcc/errors.ts';
import { batchBytesMaxLeast } from '../../../src/registry/log.ts';
import { deleteRange, put, range, txn } from './requests.ts';
import { openStorage, openStore } from './storage.ts';

const keyCount = 100_000;
const key = (i: number) => `k/${String(i).padStart(8, '0')}/${'x'.repeat(80)}`;

t.test('one request may change more keys than the committer likes to have in a batch', async (t) => {
  const storage = await openStorage();
  t.ok(storage.log.batchBytesMax > batchBytesMaxLeast, 'memory takes large batches');
  const store = await openStore(storage);
  const puts: Promise<unknown>[] = [];
  for (let i = 0; i < keyCount; i += 100) {
    puts.push(
      store.txn(
        txn(
          [],
          Array.from({ length: 100 }, (_, at) => put(key(i + at))),
        ),
      ),
    );
  }
  await Promise.all(puts);
  const before = store.revision;
  const { deleted, revision } = await store.deleteRange(deleteRange('k/', 'k0'));
  t.equal(deleted, keyCount);
  t.equal(revision, before + 1, 'in one revision');
  t.equal((await store.range(range('k/', 'k0'))).count, 0);
  const [batch] = await storage.log.load([store.slot]);
  t.ok((batch?.data.length ?? 0) > batchBytesMaxLeast, 'it is a batch beyond the least limit');
  await store.close();

  const again = await openStore(storage);
  t.equal((await again.range(range('k/', 'k0'))).count, 0, 'and is there after a restart');
  await again.close();
});

t.test('what does not fit into one batch of the backend is refused as a whole', async (t) => {
  const storage = await openStorage();
  const log = new Proxy(storage.log, {
    get: (real, name) => (name === 'batchBytesMax' ? 20_000 : Reflect.get(real, name)),
  });
  const store = await openStore({ ...storage, log });
  for (let i = 0; i < 300; i++) await store.put(put(key(i)));
  const before = store.revision;
  const refused = t.rejects(store.deleteRange(deleteRange('k/', 'k0')), new StoreError('RequestTooLarge'));
  const beside = store.put(put('beside', '1'));
  await refused;
  t.equal((await beside).revision, before + 1, 'the request beside it is served');
  t.equal((await store.range(range('k/', 'k0', { countOnly: true }))).count, 300, 'nothing was deleted');
  t.equal((await store.deleteRange(deleteRange(key(0), key(100)))).deleted, 100, 'smaller steps work');
  await store.close();
});
