/** What goes wrong between a storage and its database: unknown outcomes are settled, and it recovers by itself. */
import t from 'tap';
import { failureOf } from '../../../../src/backends/postgres/failure.ts';
import { dataOf, fill, filled, idOf, readAll, readScan } from '../../../backends/contract/database.ts';
import { newPostgresDatabase, startPostgres, withoutPostgres } from '../../../support/postgres.ts';
import { eventually, freePorts } from '../../../support/process.ts';
import { open, startProxy } from './support.ts';

t.setTimeout(120_000);

t.test('which errors leave open whether the write is there', (t) => {
  const outcomeOf = (code: string | undefined) =>
    (failureOf(Object.assign(new Error('m'), { code }), 'h', 'write') as { outcome?: string }).outcome;
  for (const code of ['53100', '42501', '23514', '40001', '40P01', '25006', '22001'])
    t.equal(outcomeOf(code), 'failed', code);
  for (const code of [undefined, 'ECONNRESET', '57014', '57P01', '08006', '40003', '58030', 'XX000']) {
    t.equal(outcomeOf(code), 'unknown', code ?? 'none');
  }
  t.match(
    failureOf(Object.assign(new Error('m'), { code: '53100' }), 'h', 'write').message,
    /^postgres: m \(h: free space/,
  );
  t.end();
});

const without = withoutPostgres();
if (without) t.pass(without, { skip: without });
else {
  const server = await startPostgres();
  t.teardown(() => server.close());

  t.test('a connection that is cut during an append', async (t) => {
    const { name } = newPostgresDatabase(server);
    const proxy = await startProxy(t, server.port);
    const storage = await open(t, server.url(name, proxy.port));
    await fill(storage, 0, 3);
    for (const [slot, when] of [
      [4, 'before'],
      [5, 'after'],
      [6, 'after'],
    ] as const) {
      proxy.cut = { text: 'INSERT INTO plinth_log', when };
      const append = () => storage.log.append(slot - 1, idOf(slot), dataOf(slot));
      await t.rejects(append(), { name: 'BackendError', outcome: 'unknown' }, `${when} it arrived`);
      t.equal(proxy.cut, undefined, 'it was cut');
      t.equal(await append(), 'appended', 'the same again settles it');
    }
    t.same(await readAll(storage, -1), filled(0, 6), 'once each');

    proxy.cut = { text: 'INSERT INTO plinth_log', when: 'after' };
    await t.rejects(storage.log.append(6, 'mine', dataOf(7)), { name: 'BackendError', outcome: 'unknown' });
    const other = await open(t, server.url(name));
    await eventually(async () => t.equal((await readAll(other, 6)).length, 1));
    t.equal(await other.log.append(6, 'theirs', dataOf(7)), 'conflict', 'it had been stored');
  });

  t.test('a connection that is cut when it is new, and looked at for the first time', async (t) => {
    const { name } = newPostgresDatabase(server);
    const proxy = await startProxy(t, server.port);
    const storage = await open(t, server.url(name, proxy.port));
    await fill(storage, 0, 3);
    proxy.cut = { text: 'INSERT INTO plinth_log', when: 'before' };
    await t.rejects(storage.log.append(3, idOf(4), dataOf(4)), { name: 'BackendError', outcome: 'unknown' });
    for (const when of ['before', 'after'] as const) {
      proxy.cut = { text: 'transaction_read_only', when };
      // While the next connection may not be tried yet, the answer is the last failure.
      await eventually(async () => {
        await t.rejects(storage.log.append(3, idOf(4), dataOf(4)), { name: 'BackendError', outcome: 'failed' });
        if (proxy.cut !== undefined) throw new Error('it was not cut');
      });
    }
    await eventually(async () => t.equal(await storage.log.append(3, idOf(4), dataOf(4)), 'appended'));
    t.same(await readAll(storage, -1), filled(0, 4));
  });

  t.test('a statement that takes too long', async (t) => {
    const { name, url } = newPostgresDatabase(server);
    const storage = await open(t, url, [['postgres-statement-timeout', 300]]);
    await fill(storage, 0, 3);
    // A slot that another transaction is about to take.
    server.query(
      `CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NEW; END';
       CREATE TRIGGER slow BEFORE INSERT ON plinth_log FOR EACH ROW EXECUTE FUNCTION slow()`,
      name,
    );
    const append = () => storage.log.append(3, idOf(4), dataOf(4));
    await t.rejects(append(), { outcome: 'unknown', message: /--postgres-statement-timeout/ });
    server.query('DROP TRIGGER slow ON plinth_log', name);
    t.equal(await append(), 'appended');
    server.query("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE disk_full; END'", name);
    server.query('CREATE TRIGGER refuse BEFORE INSERT ON plinth_log FOR EACH ROW EXECUTE FUNCTION refuse()', name);
    await t.rejects(storage.log.append(4, idOf(5), dataOf(5)), { outcome: 'failed', message: /free space/ });
    t.same(await readAll(storage, -1), filled(0, 4), 'nothing was stored, reading goes on');
  });

  t.test('a server that is restarted, and one that is gone for a while', async (t) => {
    const { url } = newPostgresDatabase(server);
    const storage = await open(t, url);
    await fill(storage, 0, 3);
    const scan = await storage.image.scan();
    await server.stop();
    await t.rejects(storage.log.read(-1, { batches: 1, bytes: 1 }), { name: 'BackendError', outcome: 'failed' });
    await t.rejects(storage.log.append(3, idOf(4), dataOf(4)), { name: 'BackendError' });
    await t.rejects(storage.image.scan(), { name: 'BackendError' });
    await t.rejects(scan.batches[Symbol.asyncIterator]().next(), { name: 'BackendError' }, 'a snapshot ends with it');
    await server.restart();
    t.equal(await eventually(() => storage.log.append(3, idOf(4), dataOf(4))), 'appended');
    t.same((await readScan(storage)).batches, filled(0, 4));
    // The connection for hints comes back by itself.
    const other = await open(t, url);
    let woken = 0;
    t.teardown(storage.log.onAppend(() => woken++));
    let newest = 4;
    await eventually(async () => {
      await fill(other, newest + 1, newest + 1);
      newest++;
      await new Promise((resolve) => setTimeout(resolve, 50));
      if (woken === 0) throw new Error('no notification yet');
    });
    t.ok(woken > 0, `${woken} hints`);
  });

  t.test('no database there: one clear error, without the password', async (t) => {
    const [port] = (await freePorts(1)) as [number];
    const wrong: [string, RegExp][] = [
      [server.url('postgres', server.port, 'wrong secret'), /password authentication failed.*check user and password/],
      [server.url('missing'), /database "missing" does not exist.*create the database/],
      [server.url('postgres', port), /check that PostgreSQL runs there/],
      [`${server.url()}?sslmode=verify-full&sslrootcert=missing.pem`, /missing\.pem/],
      [`${server.url()}?sslmode=require`, /SSL/],
    ];
    for (const [url, message] of wrong) {
      const error = await open(t, url).then(
        () => t.fail('opened'),
        (error: unknown) => error,
      );
      t.match(error, { message });
      t.notMatch(String((error as Error).message), /secret|pass word|pass%20word/);
    }
  });
}
