/** What goes wrong becomes a BackendError; nothing of it stops the process or the event loop, and the storage goes on. */
import { execFileSync } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import { DatabaseSync } from '@photostructure/sqlite';
import t from 'tap';
import { sqlite } from '../../../../src/backends/sqlite/backend.ts';
import { failureOf } from '../../../../src/backends/sqlite/failure.ts';
import { schemaVersion } from '../../../../src/backends/sqlite/schema.ts';
import { Fenced } from '../../../../src/registry/image.ts';
import { BackendError } from '../../../../src/registry/log.ts';
import { checkpoint, dataOf, fill, filled, idOf, readAll, readScan, row } from '../../../backends/contract/database.ts';
import { temporaryDirectory } from '../../../support/process.ts';
import { place, query } from './support.ts';

t.setTimeout(590_000);

/** Too long for the journal. */
const large = { slot: 4, id: idOf(4), data: new Uint8Array(300 * 1024).fill(4) };

t.test('which errors leave open whether the write is there', (t) => {
  const kindOf = (errcode: number) => failureOf(Object.assign(new Error('of SQLite'), { errcode }), 'plinth.db');
  t.same(kindOf(13), { kind: 'failed', message: 'sqlite: of SQLite (plinth.db: free space on the disk)' });
  t.equal(kindOf(5).kind, 'failed');
  t.equal(kindOf(10).kind, 'unknown', 'SQLITE_IOERR');
  t.equal(kindOf(1034).kind, 'unknown', 'SQLITE_IOERR_FSYNC');
  t.same(failureOf(new Error('something else'), 'f'), { kind: 'failed', message: 'sqlite: something else (f)' });
  t.same(failureOf(new BackendError('unknown', 'm'), 'f'), { kind: 'unknown', message: 'm' });
  t.same(failureOf(new Fenced('m'), 'f'), { kind: 'fenced', message: 'm' });
  t.end();
});

t.test('a statement that fails', async (t) => {
  const here = place(t);
  const storage = await here.open();
  await fill(storage, 0, 3);
  query(here.file, "CREATE TRIGGER refuse BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'not today'); END");
  await t.rejects(storage.log.append(3, large.id, large.data), {
    name: 'BackendError',
    outcome: 'failed',
    message: /not today/,
  });
  t.same(await readAll(storage, -1), filled(0, 3), 'nothing was stored, reading goes on');
  query(here.file, 'DROP TRIGGER refuse');
  t.equal(await storage.log.append(3, large.id, large.data), 'appended');
});

/** A file system of 64 MiB; undefined where this user may not have one. */
function smallDisk(): string | undefined {
  const directory = temporaryDirectory('small-disk');
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', directory], { stdio: 'ignore' });
  } catch {
    rmSync(directory, { recursive: true });
    return undefined;
  }
  t.teardown(() => {
    // Lazily: what is left of the main thread's connection is not collected yet.
    execFileSync('umount', ['-l', directory]);
    rmSync(directory, { recursive: true });
  });
  return directory;
}

const dataDir = smallDisk();
t.test('a full disk', { skip: dataDir ? false : 'mounting a small file system takes more rights' }, async (t) => {
  const ballast = join(dataDir as string, 'ballast');
  writeFileSync(ballast, new Uint8Array(32 * 1024 * 1024));
  const context = { dataDir: dataDir as string, keyspace: 'default', warn: (message: string) => t.comment(message) };
  const storage = await sqlite().build(new Map(), context);
  try {
    let newest = -1;
    const fillUp = async () => {
      for (;;) {
        await storage.log.append(newest, `large:${newest + 1}`, new Uint8Array(300_000).fill(newest + 1));
        newest++;
      }
    };
    await t.rejects(fillUp(), { name: 'BackendError', outcome: 'failed', message: /free space on the disk/ });
    await t.rejects(fillUp(), { name: 'BackendError', outcome: 'failed' }, 'again and again');
    t.ok(newest > 5, `${newest} batches fit`);
    const slots = (await readAll(storage, -1)).map(({ slot, data }) =>
      data.every((byte) => byte === slot) ? slot : -1,
    );
    t.same(slots, [...slots.keys()], 'each is what was stored');
    t.equal(slots.length, newest + 1, 'what was acknowledged is there, and nothing else');

    rmSync(ballast);
    t.equal(await storage.log.append(newest, 'next', new Uint8Array(300_000)), 'appended', 'space again: it goes on');
    await checkpoint(storage, { slot: newest, revision: 1 }, []);
    await storage.log.truncate(newest);
    await storage.image.reclaim();
    const { total } = await storage.image.size();
    t.ok(total < 1_000_000, `${total} bytes after a truncation`);
  } finally {
    await storage.close();
  }
});

