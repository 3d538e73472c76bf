import type { Test } from 'tap';
import { checkpoint, fill, filled, type NewDatabase, readAll } from './database.ts';

export async function truncate(t: Test, database: NewDatabase): Promise<void> {
  t.test('refuses what the image does not cover, and the newest slot', async (t) => {
    const storage = await (await database(t)).open();
    const { log } = storage;
    const refused = async (through: number) => {
      await t.rejects(log.truncate(through), { name: 'BackendError', outcome: 'failed' }, `through ${through}`);
    };
    await refused(0);
    await fill(storage, 0, 9);
    await refused(0);
    await checkpoint(storage, { slot: 5, revision: 5 }, []);
    await refused(6);
    await refused(9);
    await refused(100);
    t.same(await readAll(storage, -1), filled(0, 9), 'nothing went');
    await log.truncate(5);
    t.same(await readAll(storage, -1), filled(6, 9));
    await log.truncate(5);
    await log.truncate(2);
    t.same(await readAll(storage, -1), filled(6, 9), 'what is gone is gone');
    await checkpoint(storage, { slot: 9, revision: 9 }, []);
    await refused(9);
    await log.truncate(8);
    t.same(await readAll(storage, -1), filled(9, 9));
    await fill(storage, 10, 12);
    t.same(await readAll(storage, 9), filled(10, 12), 'and it goes on');
  });

  t.test('a long one, with appends meanwhile', async (t) => {
    const storage = await (await database(t)).open();
    const { log } = storage;
    await fill(storage, 0, 0);
    for (let slot = 1; slot <= 40; slot++)
      await log.append(slot - 1, `large:${slot}`, new Uint8Array(500_000).fill(slot));
    await checkpoint(storage, { slot: 40, revision: 40 }, []);
    const truncated = log.truncate(39);
    const appended: string[] = [];
    for (let slot = 41; slot <= 60; slot++)
      appended.push(await log.append(slot - 1, `small:${slot}`, new Uint8Array(10)));
    await truncated;
    t.same(appended, Array(20).fill('appended'));
    const slots = (await readAll(storage, -1)).map(({ slot }) => slot);
    t.same(
      slots,
      Array.from({ length: 21 }, (_, index) => 40 + index),
    );
  });
}
