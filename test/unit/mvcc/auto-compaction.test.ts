import { mock } from 'node:test';
import t from 'tap';
import { startAutoCompaction } from '../../../src/mvcc/auto-compaction.ts';

const minuteMs = 60_000;

t.beforeEach(() => mock.timers.enable({ apis: ['setInterval'] }));
t.afterEach(() => mock.timers.reset());

/** A store that gets one revision a minute; what is compacted at which minute. */
function minutes(options: Parameters<typeof startAutoCompaction>[0]) {
  let now = 0;
  const compacted: [minute: number, revision: number][] = [];
  const stop = startAutoCompaction(
    options,
    () => now + 1,
    (revision) => compacted.push([now, revision]),
  );
  return {
    compacted,
    stop,
    pass(count: number) {
      for (let i = 0; i < count; i++) {
        now++;
        mock.timers.tick(minuteMs);
      }
    },
  };
}

t.test('periodic: keeps the history of the retention', async (t) => {
  const store = minutes({ mode: 'periodic', retentionMs: 10 * minuteMs });
  store.pass(9);
  t.strictSame(store.compacted, []);
  store.pass(1);
  t.strictSame(store.compacted, [[10, 1]], 'the revision of a retention ago');
  store.pass(20);
  t.strictSame(store.compacted, [
    [10, 1],
    [20, 11],
    [30, 21],
  ]);
  store.stop();
  store.pass(100);
  t.equal(store.compacted.length, 3);
});

t.test('periodic beyond an hour: every hour', async (t) => {
  const store = minutes({ mode: 'periodic', retentionMs: 5 * 60 * minuteMs });
  store.pass(299);
  t.strictSame(store.compacted, []);
  store.pass(181);
  t.strictSame(store.compacted, [
    [300, 1],
    [360, 61],
    [420, 121],
    [480, 181],
  ]);
  store.stop();
});

t.test('periodic on a store at rest: compacted once', async (t) => {
  const compacted: number[] = [];
  const stop = startAutoCompaction(
    { mode: 'periodic', retentionMs: minuteMs },
    () => 7,
    (revision) => compacted.push(revision),
  );
  mock.timers.tick(100 * minuteMs);
  t.strictSame(compacted, [7]);
  stop();
});

t.test('revision: keeps so many, looks every five minutes', async (t) => {
  const store = minutes({ mode: 'revision', retention: 8 });
  store.pass(5);
  t.strictSame(store.compacted, [], 'not so many yet');
  store.pass(10);
  t.strictSame(store.compacted, [
    [10, 3],
    [15, 8],
  ]);
  store.stop();
});
