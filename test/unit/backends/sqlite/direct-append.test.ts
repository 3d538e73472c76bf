/** When an append is made in the main thread, and when it is left to the writer's. */
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { DatabaseSync } from '@photostructure/sqlite';
import t from 'tap';
import { DirectAppender } from '../../../../src/backends/sqlite/direct-append.ts';
import { Thread } from '../../../../src/backends/sqlite/thread.ts';
import type { Writer } from '../../../../src/backends/sqlite/writer.ts';
import type { AppendOutcome } from '../../../../src/registry/log.ts';
import { dataOf, fill, filled, idOf, readAll } from '../../../backends/contract/database.ts';
import { eventually } from '../../../support/process.ts';
import { place, query } from './support.ts';

/** A file with slots 0 to 3, and an appender that has seen nothing yet; the event loop has nothing else to do. */
async function begin(t: Parameters<typeof place>[0]) {
  const here = place(t);
  const storage = await here.open();
  await fill(storage, 0, 3);
  const direct = new DirectAppender({ file: here.file, keyspace: 'default' });
  t.teardown(() => direct.close());
  await sleep(50);
  return { ...here, storage, direct };
}

/** Tries until it is done: the disk may just have been slow. */
async function soon(direct: DirectAppender, ...args: Parameters<DirectAppender['append']>): Promise<AppendOutcome> {
  return await eventually(async () => {
    await sleep(20);
    const outcome = direct.append(...args);
    if (outcome === undefined) throw new Error('it is left to the thread');
    return outcome;
  });
}

t.test('it is the same conditional append', async (t) => {
  const { storage, direct } = await begin(t);
  t.equal(await soon(direct, 3, idOf(4), dataOf(4)), 'appended');
  t.equal(await soon(direct, 3, idOf(4), dataOf(4)), 'appended', 'its own batch is there');
  t.equal(await soon(direct, 3, 'another', dataOf(4)), 'conflict');
  t.equal(await soon(direct, 9, idOf(10), dataOf(10)), 'gone');
  t.same(await readAll(storage, -1), filled(0, 4));
  t.equal(await storage.log.append(4, idOf(5), dataOf(5)), 'appended', 'the storage goes on from there');
});

t.test('a large batch is for the thread', async (t) => {
  const { storage, direct } = await begin(t);
  t.equal(direct.append(3, 'large', new Uint8Array(64 * 1024 + 1)), undefined);
  t.same(await readAll(storage, -1), filled(0, 3), 'nothing was done');
});

t.test('while the event loop is busy the thread has it', async (t) => {
  const { direct } = await begin(t);
  await soon(direct, 3, idOf(4), dataOf(4));
  const untilMs = performance.now() + 50;
  while (performance.now() < untilMs);
  t.equal(direct.append(4, idOf(5), dataOf(5)), undefined);
  t.equal(await soon(direct, 4, idOf(5), dataOf(5)), 'appended', 'idle again');
});

t.test('after an append that took long the thread has the next ones', async (t) => {
  const { direct } = await begin(t);
  direct.took(1);
  t.equal(await soon(direct, 3, idOf(4), dataOf(4)), 'appended', 'this was none');
  direct.took(60_000);
  await sleep(50);
  t.equal(direct.append(4, idOf(5), dataOf(5)), undefined);
});

t.test('one of a few milliseconds is no reason, many are', async (t) => {
  const { direct } = await begin(t);
  direct.took(8);
  t.equal(await soon(direct, 3, idOf(4), dataOf(4)), 'appended');
  for (let i = 0; i < 20; i++) direct.took(8);
  t.equal(direct.append(4, idOf(5), dataOf(5)), undefined);
  t.equal(await soon(direct, 4, idOf(5), dataOf(5)), 'appended', 'tried again some time later');
});

t.test('of an append in the thread counts how long it took, not how long its answer waited', async (t) => {
  const { file, storage } = await begin(t);
  const writer = new Thread<Writer>('writer', { file, keyspace: 'default' });
  await writer.open();
  t.teardown(() => writer.close());
  let slot = 3;
  await eventually(async () => {
    const answer = writer.call('append', slot, idOf(slot + 1), dataOf(slot + 1));
    slot++;
    const untilMs = performance.now() + 200;
    while (performance.now() < untilMs);
    const { outcome, tookMs } = await answer;
    t.equal(outcome, 'appended');
    if (tookMs <= 0 || tookMs >= 200) throw new Error('the disk was slow');
  });
  t.same(await readAll(storage, -1), filled(0, slot));
});

t.test('it does not wait for who holds the write lock', async (t) => {
  const { file, direct } = await begin(t);
  const other = new DatabaseSync(file);
  other.exec('BEGIN IMMEDIATE');
  t.equal(direct.append(3, idOf(4), dataOf(4)), undefined);
  other.exec('ROLLBACK');
  other.close();
  t.equal(await soon(direct, 3, idOf(4), dataOf(4)), 'appended');
});

t.test('a failure says what it says from the thread', async (t) => {
  const { file, direct } = await begin(t);
  query(file, "CREATE TRIGGER refuse BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'not today'); END");
  let failure: unknown;
  while (failure === undefined) {
    await sleep(20);
    try {
      t.equal(direct.append(3, idOf(4), dataOf(4)), undefined, 'left to the thread this time');
    } catch (error) {
      failure = error;
    }
  }
  t.match(failure, { name: 'BackendError', outcome: 'failed', message: /sqlite: not today/ });
});

const oneCore = availableParallelism() === 1 && 'there is one core only, which the client needs';

t.test('while one append follows the other at once the event loop does not sleep', { skip: oneCore }, async (t) => {
  const { direct } = await begin(t);
  const looking = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Immediate').length;
  const before = looking();
  await soon(direct, 3, idOf(4), dataOf(4));
  t.equal(looking(), before, 'one that comes alone is not waited for');
  let slot = 4;
  await eventually(async () => {
    await sleep(20);
    if (direct.append(slot, idOf(slot + 1), dataOf(slot + 1)) === undefined) throw new Error('the disk was slow');
    slot++;
    if (direct.append(slot, idOf(slot + 1), dataOf(slot + 1)) === undefined) throw new Error('the disk was slow');
    if (looking() !== before + 1) throw new Error('it does not look for the next');
  });
  await eventually(async () => {
    await sleep(1);
    if (looking() !== before) throw new Error('it still looks');
  });
});
