import t from 'tap';
import { consoleLine, createLogger, silentLogger } from '../../../src/observe/log.ts';

function collect(): { lines: string[]; destination: { write(line: string): void } } {
  const lines: string[] = [];
  return { lines, destination: { write: (line) => lines.push(line) } };
}

t.test('JSON lines carry level, time, message and fields', async (t) => {
  const { lines, destination } = collect();
  const log = createLogger({ level: 'info', format: 'json', destination });
  log.child({ component: 'committer' }).warn({ slot: 7 }, 'conflict');
  t.equal(lines.length, 1);
  t.ok(lines[0]?.endsWith('\n'));
  const parsed = JSON.parse(lines[0] ?? '') as Record<string, unknown>;
  t.match(parsed, { level: 'warn', msg: 'conflict', component: 'committer', slot: 7 });
  t.match(parsed.ts, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

t.test('lines below the level are left out', async (t) => {
  const { lines, destination } = collect();
  const log = createLogger({ level: 'warn', format: 'json', destination });
  log.debug({}, 'no');
  log.info({}, 'no');
  log.error({}, 'yes');
  t.equal(lines.length, 1);
  for (const level of ['panic', 'fatal'] as const) {
    createLogger({ level, format: 'json', destination }).error({}, 'no');
  }
  t.equal(lines.length, 1);
});

t.test('errors keep message, cause and stack', async (t) => {
  const { lines, destination } = collect();
  const error = new TypeError('bad', { cause: new Error('deeper') });
  createLogger({ level: 'info', format: 'json', destination }).error({ error }, 'internal error');
  t.match(JSON.parse(lines[0] ?? ''), {
    error: { name: 'TypeError', message: 'bad', cause: 'deeper', stack: /log\.test/ },
  });
});

t.test('console lines', async (t) => {
  t.equal(
    consoleLine('{"level":"info","ts":"2026-01-02T03:04:05.678Z","url":"http://x","msg":"serving"}\n'),
    '2026-01-02T03:04:05.678Z\tinfo\tserving\t{"url":"http://x"}\n',
  );
  t.equal(consoleLine('{"level":"info","ts":"now","msg":"bye"}'), 'now\tinfo\tbye\n');
  const { lines, destination } = collect();
  createLogger({ level: 'info', format: 'console', destination }).info({}, 'hello');
  t.match(lines[0], /^\S+\tinfo\thello\n$/);
});

t.test('the silent logger has children as silent', async (t) => {
  t.equal(silentLogger.child({ a: 1 }), silentLogger);
});