t.test('while the database waits for a lock, the event loop turns and readers are answered', async (t) => {
  const here = place(t);
  const storage = await here.open();
  await fill(storage, 0, 3);
  const operator = new DatabaseSync(here.file);
  t.teardown(() => operator.close());
  operator.exec('BEGIN IMMEDIATE');
  let done = false;
  t.equal(await storage.log.append(3, idOf(4), dataOf(4)), 'appended', 'to the journal');
  const finished = checkpoint(storage, { slot: 4, revision: 1 }, []).finally(() => {
    done = true;
  });
  for (let turns = 0; turns < 1000; turns++) await turn();
  t.same(await readAll(storage, -1), filled(0, 4));
  t.notOk(done, 'the checkpoint still waits');
  operator.exec('COMMIT');
  await finished;
  t.equal((await readScan(storage)).mark.slot, 4);
});

t.test('a thread that dies', async (t) => {
  const workers: Worker[] = [];
  const seen = (message: unknown) => workers.push((message as { worker: Worker }).worker);
  subscribe('worker_threads', seen);
  t.teardown(() => unsubscribe('worker_threads', seen));
  const here = place(t);
  const storage = await here.open();
  await fill(storage, 0, 3);
  t.equal(workers.length, 3, 'the writer comes first, then the reader');
  await storage.image.reclaim();

  // In this order, so that the thread never gets to it; the storage cannot know that.
  const ended = workers[0]?.terminate();
  const append = storage.log.append(3, large.id, large.data);
  await t.rejects(append, { name: 'BackendError', outcome: 'unknown', message: /writer thread died/ });
  await ended;
  t.equal(await storage.log.append(3, large.id, large.data), 'appended', 'the same again settles it, on a new thread');
  t.equal(workers.length, 4);
  await fill(storage, 5, 6);
  const all = [...filled(0, 3), large, ...filled(5, 6)];
  t.same(await readAll(storage, -1), all);

  const scan = await storage.image.scan();
  await workers[1]?.terminate();
  await t.rejects(
    scan.batches[Symbol.asyncIterator]().next(),
    { name: 'BackendError' },
    'a snapshot dies with its thread',
  );
  t.same(await readAll(storage, -1), all, 'the next call has a new one');
  await checkpoint(storage, { slot: 5, revision: 5 }, [row('a', 1)]);
  await t.rejects(here.open(), /is in use/, 'the directory was locked all the time');
});

t.test('a thread that cannot come back', async (t) => {
  const workers: Worker[] = [];
  const seen = (message: unknown) => workers.push((message as { worker: Worker }).worker);
  subscribe('worker_threads', seen);
  t.teardown(() => unsubscribe('worker_threads', seen));
  const here = place(t);
  const storage = await here.open();
  await fill(storage, 0, 3);
  query(here.file, 'UPDATE schema_version SET version = 7');
  await workers[0]?.terminate();
  const expected = { name: 'BackendError', outcome: 'failed', message: /schema version 7/ };
  await t.rejects(storage.log.append(3, large.id, large.data), expected, 'nothing was done');
  await t.rejects(storage.log.append(3, large.id, large.data), expected, 'each call tries again');
  t.same(await readAll(storage, -1), filled(0, 3));
  query(here.file, `UPDATE schema_version SET version = ${schemaVersion}`);
  t.equal(await storage.log.append(3, idOf(4), dataOf(4)), 'appended');
});
