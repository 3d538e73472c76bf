/** The file: who may open it, what it says of itself, and its size. */
import { once } from 'node:events';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { sqlite } from '../../../../src/backends/sqlite/backend.ts';
import { schemaVersion } from '../../../../src/backends/sqlite/schema.ts';
import { bytes, checkpoint, fill, row } from '../../../backends/contract/database.ts';
import { Child, repositoryRoot } from '../../../support/process.ts';
import { place, query } from './support.ts';

t.setTimeout(590_000);

t.test('a second plinth on the same directory is refused at once, until the first is gone', async (t) => {
  const here = place(t);
  const first = await here.open();
  const message = `data directory ${here.dataDir} is in use by another plinth: stop it, or choose another --data-dir`;
  await t.rejects(here.open(), { message });
  await t.rejects(here.open('another-keyspace'), { message });
  await fill(first, 0, 0);
  await first.close();
  const second = await here.open();
  t.equal((await second.log.read(-1, { batches: 1, bytes: 1 })).length, 1);
});

t.test('the lock of a process ends with it, also by SIGKILL', async (t) => {
  const here = place(t);
  const script = fileURLToPath(new URL('../../../backends/contract/crash-child.ts', import.meta.url));
  const plan = JSON.stringify({ backend: 'sqlite', options: [], dataDir: here.dataDir, newest: -1 });
  const holder = new Child('node', ['--import', 'tsx', script, plan], { cwd: repositoryRoot });
  t.teardown(() => holder.stop());
  if (holder.process.stdout) await once(holder.process.stdout, 'data');
  await t.rejects(here.open(), /is in use by another plinth/);
  await holder.stop('SIGKILL');
  await here.open();
});

t.test('the schema has a version; an unknown one is refused', async (t) => {
  const here = place(t);
  await (await here.open()).close();
  t.same(query(here.file, 'SELECT version FROM schema_version'), [{ version: schemaVersion }]);
  query(here.file, 'UPDATE schema_version SET version = 99');
  await t.rejects(here.open(), {
    name: 'BackendError',
    outcome: 'failed',
    message: new RegExp(`schema version 99, this plinth knows version ${schemaVersion}`),
  });
  query(here.file, 'UPDATE schema_version SET version = 1');
  await (await here.open()).close();
  t.same(
    query(here.file, 'SELECT version FROM schema_version'),
    [{ version: schemaVersion }],
    'an older one is taken over',
  );
});

t.test('a file of somebody else is left alone', async (t) => {
  const here = place(t);
  query(here.file, 'CREATE TABLE recipes (name TEXT)');
  await t.rejects(here.open(), /not one of plinth/);
  t.same(query(here.file, 'SELECT name FROM sqlite_schema'), [{ name: 'recipes' }]);

  const there = place(t);
  writeFileSync(there.file, 'not a database, but long enough to look at. '.repeat(100));
  await t.rejects(there.open(), { name: 'BackendError', message: /plinth\.db/ });
  const nowhere = place(t);
  await mkdir(nowhere.file);
  await t.rejects(nowhere.open(), { name: 'BackendError', message: /plinth\.db/ });
});

t.test('a directory is made for this user only', async (t) => {
  const here = place(t);
  const dataDir = `${here.dataDir}/a/b`;
  const storage = await sqlite().build(new Map(), { dataDir, keyspace: 'default', warn: () => {} });
  await storage.close();
  t.equal(statSync(dataDir).mode & 0o777, 0o700);
  t.ok(existsSync(`${dataDir}/plinth.db`));
  t.notOk(existsSync(`${dataDir}/plinth.db-wal`), 'a clean end leaves no write-ahead log');
  t.equal(statSync(`${dataDir}/plinth.journal`).mode & 0o777, 0o600);
});

t.test('an operator finds an object by SQL', async (t) => {
  const here = place(t);
  const storage = await here.open();
  await fill(storage, 0, 1);
  await checkpoint(storage, { slot: 1, revision: 9 }, [
    { ...row('/registry/pods/a', 9), lease: -5n, value: bytes('hello') },
  ]);
  const sql = `SELECT keyspace, CAST(key AS TEXT) AS key, mod_revision, lease, CAST(value AS TEXT) AS value FROM image
    WHERE key = CAST('/registry/pods/a' AS BLOB)`;
  const expected = { keyspace: 'default', key: '/registry/pods/a', mod_revision: 9, lease: -5, value: 'hello' };
  t.same(query(here.file, sql), [expected], 'while plinth runs');
});

t.test('the file shrinks after a truncation, and when rows are deleted', async (t) => {
  const here = place(t);
  const storage = await here.open();
  await fill(storage, 0, 0);
  for (let slot = 1; slot <= 40; slot++) await storage.log.append(slot - 1, `large:${slot}`, new Uint8Array(500_000));
  const rows = Array.from({ length: 5000 }, (_, index) => row(`key ${index}`, 1, 'v'.repeat(1000)));
  await checkpoint(storage, { slot: 40, revision: 40 }, rows);
  await storage.image.reclaim();
  const large = statSync(here.file).size;
  t.ok(large > 20_000_000, `${large} bytes`);
  await storage.log.truncate(39);
  await checkpoint(
    storage,
    { slot: 40, revision: 41 },
    rows.map(({ key }) => ({ key, deleted: true as const })),
  );
  await storage.image.reclaim();
  const { total, inUse } = await storage.image.size();
  const small = statSync(here.file).size;
  t.ok(small < 1_000_000, `${small} bytes, without closing or a vacuum`);
  t.equal(total, small, 'all of it is in the file');
  t.equal(statSync(`${here.file}-wal`).size, 0, 'the write-ahead log is empty');
  t.equal(inUse, small, 'no free page is left in it');
});
