import t from 'tap';
import { heard } from './programs.ts';

t.test('what a program says is heard as it is meant', async (t) => {
  t.strictSame(heard('ok a value of 1 MiB'), { verdict: ['a value of 1 MiB', 'ok'] });
  t.strictSame(heard('not ok txn: Error: 1 instead of 2'), { verdict: ['txn', 'not ok: Error: 1 instead of 2'] });
  t.strictSame(heard('do pause'), { action: 'pause' });
  for (const line of ['', 'ok', ' ok txn', 'not ok txn', 'Traceback: not ok txn: no', 'INFO: ok']) {
    t.strictSame(heard(line), {}, line);
  }
});
