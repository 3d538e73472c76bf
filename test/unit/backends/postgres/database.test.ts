/** The database: who creates it, what it says of itself, and who is told of an append. */
import t from 'tap';
import type { ImageRow } from '../../../../src/registry/image.ts';
import { bytes, checkpoint, fill, headOf, readAll, readScan, row } from '../../../backends/contract/database.ts';
import { newPostgresDatabase, startPostgres, withoutPostgres } from '../../../support/postgres.ts';
import { open } from './support.ts';

t.setTimeout(120_000);

const without = withoutPostgres();
if (without) t.pass(without, { skip: without });
else {
  const server = await startPostgres();
  t.teardown(() => server.close());

  t.test('many create it at once', async (t) => {
    for (let round = 0; round < 3; round++) {
      const { url } = newPostgresDatabase(server);
      const storages = await Promise.all(Array.from({ length: 8 }, () => open(t, url)));
      const outcomes = await Promise.all(storages.map(({ log }, at) => log.append(-1, `writer-${at}`, bytes('x'))));
      t.equal(outcomes.filter((outcome) => outcome === 'appended').length, 1, 'one genesis');
      for (const storage of storages) t.equal((await readAll(storage, -1)).length, 1);
      await Promise.all(storages.map((storage) => storage.close()));
    }
  });

  t.test('an append wakes the other storages', async (t) => {
    const { url } = newPostgresDatabase(server);
    const [writer, reader] = [await open(t, url), await open(t, url)];
    let appended = false;
    const woken = new Promise<void>((resolve) => {
      t.teardown(reader.log.onAppend(() => appended && resolve()));
    });
    appended = true;
    await fill(writer, 0, 0);
    await woken;
    t.equal((await readAll(reader, -1)).length, 1);
  });

  t.test('of many appends that follow at once the other storages are told of the last one', async (t) => {
    const { url } = newPostgresDatabase(server);
    const [writer, reader] = [await open(t, url), await open(t, url)];
    const last = 200;
    const told: number[] = [];
    const all = new Promise<void>((resolve) => {
      t.teardown(
        reader.log.onAppend((slot) => {
          if (slot !== undefined) told.push(slot);
          if (slot === last) resolve();
        }),
      );
    });
    await fill(writer, 0, last);
    await all;
    t.same(
      told,
      [...told].sort((one, other) => one - other),
      `${told.length} hints of ${last + 1} appends, in order`,
    );
  });

  t.test('the schema has a version; an unknown one is refused', async (t) => {
    const { name, url } = newPostgresDatabase(server);
    await open(t, url);
    t.equal(server.query('SELECT version FROM plinth_schema_version', name), '1');
    server.query('UPDATE plinth_schema_version SET version = 2', name);
    await t.rejects(open(t, url), { message: /schema version 2, this plinth knows version 1/ });
  });

  t.test('a user that may not create tables can use those that are there', async (t) => {
    const { name, url } = newPostgresDatabase(server);
    server.query("CREATE ROLE limited LOGIN PASSWORD 'limited'", name);
    const limited = url.replace(/\/\/[^@]*@/, '//limited:limited@');
    await t.rejects(open(t, limited), { message: /permission denied.*grant the user/ });
    await open(t, url);
    const tables = 'plinth_log, plinth_image, plinth_record, plinth_mark, plinth_schema_version';
    server.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ${tables} TO limited`, name);
    const warnings: string[] = [];
    const storage = await open(t, limited, [], (message) => warnings.push(message));
    await fill(storage, 0, 3);
    await checkpoint(storage, { slot: 3, revision: 3 }, [row('a', 1)]);
    await storage.log.truncate(2);
    await storage.image.reclaim();
    t.equal((await readAll(storage, -1)).length, 1);
    t.ok((await storage.image.size()).total > 0);
  });

  t.test('a standby, or a user that may only read, is refused; commits are always waited for', async (t) => {
    const { name, url } = newPostgresDatabase(server);
    server.query(`ALTER DATABASE ${name} SET default_transaction_read_only = on`);
    await t.rejects(open(t, url), { message: /name the primary/ });
    server.query(`ALTER DATABASE ${name} RESET default_transaction_read_only`);
    server.query(`ALTER DATABASE ${name} SET synchronous_commit = off`);
    const storage = await open(t, url);
    await fill(storage, 0, 0);
    server.query(
      `CREATE TABLE seen AS SELECT 'none' AS setting;
       CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN UPDATE seen SET setting = current_setting(''synchronous_commit''); RETURN NEW; END';
       CREATE TRIGGER see BEFORE INSERT ON plinth_log FOR EACH ROW EXECUTE FUNCTION see()`,
      name,
    );
    await fill(storage, 1, 1);
    t.equal(server.query('SELECT setting FROM seen', name), 'on');
  });

  t.test('an append that was held up does not bring a truncated slot back', async (t) => {
    const { name, url } = newPostgresDatabase(server);
    const storage = await open(t, url);
    await fill(storage, 0, 5);
    // Held up after it found slot 5, before it inserts slot 6; only the one with this id.
    server.query(
      `CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN IF NEW.id = ''late'' THEN PERFORM pg_sleep(1); END IF; RETURN NEW; END';
       CREATE TRIGGER hold BEFORE INSERT ON plinth_log FOR EACH ROW EXECUTE FUNCTION hold()`,
      name,
    );
    const other = await open(t, url);
    const late = storage.log.append(5, 'late', bytes('x')).catch((error: Error) => error.message);
    await fill(other, 6, 9);
    await checkpoint(other, { slot: 9, revision: 9 }, [row('a', 1)]);
    await other.log.truncate(8);
    t.not(await late, 'appended');
    t.same(
      (await readAll(other, -1)).map(({ slot }) => slot),
      [9],
    );
  });

  t.test('an operator finds an object by SQL; long keys are in order', async (t) => {
    const { name, url } = newPostgresDatabase(server);
    const storage = await open(t, url);
    await fill(storage, 0, 1);
    const edge = (length: number, last: number): ImageRow => ({
      ...row('', 1),
      key: new Uint8Array(length).fill(65).fill(last, -1),
    });
    const rows = [edge(1999, 66), edge(2000, 65), edge(2001, 0), edge(2001, 255), edge(3000, 1), edge(2000, 66)];
    rows.push({ ...row('/registry/pods/a', 9), lease: -5n, value: bytes('hello') });
    rows.sort((a, b) => Buffer.compare(a.key, b.key));
    await checkpoint(storage, { slot: 1, revision: 9 }, [...rows].reverse());
    t.same((await readScan(storage)).rows, rows.map(headOf));
    const sql = `SELECT keyspace, convert_from(key, 'UTF8'), mod_revision, lease, convert_from(value, 'UTF8')
      FROM plinth_image WHERE key = convert_to('/registry/pods/a', 'UTF8')`;
    t.equal(server.query(sql, name), 'default|/registry/pods/a|9|-5|hello');
    await checkpoint(
      storage,
      { slot: 1, revision: 9 },
      rows.slice(1).map(({ key }) => ({ key, deleted: true as const })),
    );
    t.equal((await readScan(storage)).rows.length, 1);
  });
}
