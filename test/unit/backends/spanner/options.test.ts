import path from 'node:path';
import t, { type Test } from 'tap';
import { spanner } from '../../../../src/backends/spanner/backend.ts';
import { flags, parse, validate } from '../../../../src/backends/spanner/options.ts';

type Given = Record<string, string | number | boolean>;

const names = { project: 'project-1', instance: 'instance', database: 'database' };
const options = (given: Given) => new Map(Object.entries(given).map(([name, value]) => [`spanner-${name}`, value]));

/** The environment is part of the configuration: what the machine of the test has in it must not count. */
function environment(t: Test, set: Record<string, string>): void {
  for (const name of ['SPANNER_EMULATOR_HOST', 'GOOGLE_APPLICATION_CREDENTIALS']) {
    const before = process.env[name];
    delete process.env[name];
    if (set[name] !== undefined) process.env[name] = set[name];
    t.teardown(() => {
      delete process.env[name];
      if (before !== undefined) process.env[name] = before;
    });
  }
}

t.test('all problems at once, each names its flag', (t) => {
  environment(t, {});
  const problems = validate(
    options({
      project: 'Project',
      database: 'd',
      'emulator-host': 'http://localhost:9010',
      'credentials-file': 'key.json',
      timeout: 1,
    }),
  );
  t.match(problems, [
    /^--spanner-project: "Project" is not a name: 6 to 30 lower-case letters, digits and dashes$/,
    /^--spanner-instance: is missing$/,
    /^--spanner-database: "d" is not a name: 2 to 30 lower-case letters/,
    /^--spanner-emulator-host: "http:\/\/localhost:9010" is not host:port$/,
    /^--spanner-credentials-file: the emulator takes no credentials/,
    /^--spanner-timeout: must be from 100 ms to 1 h$/,
  ]);
  t.equal(problems.length, 6);
  t.match(validate(new Map()), [/^--spanner-project: is missing/, /^--spanner-instance/, /^--spanner-database/]);
  t.end();
});

t.test('names', (t) => {
  environment(t, {});
  const rules: Record<keyof typeof names, { right: string[]; wrong: string[] }> = {
    project: {
      right: ['abcdef', 'a-1-b2', 'example.com:project-1', `a${'b'.repeat(29)}`],
      wrong: ['abcde', '1bcdef', 'abcde-', 'Abcdef', 'abc_def', `a${'b'.repeat(30)}`, 'projects/abcdef'],
    },
    instance: {
      right: ['ab', 'a-b', `a${'b'.repeat(63)}`],
      wrong: ['a', '1a', 'a-', 'a_b', 'aB', `a${'b'.repeat(64)}`, 'projects/p/instances/i'],
    },
    database: {
      right: ['ab', 'a_b-c', `a${'b'.repeat(29)}`],
      wrong: ['a', '1a', 'a_', 'a-', 'aB', 'a.b', `a${'b'.repeat(30)}`],
    },
  };
  for (const [name, { right, wrong }] of Object.entries(rules)) {
    for (const value of right) t.same(validate(options({ ...names, [name]: value })), [], `${name} ${value}`);
    for (const value of wrong) {
      const problems = validate(options({ ...names, [name]: value }));
      t.match(problems, [new RegExp(`^--spanner-${name}: .* is not a name`)], `${name} ${value}`);
      t.equal(problems.length, 1);
    }
  }
  t.end();
});

