/** The newest slots are in a file of their own: they are read, survive a crash, and go into the table. */
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from '@photostructure/sqlite';
import t, { type Test } from 'tap';
import { DirectWrites } from '../../../../src/backends/sqlite/direct-writes.ts';
import { Journal, type JournalParts } from '../../../../src/backends/sqlite/journal.ts';
import { decodeRecords } from '../../../../src/backends/sqlite/journal-record.ts';
import type { Batch } from '../../../../src/registry/log.ts';
import { checkpoint, dataOf, fill, filled, idOf, readAll, readScan, row } from '../../../backends/contract/database.ts';
import { eventually } from '../../../support/process.ts';
import { type Place, place, query } from './support.ts';

t.setTimeout(590_000);

const journalOf = ({ dataDir }: Place) => join(dataDir, 'plinth.journal');
const inTable = ({ file }: Place) =>
  query(file, 'SELECT slot FROM log ORDER BY slot').map((row) => (row as { slot: number }).slot);
const range = (from: number, through: number) => Array.from({ length: through - from + 1 }, (_, index) => from + index);

/** Of batches that are full of their slot's number; -1 for one that is not. */
const slotsOf = (batches: readonly Batch[]) =>
  batches.map(({ slot, data }) => (data.length > 1000 && data.every((byte) => byte === slot) ? slot : -1));

/** Slots 0 to `through` are in the table, and the journal is empty. */
async function settled(t: Test, through: number) {
  const here = place(t);
  const storage = await here.open();
  await fill(storage, 0, through);
  await storage.image.reclaim();
  return { here, storage };
}

/** Another transaction is open: nothing can be moved into the table until it is ended. */
function holdLock({ file }: Place): () => void {
  const operator = new DatabaseSync(file);
  operator.exec('BEGIN IMMEDIATE');
  return () => {
    operator.exec('COMMIT');
    operator.close();
  };
}

/** The files as they are now, as a crash would leave them. */
function crash(t: Test, here: Place): Place {
  const there = place(t);
  for (const name of ['plinth.db', 'plinth.db-wal', 'plinth.journal']) {
    if (existsSync(join(here.dataDir, name))) copyFileSync(join(here.dataDir, name), join(there.dataDir, name));
  }
  return there;
}

t.test('slots are read from the table and the journal as if they were in one place', async (t) => {
  const { here, storage } = await settled(t, 4);
  const release = holdLock(here);
  await fill(storage, 5, 9);
  t.same(inTable(here), range(0, 4), 'the others are in the journal');
  const { total, inUse } = await storage.image.size();

  t.same(await readAll(storage, -1), filled(0, 9));
  const limit = { batches: 100, bytes: 1e9 };
  for (let after = -1; after <= 9; after++) {
    t.same(await storage.log.read(after, limit), filled(after + 1, 9), `after slot ${after}`);
    for (const batches of [1, 3, 6]) {
      const expected = filled(after + 1, Math.min(after + batches, 9));
      t.same(await storage.log.read(after, { ...limit, batches }), expected, `${batches} after slot ${after}`);
    }
  }
  const bytesOf = (from: number, through: number) =>
    filled(from, through).reduce((sum, { data }) => sum + data.length, 0);
  t.same(await storage.log.read(2, { batches: 100, bytes: bytesOf(3, 7) }), filled(3, 7), 'as many bytes as asked for');
  t.same(await storage.log.read(2, { batches: 100, bytes: bytesOf(3, 7) - 1 }), filled(3, 6));
  t.same(await storage.log.read(5, { batches: 100, bytes: 1 }), filled(6, 6), 'one at least');

  const slots = [9, 0, 5, 4, 77, 6];
  const expected = [9, 0, 5, 4, 6].flatMap((slot) => filled(slot, slot));
  t.same(await storage.log.load(slots), expected, 'in the order asked');
  release();
  await storage.image.reclaim();
  const after = await storage.image.size();
  t.ok(
    total > after.total && inUse > after.inUse,
    `they count: ${total} and ${inUse} bytes, without them ${after.total}`,
  );
});

t.test('after a second they are in the table', async (t) => {
  const here = place(t);
  const storage = await here.open();
  await fill(storage, 0, 9);
  await eventually(async () => {
    if (inTable(here).length < 10) throw new Error('not all are');
  });
  t.same(inTable(here), range(0, 9));
  t.same(await readAll(storage, -1), filled(0, 9));
  await fill(storage, 10, 12);
  const records = decodeRecords(readFileSync(journalOf(here))).map(({ slot }) => slot);
  t.same(records, [10, 11, 12], 'the next ones begin at the begin');
  await storage.close();
  t.same(decodeRecords(readFileSync(journalOf(here))), [], 'a clean end leaves nothing in it');
  t.same(inTable(here), range(0, 12));
});

