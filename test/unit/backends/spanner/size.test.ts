import t from 'tap';
import type { Database } from '../../../../src/backends/spanner/client.ts';
import { Size } from '../../../../src/backends/spanner/size.ts';
import { BackendError } from '../../../../src/registry/log.ts';
import { gate } from '../../mvcc/storage.ts';

/** Answers each query with `number`. */
function database(emulated: boolean, number: (sql: string) => number | Promise<number>) {
  const asked: string[] = [];
  const queryNumber = async (sql: string): Promise<number> => {
    asked.push(sql);
    return await number(sql);
  };
  return { asked, size: new Size({ emulated, queryNumber } as Partial<Database> as Database) };
}

t.test('on the service: its statistics, and what this process wrote since', async (t) => {
  const { asked, size } = database(false, () => 1000);
  t.same(await size.get(), { total: 1000, inUse: 1000 });
  size.added(50);
  size.added(7);
  t.same(await size.get(), { total: 1057, inUse: 1057 });
  t.equal(asked.length, 1, 'not asked again so soon');
  t.match(asked[0], /SPANNER_SYS\.TABLE_SIZES_STATS_1HOUR/);
});

t.test('on the emulator: the sum over all rows', async (t) => {
  const { asked, size } = database(true, (sql) => (sql.includes('plinth_log') ? 30 : 4));
  t.same(await size.get(), { total: 34, inUse: 34 });
  t.match(asked, [/FROM plinth_log$/, /FROM plinth_image$/]);
});

t.test('what is freed is measured anew, by all who ask together', async (t) => {
  let bytes = 1000;
  const { asked, size } = database(false, () => bytes);
  await size.get();
  size.added(500);
  bytes = 200;
  size.freed();
  t.same(await Promise.all([size.get(), size.get(), size.get()]), Array(3).fill({ total: 200, inUse: 200 }));
  t.equal(asked.length, 2);
});

t.test('what is written while it is measured counts', async (t) => {
  const { passed, open } = gate();
  const { size } = database(false, async () => {
    await passed;
    return 1000;
  });
  size.added(9);
  const measured = size.get();
  size.added(50);
  open();
  t.same(await measured, { total: 1050, inUse: 1050 });
});

t.test('a failure is told, and it is asked again', async (t) => {
  let works = false;
  const { size } = database(false, () => {
    if (!works) throw new BackendError('failed', 'no database');
    return 1000;
  });
  size.added(1);
  await t.rejects(Promise.all([size.get(), size.get()]), { name: 'BackendError', message: 'no database' });
  works = true;
  t.same(await size.get(), { total: 1000, inUse: 1000 });
});
