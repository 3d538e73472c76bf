import type { Test } from 'tap';
import {
  bytes,
  checkpoint,
  dataOf,
  fill,
  filled,
  headOf,
  idOf,
  type NewDatabase,
  readAll,
  readScan,
  row,
} from './database.ts';

export async function lifetime(t: Test, database: NewDatabase): Promise<void> {
  t.test('what was stored is there after reopening', async (t) => {
    const opened = await database(t);
    const first = await opened.open();
    await fill(first, 0, 20);
    await checkpoint(first, { slot: 12, revision: 12 }, [row('a', 1), row('b', 2)], [{ name: 'r', data: bytes('x') }]);
    await first.log.truncate(10);
    const old = await first.image.begin();
    await first.close();
    await first.close();
    await t.rejects(first.log.append(20, idOf(21), dataOf(21)), { name: 'BackendError' }, 'closed');
    await t.rejects(first.log.read(-1, { batches: 1, bytes: 1 }), { name: 'BackendError' });
    await t.rejects(first.image.scan(), { name: 'BackendError' });
    await t.rejects(old.write([]), { name: 'BackendError' });

    const second = await opened.open();
    t.same(await readScan(second), {
      mark: { slot: 12, revision: 12 },
      records: [{ name: 'r', data: bytes('x') }],
      rows: [row('a', 1), row('b', 2)].map(headOf),
      batches: filled(13, 20),
    });
    t.same(await readAll(second, 10), filled(11, 20));
    t.equal(await second.log.append(19, idOf(20), dataOf(20)), 'appended', 'a retry is still known');
    await fill(second, 21, 22);
  });

  t.test('what was called before it is closed is answered', async (t) => {
    const opened = await database(t);
    const storage = await opened.open();
    await fill(storage, 0, 0);
    const appended = storage.log.append(0, idOf(1), dataOf(1));
    const closed = storage.close();
    t.equal(await appended, 'appended');
    await closed;
    t.same(await readAll(await opened.open(), -1), filled(0, 1));
  });

  t.test('keyspaces know nothing of each other', async (t) => {
    const opened = await database(t);
    let storage = await opened.open('one');
    await fill(storage, 0, 9);
    await checkpoint(
      storage,
      { slot: 9, revision: 9 },
      [row('a', 1), row('b', 2)],
      [{ name: 'r', data: bytes('one') }],
    );
    await storage.close();

    storage = await opened.open('Two.2_-');
    const empty = { mark: { slot: -1, revision: 0 }, records: [], rows: [], batches: [] };
    t.same(await readScan(storage), empty);
    t.same(await storage.image.load([bytes('a')]), []);
    t.same(await storage.log.load([3]), []);
    t.equal(await storage.log.append(3, 'x', bytes('x')), 'gone');
    await fill(storage, 0, 5);
    const changes = [{ key: bytes('a'), deleted: true } as const, row('b', 5), row('c', 5)];
    await checkpoint(storage, { slot: 4, revision: 4 }, changes, [{ name: 'r', data: bytes('two') }]);
    await storage.log.truncate(4);
    await storage.close();

    storage = await opened.open('one');
    t.same(await readScan(storage), {
      mark: { slot: 9, revision: 9 },
      records: [{ name: 'r', data: bytes('one') }],
      rows: [row('a', 1), row('b', 2)].map(headOf),
      batches: [],
    });
    t.same(await readAll(storage, -1), filled(0, 9));
  });

  t.test('its size', async (t) => {
    const storage = await (await database(t)).open();
    await fill(storage, 0, 0);
    await storage.log.append(0, 'large', new Uint8Array(1_000_000));
    const { total, inUse } = await storage.image.size();
    t.ok(inUse >= 1_000_000, `${inUse} bytes in use`);
    t.ok(total >= inUse, `${total} bytes taken`);
    await checkpoint(storage, { slot: 1, revision: 1 }, []);
    await fill(storage, 2, 2);
    await storage.log.truncate(1);
    await storage.image.reclaim();
    const after = await storage.image.size();
    t.ok(after.inUse < 1_000_000, `${after.inUse} bytes in use after a truncation`);
    t.ok(after.total < 1_000_000, `${after.total} bytes taken after it was reclaimed`);
  });
}