t.test('what is asked of the whole finds all of it in the table', async (t) => {
  const here = place(t);
  const storage = await here.open();
  await fill(storage, 0, 5);
  t.equal((await readScan(storage)).batches.length, 6);
  await fill(storage, 6, 8);
  await checkpoint(storage, { slot: 8, revision: 8 }, [row('a', 1)]);
  await fill(storage, 9, 9);
  await storage.log.truncate(8);
  t.same(inTable(here), [9]);
  t.same(await readAll(storage, -1), filled(9, 9));
});

t.test('a crash', async (t) => {
  const { here, storage } = await settled(t, 3);
  const release = holdLock(here);
  await fill(storage, 4, 8);
  release();
  const cut = crash(t, here);
  const bytes = readFileSync(journalOf(cut));
  const { end } = decodeRecords(bytes).at(-1)!;
  bytes[end - 1]! ^= 1;
  writeFileSync(journalOf(cut), bytes);
  t.same(await readAll(await crash(t, here).open(), -1), filled(0, 8), 'nothing that was answered is lost');

  const again = await cut.open();
  t.same(await readAll(again, -1), filled(0, 7), 'what was not written to its end was not answered');
  await fill(again, 8, 20);
  t.same(await readAll(await crash(t, cut).open(), -1), filled(0, 20));

  const other = crash(t, here);
  t.same(await readAll(await other.open('another'), -1), [], 'started with another keyspace');
  t.same(inTable(other), range(0, 8), 'nothing of the first is lost');
});

t.test('a file of which both halves are in use', async (t) => {
  const { here, storage } = await settled(t, 0);
  const release = holdLock(here);
  const write = async (from: number, through: number) => {
    for (let slot = from; slot <= through; slot++) {
      const data = new Uint8Array(200_000).fill(slot);
      t.equal(await storage.log.append(slot - 1, idOf(slot), data), 'appended');
    }
  };
  await write(1, 30);
  t.same(inTable(here), [0]);
  t.same(slotsOf(await readAll(storage, 0)), range(1, 30));
  release();
  t.same(slotsOf(await readAll(await crash(t, here).open(), 0)), range(1, 30));
  // From one half to the other and back, several times.
  await write(31, 120);
  t.same(slotsOf(await readAll(storage, 0)), range(1, 120));
  t.same(slotsOf(await readAll(await crash(t, here).open(), 0)), range(1, 120));
});

t.test('while nothing can be moved it takes what fits; then writes fail, until it can', async (t) => {
  const { here, storage } = await settled(t, 0);
  query(here.file, "CREATE TRIGGER refuse BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'not today'); END");
  let slot = 0;
  const fillUp = async () => {
    for (;;) {
      await storage.log.append(slot, idOf(slot + 1), new Uint8Array(250_000).fill(slot + 1));
      slot++;
    }
  };
  const refused = { name: 'BackendError', outcome: 'failed', message: /not today/ };
  await t.rejects(fillUp(), refused);
  await t.rejects(fillUp(), refused, 'again and again');
  t.ok(slot > 25, `${slot} batches fit`);
  t.match(here.warnings, [/not today.*plinth\.journal/], 'said once');
  t.same(slotsOf(await readAll(storage, 0)), range(1, slot), 'what was answered is there, and nothing else');
  query(here.file, 'DROP TRIGGER refuse');
  t.equal(await storage.log.append(slot, 'next', dataOf(1)), 'appended');
  await storage.image.reclaim();
  t.same(inTable(here), range(0, slot + 1));
});

t.test('a journal of another file is refused', async (t) => {
  const { here, storage } = await settled(t, 3);
  const backup = crash(t, here);
  await fill(storage, 4, 6);
  await storage.image.reclaim();
  await fill(storage, 7, 9);
  copyFileSync(journalOf(here), journalOf(backup));
  await t.rejects(backup.open(), {
    message: /plinth\.journal does not belong to .*slot 7, and ends here at slot 3.*backup/,
  });

  const other = place(t);
  const another = await other.open();
  await fill(another, 0, 6);
  await another.log.append(6, 'another-id', dataOf(7));
  await another.close();
  copyFileSync(journalOf(here), journalOf(other));
  await t.rejects(other.open(), { message: /does not belong/ }, 'slot 7 is another there');
});

t.test('a write that fails leaves open whether it is there', async (t) => {
  const parts = { direct: new DirectWrites() };
  const settings = { file: 'plinth.db', journal: '/dev/full', keyspace: 'default' };
  const journal = new Journal(settings, parts as unknown as JournalParts, 1);
  const unknown = { name: 'BackendError', outcome: 'unknown', message: /ENOSPC.*\/dev\/full: check the disk/ };
  for (let tries = 0; tries < 3; tries++) await t.rejects(async () => journal.append(idOf(1), dataOf(1)), unknown);
  const untilMs = performance.now() + 50;
  while (performance.now() < untilMs);
  await t.rejects(async () => journal.append(idOf(1), dataOf(1)), unknown, 'by another thread');
  t.equal(journal.nextSlot, 1, 'the same slot is next');
  t.equal(journal.read(1), undefined);
});
