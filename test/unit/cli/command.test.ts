import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const main = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));

function plinth(...args: string[]): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import=tsx', main, ...args], { encoding: 'utf8' });
  return { code: status, out: stdout, err: stderr };
}

t.test('version', async (t) => {
  for (const args of [['version'], ['--version'], ['-V']]) {
    const { code, out, err } = plinth(...args);
    t.equal(code, 0);
    t.match(out, /^plinth \d+\.\d+\.\d+ \(etcd API 3\.7\.\d+\)\n$/);
    t.equal(err, '');
  }
});

t.test('help lists commands; that of serve lists the flags of all backends in groups', async (t) => {
  const { code, out } = plinth('help');
  t.equal(code, 0);
  t.match(out, /serve .*\n.*log .*\n.*help/);
  const serve = plinth('serve', '--help');
  t.equal(serve.code, 0);
  t.match(serve.out, /\nMember:\n +--name <text>/);
  t.match(serve.out, /sqlite:\n +--sqlite-/);
  t.match(serve.out, /--listen-client-urls <list> .*\(default: http:\/\/localhost:2379\)/);
  t.match(serve.out, /PLINTH_DATA_DIR/);
});

t.test('wrong usage ends with code 2 and all complaints', async (t) => {
  const { code, out, err } = plinth(
    'serve',
    '--nam=x',
    '--max-txn-ops=x',
    'now',
    '--data-dirs',
    '/x',
    '--log-level',
    'loud',
  );
  t.equal(code, 2);
  t.equal(out, '');
  t.equal(
    err,
    [
      'plinth: the configuration has 5 problems:',
      '  --nam: unknown flag (did you mean --name?)',
      '  unexpected argument "now"',
      '  --data-dirs: unknown flag (did you mean --data-dir?)',
      '  --max-txn-ops: "x" is not a whole number',
      '  --log-level: "loud" is not one of debug, info, warn, error, panic, fatal',
      '',
    ].join('\n'),
  );
  t.equal(plinth('sevre').code, 2);
  t.equal(plinth().code, 2);
  t.equal(plinth('serve', '--name').code, 2);
});
