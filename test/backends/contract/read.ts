import type { Test } from 'tap';
import { bytes, checkpoint, dataOf, fill, filled, idOf, type NewDatabase, readAll } from './database.ts';

export async function read(t: Test, database: NewDatabase): Promise<void> {
  t.test('a reader sees what was appended before it asked', async (t) => {
    const opened = await database(t);
    const writer = await opened.open();
    const reader = writer.log.exclusive ? writer : await opened.open();
    for (let slot = 0; slot < 50; slot++) {
      await fill(writer, slot, slot);
      t.same(await reader.log.read(slot - 1, { batches: 5, bytes: 1 << 20 }), filled(slot, slot));
      t.same(await reader.log.read(slot, { batches: 5, bytes: 1 << 20 }), [], 'an empty answer: this is everything');
    }
  });

  t.test('limits by count and by bytes', async (t) => {
    const storage = await (await database(t)).open();
    for (let slot = 0; slot < 10; slot++) await storage.log.append(slot - 1, idOf(slot), new Uint8Array(100));
    const count = async (after: number, batches: number, bytes: number) =>
      (await storage.log.read(after, { batches, bytes })).map(({ slot }) => slot);
    t.same(await count(-1, 3, 1000), [0, 1, 2]);
    t.same(await count(2, 100, 10_000), [3, 4, 5, 6, 7, 8, 9]);
    t.same(await count(2, 100, 300), [3, 4, 5], 'just as many bytes as allowed');
    t.same(await count(2, 100, 299), [3, 4]);
    t.same(await count(2, 100, 1), [3], 'always one');
    t.same(await count(9, 100, 1), []);
    t.same(await count(1000, 100, 1), []);
  });

  t.test('a truncation shows as a gap', async (t) => {
    const storage = await (await database(t)).open();
    await fill(storage, 0, 20);
    await checkpoint(storage, { slot: 15, revision: 15 }, []);
    await storage.log.truncate(12);
    t.same(await readAll(storage, 5), filled(13, 20), 'the first is not slot 6');
    t.same(await readAll(storage, 12), filled(13, 20));
    t.same(await readAll(storage, 16), filled(17, 20));
  });

  t.test('load by slot', async (t) => {
    const storage = await (await database(t)).open();
    await fill(storage, 0, 20);
    await checkpoint(storage, { slot: 15, revision: 15 }, []);
    await storage.log.truncate(12);
    const slots = [20, 13, 12, 0, 17, 21, 13];
    t.same(
      await storage.log.load(slots),
      [20, 13, 17, 13].map((slot) => ({ slot, id: idOf(slot), data: dataOf(slot) })),
      'in the order asked, without those that are not there',
    );
    t.same(await storage.log.load([]), []);
  });

  t.test('load of many slots', async (t) => {
    const storage = await (await database(t)).open();
    for (let slot = 0; slot < 12; slot++)
      await storage.log.append(slot - 1, idOf(slot), new Uint8Array(400_000).fill(slot));
    const slots = Array.from({ length: 3000 }, (_, index) => (index % 300 === 0 ? index / 300 : 5000 + index));
    const batches = await storage.log.load(slots);
    t.same(
      batches.map(({ slot }) => slot),
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    );
    t.ok(batches.every(({ slot, data }) => data.byteLength === 400_000 && data[399_999] === slot));
    t.same(await storage.image.load([bytes('no such key')]), []);
  });
}
