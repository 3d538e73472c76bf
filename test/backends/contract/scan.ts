import type { Test } from 'tap';
import type { ImageRowHead } from '../../../src/registry/image.ts';
import type { Batch } from '../../../src/registry/log.ts';
import {
  bytes,
  checkpoint,
  fill,
  filled,
  headOf,
  type NewDatabase,
  plain,
  readAll,
  readScan,
  row,
} from './database.ts';

/** Appends that one scan is given company by, at most. */
const appendsPerScan = 100;

const keyOf = (index: number) => `key ${String(index).padStart(6, '0')}`;

export async function scans(t: Test, database: NewDatabase): Promise<void> {
  t.test('of a new keyspace, and of a log without an image', async (t) => {
    const storage = await (await database(t)).open();
    t.same(await readScan(storage), { mark: { slot: -1, revision: 0 }, records: [], rows: [], batches: [] });
    await fill(storage, 0, 30);
    t.same(await readScan(storage), { mark: { slot: -1, revision: 0 }, records: [], rows: [], batches: filled(0, 30) });
  });

  t.test('isolated from what happens while it is read', async (t) => {
    const storage = await (await database(t)).open();
    const { log, image } = storage;
    await fill(storage, 0, 20);
    const before = Array.from({ length: 9000 }, (_, index) => row(keyOf(index), 1 + (index % 10), 'v'.repeat(200)));
    await checkpoint(storage, { slot: 10, revision: 10 }, before, [{ name: 'r', data: bytes('before') }]);

    const scan = await image.scan();
    const heads: ImageRowHead[] = [];
    const rows = scan.rows[Symbol.asyncIterator]();
    heads.push(...((await rows.next()).value ?? []));
    t.ok(heads.length > 0 && heads.length < before.length, 'it comes in chunks');

    await fill(storage, 21, 40);
    const changes = before.map(({ key }, index) =>
      index % 3 === 0 ? ({ key, deleted: true } as const) : { ...row(keyOf(index), 30), key },
    );
    await checkpoint(
      storage,
      { slot: 35, revision: 35 },
      [...changes, row('zzz', 31)],
      [{ name: 'r', data: bytes('after') }],
    );
    await log.truncate(35);

    for (let next = await rows.next(); !next.done; next = await rows.next()) heads.push(...next.value);
    const batches: Batch[] = [];
    for await (const chunk of scan.batches) batches.push(...chunk);
    t.same(scan.mark, { slot: 10, revision: 10 });
    t.same(scan.records, [{ name: 'r', data: bytes('before') }]);
    t.same(plain(heads), before.map(headOf));
    t.same(batches, filled(11, 20), 'the log as it was, though it is cut off now');

    const after = await readScan(storage);
    t.same(after.mark, { slot: 35, revision: 35 });
    t.same(after.batches, filled(36, 40));
    t.equal(after.rows.length, 6001);
    t.ok(after.rows.every(({ modRevision }) => modRevision >= 30));
  });

  t.test('during appends it is a dense log up to some slot', async (t) => {
    const storage = await (await database(t)).open();
    await fill(storage, 0, 100);
    await checkpoint(storage, { slot: 50, revision: 50 }, [row('a', 1)]);
    let newest = 100;
    for (let round = 0; round < 10; round++) {
      const least = newest;
      let reading = true;
      // Bounded: where appends are faster than the scan, a log that grew without end would multiply with each round.
      const writing = (async () => {
        for (; reading && newest < least + appendsPerScan; newest++) await fill(storage, newest + 1, newest + 1);
      })();
      const scan = await readScan(storage);
      reading = false;
      await writing;
      const last = scan.batches.at(-1)?.slot ?? -1;
      t.ok(last >= least, 'everything that was there before it began');
      t.same(scan.batches, filled(51, last));
    }
    t.same(await readAll(storage, 100), filled(101, newest));
  });

  t.test('left early, again and again', async (t) => {
    const storage = await (await database(t)).open();
    await fill(storage, 0, 20);
    await checkpoint(
      storage,
      { slot: 10, revision: 10 },
      Array.from({ length: 6000 }, (_, index) => row(keyOf(index), 1)),
    );
    for (let round = 0; round < 20; round++) {
      const scan = await storage.image.scan();
      for await (const chunk of scan.rows) {
        t.ok(chunk.length > 0);
        break;
      }
    }
    for (let round = 0; round < 20; round++) {
      const scan = await storage.image.scan();
      let count = 0;
      for await (const chunk of scan.rows) count += chunk.length;
      t.equal(count, 6000);
      for await (const [batch] of scan.batches) {
        t.equal(batch?.slot, 11);
        break;
      }
    }
    await storage.log.truncate(10);
    t.same((await readScan(storage)).batches, filled(11, 20));
  });
}
