import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { Child, repositoryRoot } from '../../support/process.ts';
import type { CrashPlan } from './crash-child.ts';
import { rowOf } from './crash-child.ts';
import { dataOf, filled, headOf, type NewDatabase, readAll, readScan } from './database.ts';

const child = fileURLToPath(new URL('./crash-child.ts', import.meta.url));
/** Acknowledged appends after which the child is killed: within its first checkpoint, between two, and later. */
const killAfter = [1, 25, 70, 130];

export async function crash(t: Test, database: NewDatabase): Promise<void> {
  t.test('a killed process loses nothing that it acknowledged', async (t) => {
    const opened = await database(t);
    let newest = -1;
    for (const count of killAfter) {
      const plan: CrashPlan = {
        backend: opened.backend.name,
        options: [...opened.options],
        dataDir: opened.dataDir,
        newest,
      };
      const process = new Child('node', ['--import', 'tsx', child, JSON.stringify(plan)], { cwd: repositoryRoot });
      t.teardown(() => process.stop());
      const lines = createInterface({ input: process.process.stdout as NodeJS.ReadableStream });
      let acknowledged = newest;
      lines.on('line', (line) => {
        acknowledged = Number(line);
        if (acknowledged >= newest + count) process.process.kill('SIGKILL');
      });
      await once(lines, 'close');
      const { signal } = await process.exited;
      t.equal(signal, 'SIGKILL', signal === 'SIGKILL' ? 'killed' : process.output);

      const storage = await opened.open();
      const scan = await readScan(storage);
      const last = scan.batches.at(-1)?.slot ?? scan.mark.slot;
      t.ok(last === acknowledged || last === acknowledged + 1, `acknowledged ${acknowledged}, there ${last}`);
      t.same(scan.batches, filled(scan.mark.slot + 1, last), 'dense, and every batch whole');
      const rows = Array.from({ length: scan.mark.slot + 1 }, (_, slot) => headOf(rowOf(slot)));
      t.same(
        scan.rows.filter(({ modRevision }) => modRevision <= scan.mark.revision),
        rows,
        `the image has all of what its mark says: ${scan.mark.slot}`,
      );
      t.equal(scan.records.length, scan.mark.slot < 0 ? 0 : 1);
      const log = await readAll(storage, -1);
      t.same(log, filled(log[0]?.slot ?? 0, last));
      t.same((await storage.log.load([last]))[0]?.data, dataOf(last));
      newest = last;
      await storage.close();
    }
  });
}
