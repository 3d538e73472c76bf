import t from 'tap';
import { flags, parse, validate } from '../../../../src/backends/postgres/options.ts';

const options = (url: unknown) => new Map([['postgres-url', url as string]]);

t.test('all problems at once, each names its flag', (t) => {
  const wrong = new Map<string, string | number>([
    ['postgres-url', 'postgresql://u:secret@h,i/d?sslmode=prefer'],
    ['postgres-connections-max', 0],
    ['postgres-connect-timeout', 1.5],
    ['postgres-statement-timeout', 2 ** 40],
  ]);
  const problems = validate(wrong);
  t.match(problems, [
    /^--postgres-url: names more than one host/,
    /^--postgres-url: sslmode "prefer" is none of/,
    /^--postgres-connections-max: 0 is not/,
    /^--postgres-connect-timeout: 1\.5 is not/,
    /^--postgres-statement-timeout: 1099511627776 is not/,
  ]);
  t.equal(problems.length, 5);
  t.end();
});

t.test('the URL', (t) => {
  const right = [
    'postgres://u:p@h/d',
    'postgresql://h',
    'postgresql://u@/d?host=/var/run/postgresql',
    'postgresql://u:p%40%2F@[::1]:5433/d?sslmode=verify-full&sslrootcert=ca.pem',
    'postgresql://u:p@h/d?sslmode=verify-ca&sslrootcert=ca.pem',
    'postgresql:///d',
  ];
  for (const url of right) t.same(validate(options(url)), [], url);
  const wrong = [
    undefined,
    '',
    'h/d',
    'mysql://u:secret@h/d',
    'postgresql://u:secret@h:port/d',
    'postgresql://u:secret%zz@h/d',
    'postgresql://u:secret@h/d?sslmode=verify-ca',
  ];
  for (const url of wrong) {
    const problems = validate(options(url));
    t.match(problems, [/^--postgres-url: /], String(url));
    t.notMatch(problems.join(), /secret/);
  }
  t.end();
});

t.test('an option that is not given has the default of its flag', (t) => {
  const defaults = parse(options('postgresql://h/d'));
  t.same(defaults, {
    url: 'postgresql://h/d?uselibpqcompat=true',
    connectionsMax: Number(flags[1]?.default),
    connectTimeoutMs: 5000,
    statementTimeoutMs: 10_000,
  });
  t.same([flags[2]?.default, flags[3]?.default], ['5s', '10s']);
  t.equal(
    parse(options('postgresql://h/d?sslmode=require')).url,
    'postgresql://h/d?sslmode=require&uselibpqcompat=true',
  );
  t.end();
});
