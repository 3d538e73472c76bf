import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { etcd3 } from '../../../../src/backends/etcd3/backend.ts';
import { flags, parse, validate } from '../../../../src/backends/etcd3/options.ts';

type Given = Record<string, string | number | readonly string[]>;

const options = (given: Given) => new Map(Object.entries(given).map(([name, value]) => [`etcd3-${name}`, value]));
const endpoints = ['http://127.0.0.1:2379'];
const secure = ['https://127.0.0.1:2379'];

t.test('all problems at once, each names its flag', (t) => {
  const problems = validate(
    options({
      endpoints: ['http://h:2379', 'https://h:2379', 'h:2379'],
      'trusted-ca-file': 'ca.pem',
      'cert-file': 'cert.pem',
      password: 'secret',
      'connect-timeout': 0,
    }),
  );
  t.match(problems, [
    /^--etcd3-endpoints: "h:2379" is not http:\/\/host:port or https:\/\/host:port$/,
    /^--etcd3-endpoints: are partly https and partly not$/,
    /^--etcd3-cert-file and --etcd3-key-file: one of them is missing$/,
    /^--etcd3-trusted-ca-file: has no meaning without https in --etcd3-endpoints$/,
    /^--etcd3-password: without --etcd3-user$/,
    /^--etcd3-connect-timeout: must be from 100 ms to 60 s$/,
  ]);
  t.equal(problems.length, 6);
  t.notMatch(problems.join(), /secret/);
  t.same(validate(new Map()), ['--etcd3-endpoints: is missing']);
  t.end();
});

t.test('endpoints', (t) => {
  const right = [
    'http://localhost:2379',
    'http://127.0.0.1:1/',
    'https://etcd-0.etcd.default.svc.cluster.local:65535',
    'https://[::1]:2379',
    'http://under_score:2379',
  ];
  for (const url of right) t.same(validate(options({ endpoints: [url] })), [], url);
  t.same(validate(options({ endpoints: ['http://a:1', 'http://b:2', 'http://c:3'] })), []);
  const wrong = [
    '',
    'localhost:2379',
    'http://localhost',
    'http://:2379',
    'http://h:0',
    'http://h:65536',
    'http://h:123456',
    'http://h:2379/path',
    'http://h:2379?x=1',
    'HTTP//h:2379',
    'unix:///etcd.sock',
    'http://a b:2379',
    'http://[::1:2379',
    'http://user:secret@h:2379',
    'user:secret@h:2379',
    'https://user:se@cret@h:2379',
  ];
  for (const url of wrong) {
    const problems = validate(options({ endpoints: [url] }));
    t.match(problems, [/^--etcd3-endpoints: ".*" is not http/], url);
    t.equal(problems.length, 1);
    t.notMatch(problems.join(), /secret|cret@/);
  }
  t.end();
});

t.test('TLS and the user', (t) => {
  const pair = { 'cert-file': 'cert.pem', 'key-file': 'key.pem' };
  t.same(validate(options({ endpoints: secure, ...pair, 'trusted-ca-file': 'ca.pem' })), []);
  t.same(validate(options({ endpoints: secure, 'trusted-ca-file': 'ca.pem' })), []);
  t.match(validate(options({ endpoints: secure, 'key-file': 'key.pem' })), [/one of them is missing/]);
  t.match(validate(options({ endpoints, ...pair })), [/^--etcd3-cert-file: has no meaning without https/]);
  t.same(validate(options({ endpoints, user: 'root', password: 'secret' })), []);
  t.same(validate(options({ endpoints, user: 'root' })), [], 'a password may be empty');
  t.end();
});

t.test('how long a connection may take', (t) => {
  for (const right of [100, 100.5, 60_000]) {
    t.same(validate(options({ endpoints, 'connect-timeout': right })), [], String(right));
  }
  for (const wrong of [0, 99, 60_001, Number.NaN, '5s']) {
    t.match(validate(options({ endpoints, 'connect-timeout': wrong })), [/^--etcd3-connect-timeout: /], String(wrong));
  }
  t.end();
});

t.test('an option that is not given has the default of its flag', (t) => {
  t.same(parse(options({ endpoints })), {
    endpoints,
    tls: { ca: null, cert: null, key: null },
    user: undefined,
    connectTimeoutMs: 5000,
  });
  t.equal(flags.find(({ name }) => name === 'etcd3-connect-timeout')?.default, '5s');
  t.ok(
    flags.every(({ group }) => group === 'Storage: etcd3'),
    'and all are shown together',
  );
  t.end();
});

t.test('everything given', (t) => {
  const directory = t.testdir({ 'ca.pem': 'CA', 'cert.pem': 'CERT', 'key.pem': 'KEY' });
  const file = (name: string) => path.join(directory, name);
  const given = options({
    endpoints: ['https://a:1/', 'https://b:2'],
    'trusted-ca-file': file('ca.pem'),
    'cert-file': file('cert.pem'),
    'key-file': file('key.pem'),
    user: 'root',
    password: 'pass: word',
    'connect-timeout': 700,
  });
  t.same(parse(given), {
    endpoints: ['https://a:1', 'https://b:2'],
    tls: { ca: Buffer.from('CA'), cert: Buffer.from('CERT'), key: Buffer.from('KEY') },
    user: { name: 'root', password: 'pass: word' },
    connectTimeoutMs: 700,
  });
  t.equal(parse(options({ endpoints, user: 'root' })).user?.password, '');
  fs.rmSync(file('key.pem'));
  t.throws(() => parse(given), { message: /^--etcd3-key-file: ENOENT: .*key\.pem'$/ });
  t.end();
});

t.test('a keyspace is refused: the etcd has one only', async (t) => {
  const built = etcd3().relay(options({ endpoints }), { dataDir: '', keyspace: 'other', warn() {} });
  await t.rejects(built, { message: /^--keyspace: the etcd behind has one keyspace only; leave it out/ });
});
