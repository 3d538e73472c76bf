/** The write-ahead log stays small. */
import { statSync } from 'node:fs';
import t from 'tap';
import type { Storage } from '../../../../src/registry/backend.ts';
import { checkpoint, fill, readScan, row } from '../../../backends/contract/database.ts';
import { eventually } from '../../../support/process.ts';
import { place } from './support.ts';

t.setTimeout(590_000);

const mebibyte = 1024 * 1024;

/** `count` batches of 1 MiB; the largest size of the write-ahead log meanwhile. */
async function write(storage: Storage, file: string, newest: number, count: number): Promise<number> {
  let largest = 0;
  for (let slot = newest + 1; slot <= newest + count; slot++) {
    await storage.log.append(slot - 1, `large:${slot}`, new Uint8Array(mebibyte).fill(slot));
    largest = Math.max(largest, statSync(`${file}-wal`).size);
  }
  return largest;
}

t.test('under constant writing', async (t) => {
  const here = place(t);
  const storage = await here.open();
  await fill(storage, 0, 0);
  const largest = await write(storage, here.file, 0, 200);
  t.ok(largest < 100 * mebibyte, `at most ${largest} bytes for 200 MiB written`);
  t.same(here.warnings, []);
});

t.test('a snapshot that is read for long is ended before the log grows for ever', async (t) => {
  const here = place(t);
  const storage = await here.open();
  await fill(storage, 0, 0);
  const rows = Array.from({ length: 9000 }, (_, index) => row(`key ${String(index).padStart(5, '0')}`, 1));
  await checkpoint(storage, { slot: 0, revision: 1 }, rows);
  const scan = await storage.image.scan();
  const chunks = scan.rows[Symbol.asyncIterator]();
  await chunks.next();
  const largest = await write(storage, here.file, 0, 250);
  t.ok(largest < 150 * mebibyte, `at most ${largest} bytes, where 64 MiB are allowed, for 250 MiB written`);
  t.match(here.warnings, [/1 snapshots were ended/]);
  await t.rejects(
    async () => {
      while (!(await chunks.next()).done);
    },
    { name: 'BackendError', outcome: 'failed', message: /given up/ },
  );

  t.equal((await readScan(storage)).rows.length, rows.length, 'the next one is read to its end');
  await storage.image.reclaim();
  t.equal(statSync(`${here.file}-wal`).size, 0);
});

t.test('a snapshot that is left frees it', async (t) => {
  const here = place(t);
  const storage = await here.open();
  await fill(storage, 0, 0);
  const rows = Array.from({ length: 9000 }, (_, index) => row(`key ${String(index).padStart(5, '0')}`, 1));
  await checkpoint(storage, { slot: 0, revision: 1 }, rows);
  for (let round = 0; round < 6; round++) {
    for await (const chunk of (await storage.image.scan()).rows) {
      t.ok(chunk.length > 0);
      break;
    }
  }
  await write(storage, here.file, 0, 50);
  await eventually(async () => {
    await storage.image.reclaim();
    if (statSync(`${here.file}-wal`).size !== 0) throw new Error('the write-ahead log is still in use');
  });
  t.same(here.warnings, []);
});