t.test('the emulator, from its flag or the environment', (t) => {
  environment(t, {});
  for (const [host, parsed] of [
    ['localhost:9010', { host: 'localhost', port: 9010 }],
    ['[::1]:1', { host: '[::1]', port: 1 }],
    ['127.0.0.1:65535', { host: '127.0.0.1', port: 65_535 }],
  ] as const) {
    const given = options({ ...names, 'emulator-host': host });
    t.same(validate(given), []);
    t.same(parse(given).emulator, parsed);
  }
  for (const wrong of [
    'localhost',
    ':9010',
    'localhost:',
    'localhost:0',
    'localhost:65536',
    'a b:1',
    'user@h:1',
    '::1:9010',
  ]) {
    t.match(validate(options({ ...names, 'emulator-host': wrong })), [/^--spanner-emulator-host: /], wrong);
  }
  process.env.SPANNER_EMULATOR_HOST = 'other:9011';
  t.same(parse(options(names)).emulator, { host: 'other', port: 9011 });
  t.same(parse(options({ ...names, 'emulator-host': 'flag:1' })).emulator, { host: 'flag', port: 1 }, 'the flag wins');
  t.equal(parse(options({ ...names, 'emulator-host': '' })).emulator, undefined, 'also where it is empty');
  t.match(validate(options({ ...names, 'credentials-file': 'key.json' })), [/the emulator takes no credentials/]);
  process.env.SPANNER_EMULATOR_HOST = 'nonsense';
  t.match(validate(options(names)), [/^--spanner-emulator-host: "nonsense" is not host:port/]);
  t.end();
});

t.test('how long a call may take', (t) => {
  environment(t, {});
  for (const right of [100, 1234.5, 3_600_000])
    t.same(validate(options({ ...names, timeout: right })), [], String(right));
  for (const wrong of [0, 99, 3_600_001, Number.NaN, '5s']) {
    t.match(validate(options({ ...names, timeout: wrong })), [/^--spanner-timeout: /], String(wrong));
  }
  t.end();
});

t.test('an option that is not given has the default of its flag', (t) => {
  environment(t, {});
  t.same(parse(options(names)), {
    ...names,
    emulator: undefined,
    credentialsFile: undefined,
    create: false,
    timeoutMs: 5000,
  });
  const defaults = Object.fromEntries(flags.map(({ name, default: value }) => [name, value]));
  t.match(defaults, { 'spanner-create': 'false', 'spanner-timeout': '5s' });
  t.match(parse(options({ ...names, create: true, timeout: 700 })), { create: true, timeoutMs: 700 });
  t.end();
});

t.test('a credentials file that is none is told at once, and nothing of what is in it', async (t) => {
  environment(t, {});
  const secret = 'MIIEvSECRET';
  const directory = t.testdir({
    'key.json': JSON.stringify({ type: 'service_account', private_key: secret }),
    'broken.json': `{"type": "service_account", "private_key": "-----BEGIN"${secret}"}`,
    'line-break.json': `{"type": "service_account", "private_key": "a\n${secret}"}`,
    'key.pem': `-----BEGIN PRIVATE KEY-----\n${secret}\n`,
    'short.json': secret,
    'other.json': JSON.stringify({ private_key: secret }),
    'list.json': '[1]',
    'null.json': 'null',
    'empty.json': '',
    directory: {},
  });
  const given = (name: string) => options({ ...names, 'credentials-file': path.join(directory, name) });
  t.equal(parse(given('key.json')).credentialsFile, path.join(directory, 'key.json'));
  const none = 'broken.json line-break.json key.pem short.json other.json list.json null.json empty.json'.split(' ');
  for (const name of [...none, 'directory', 'missing.json']) {
    const error = await spanner()
      .build(given(name), { dataDir: '', keyspace: 'default', warn() {} })
      .then(
        () => new Error('built'),
        (failure: Error) => failure,
      );
    t.match(
      error.message,
      none.includes(name) ? /^--spanner-credentials-file: .* is no JSON key/ : /: E(ISDIR|NOENT): /,
      name,
    );
    t.notMatch(`${error.message} ${JSON.stringify(error.cause)}`, /MIIE|SECRET|BEGIN/, name);
  }
});

t.test('no credentials: one error, and the process goes on', async (t) => {
  environment(t, { GOOGLE_APPLICATION_CREDENTIALS: path.join(t.testdirName, 'missing.json') });
  await t.rejects(spanner().build(options(names), { dataDir: '', keyspace: 'default', warn() {} }), {
    name: 'BackendError',
    message: /^spanner: .*GOOGLE_APPLICATION_CREDENTIALS.*\(projects\/project-1\/.* at spanner\.googleapis\.com\)$/,
  });
  // A rejection that nobody handles would come now, and fail the test.
  await new Promise((resolve) => setTimeout(resolve, 50));
});
