/** When the main thread writes to the disk itself, and when another thread does. */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { DirectWrites } from '../../../../src/backends/sqlite/direct-writes.ts';

/** One that has seen nothing yet; the event loop has nothing else to do. */
async function begin(): Promise<DirectWrites> {
  const direct = new DirectWrites();
  await sleep(50);
  return direct;
}

function busyFor(milliseconds: number): void {
  const untilMs = performance.now() + milliseconds;
  while (performance.now() < untilMs);
}

t.test('a large record is for another thread', async (t) => {
  const direct = await begin();
  t.ok(direct.allowed(64 * 1024));
  t.notOk(direct.allowed(64 * 1024 + 1));
});

t.test('while the event loop is busy another thread has it', async (t) => {
  const direct = await begin();
  t.ok(direct.allowed(100));
  busyFor(50);
  t.notOk(direct.allowed(100));
  await sleep(50);
  t.ok(direct.allowed(100), 'idle again');
});

t.test('what a write takes is not what keeps the event loop busy', async (t) => {
  const direct = await begin();
  t.ok(direct.allowed(100));
  // With a pause after it, so that there is a turn of which most went into the write.
  await sleep(10);
  direct.time(() => busyFor(1.9));
  t.ok(direct.allowed(100));
});

t.test('after a write that took long another thread has the next ones', async (t) => {
  const direct = await begin();
  direct.took(1);
  t.ok(direct.allowed(100), 'this was none');
  direct.took(60_000);
  await sleep(50);
  t.notOk(direct.allowed(100));
});

t.test('one of a few milliseconds is no reason, many are', async (t) => {
  const direct = await begin();
  direct.took(8);
  t.ok(direct.allowed(100));
  while (direct.allowed(100)) direct.took(8);
  await sleep(150);
  t.ok(direct.allowed(100), 'tried again some time later');
  for (let i = 0; i < 10; i++) direct.took(8);
  await sleep(150);
  t.notOk(direct.allowed(100), 'more seldom while they stay slow');
});

t.test('a write that fails is counted, and fails', async (t) => {
  const direct = await begin();
  const failing = () =>
    direct.time(() => {
      busyFor(30);
      throw new Error('no');
    });
  t.throws(failing, { message: 'no' });
  await sleep(50);
  t.notOk(direct.allowed(100), 'it took long');
});
