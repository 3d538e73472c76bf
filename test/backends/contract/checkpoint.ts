import type { Test } from 'tap';
import { checkpointRowsMax } from '../../../src/registry/image.ts';
import { bytes, checkpoint, fill, headOf, type NewDatabase, plain, readScan, row } from './database.ts';

export async function checkpoints(t: Test, database: NewDatabase): Promise<void> {
  t.test('brings rows and moves the mark', async (t) => {
    const storage = await (await database(t)).open();
    await fill(storage, 0, 9);
    t.same(await storage.image.mark(), { slot: -1, revision: 0 }, 'no checkpoint yet');
    await checkpoint(storage, { slot: 3, revision: 30 }, [row('a', 1), row('b', 2), row('c', 3)]);
    const changed = { ...row('b', 5), createRevision: 5, version: 1, lease: 77n };
    const changes = [
      changed,
      { key: bytes('c'), deleted: true } as const,
      { key: bytes('never'), deleted: true } as const,
    ];
    await checkpoint(storage, { slot: 6, revision: 60 }, [...changes, row('d', 6)]);
    const scan = await readScan(storage);
    t.same(scan.mark, { slot: 6, revision: 60 });
    t.same(await storage.image.mark(), { slot: 6, revision: 60 });
    t.same(scan.rows, [row('a', 1), changed, row('d', 6)].map(headOf));
    const found = plain(await storage.image.load(['d', 'c', 'b', 'x'].map(bytes)));
    t.same(new Set(found.map(({ key }) => Buffer.from(key).toString())), new Set(['b', 'd']), 'rows that are there');
    t.same(
      found.find(({ modRevision }) => modRevision === 5),
      changed,
    );
  });

  t.test('replaces the named records as a whole', async (t) => {
    const storage = await (await database(t)).open();
    await fill(storage, 0, 9);
    const all = Uint8Array.from({ length: 256 }, (_, index) => index);
    await checkpoint(
      storage,
      { slot: 1, revision: 1 },
      [],
      [
        { name: 'leases', data: all },
        { name: 'n'.repeat(128), data: new Uint8Array() },
      ],
    );
    const byName = async () =>
      new Map((await readScan(storage)).records.map(({ name, data }) => [name, new Uint8Array(data)]));
    t.same(
      await byName(),
      new Map([
        ['leases', all],
        ['n'.repeat(128), new Uint8Array()],
      ]),
    );
    await checkpoint(storage, { slot: 2, revision: 2 }, [], [{ name: 'alarms', data: bytes('x') }]);
    t.same(await byName(), new Map([['alarms', bytes('x')]]));
  });

  t.test('keeps the mark where it was until it is finished', async (t) => {
    const opened = await database(t);
    let storage = await opened.open();
    await fill(storage, 0, 9);
    await checkpoint(storage, { slot: 3, revision: 3 }, [row('a', 1), row('b', 2)], [{ name: 'r', data: bytes('3') }]);
    const interrupted = await storage.image.begin();
    await interrupted.write([row('b', 7), row('z', 8)]);
    const check = async (note: string) => {
      const scan = await readScan(storage);
      t.same(scan.mark, { slot: 3, revision: 3 }, note);
      t.same(scan.records, [{ name: 'r', data: bytes('3') }]);
      t.same(
        scan.rows.filter(({ modRevision }) => modRevision <= 3),
        [headOf(row('a', 1))],
        'rows of before',
      );
      t.same(
        scan.batches.map(({ slot }) => slot),
        [4, 5, 6, 7, 8, 9],
        'the log still has the rest',
      );
    };
    await check('written in part');
    await storage.close();
    storage = await opened.open();
    await check('and reopened');
    await checkpoint(storage, { slot: 8, revision: 8 }, [row('b', 7), row('z', 8)]);
    t.same(
      (await readScan(storage)).rows,
      [row('a', 1), row('b', 7), row('z', 8)].map(headOf),
      'the next one does it all',
    );
  });

  t.test('a newer one fences an older one', async (t) => {
    const opened = await database(t);
    const storage = await opened.open();
    const other = storage.log.exclusive ? storage : await opened.open();
    await fill(storage, 0, 9);
    const older = await storage.image.begin();
    await older.write([row('a', 1)]);
    const newer = await other.image.begin();
    await t.rejects(older.write([row('a', 9)]), { name: 'Fenced' });
    await t.rejects(older.finish({ slot: 9, revision: 9 }, []), { name: 'Fenced' });
    await newer.write([row('b', 2)]);
    await newer.finish({ slot: 2, revision: 2 }, []);
    await t.rejects(
      older.write([{ key: bytes('b'), deleted: true }]),
      { name: 'Fenced' },
      'also when the newer one is finished',
    );
    const scan = await readScan(storage);
    t.same(scan.mark, { slot: 2, revision: 2 });
    t.same(scan.rows, [row('a', 1), row('b', 2)].map(headOf));
    await newer.write([row('c', 3)]);
    await newer.finish({ slot: 3, revision: 3 }, []);
    t.same((await readScan(storage)).mark, { slot: 3, revision: 3 }, 'who has the fence may go on');
  });

  t.test('the mark goes forward, to slots of the log', async (t) => {
    const storage = await (await database(t)).open();
    await fill(storage, 0, 9);
    const run = await storage.image.begin();
    const refused = async (slot: number) => {
      await t.rejects(
        run.finish({ slot, revision: 1 }, []),
        { name: 'BackendError', outcome: 'failed' },
        `slot ${slot}`,
      );
    };
    await refused(10);
    await run.finish({ slot: 5, revision: 5 }, []);
    await refused(4);
    await refused(-1);
    t.same((await readScan(storage)).mark, { slot: 5, revision: 5 });
    await run.finish({ slot: 9, revision: 9 }, []);
    t.same((await readScan(storage)).mark, { slot: 9, revision: 9 });
  });

  t.test('a chunk has a limit', async (t) => {
    const storage = await (await database(t)).open();
    await fill(storage, 0, 1);
    const rows = Array.from({ length: checkpointRowsMax + 1 }, (_, index) => row(`key ${index}`, 1));
    const run = await storage.image.begin();
    await t.rejects(run.write(rows), { name: 'BackendError' });
    t.same((await readScan(storage)).rows, [], 'nothing was written');
    await run.write(rows.slice(1));
    t.equal((await readScan(storage)).rows.length, checkpointRowsMax);
    await run.write([]);
  });
}
