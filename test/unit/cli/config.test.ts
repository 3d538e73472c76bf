import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { checkConfig } from '../../../src/cli/config.ts';
import { coreFlags, environmentName } from '../../../src/cli/flags.ts';
import { gatherOptions } from '../../../src/cli/options.ts';
import type { Backend } from '../../../src/registry/backend.ts';
import { Backends } from '../../../src/registry/backends.ts';
import type { ServerConfig } from '../../../src/server/config.ts';

function fake(name: string, problems: string[]): Backend {
  return {
    name,
    flags: [{ name: `${name}-level`, type: 'number', default: '1', group: name, help: '' }],
    validate: () => problems,
    build: () => Promise.reject(new Error('not built here')),
  };
}

function backends(): Backends {
  const registered = new Backends();
  registered.register(fake('sqlite', []));
  registered.register(fake('picky', ['--picky-level: is never right']));
  return registered;
}

interface Sources {
  readonly typed?: Record<string, string>;
  readonly environment?: Record<string, string>;
  readonly file?: string;
}

const directory = mkdtempSync(join(tmpdir(), 'plinth-config-'));
const configFile = join(directory, 'plinth.yaml');
t.teardown(() => rmSync(directory, { recursive: true }));

function configure({ typed = {}, environment = {}, file }: Sources): { config: ServerConfig; problems: string[] } {
  const arguments_ = new Map(Object.entries(typed));
  if (file !== undefined) {
    writeFileSync(configFile, file);
    arguments_.set('config-file', configFile);
  }
  const registered = backends();
  const { options, problems } = gatherOptions([...coreFlags, ...registered.flags()], arguments_, environment);
  return { config: checkConfig(options, registered, problems), problems };
}

t.test("the defaults are etcd's, and complete", async (t) => {
  const { config, problems } = configure({});
  t.strictSame(problems, []);
  const { options, ...rest } = config;
  t.equal(options.get('sqlite-level'), 1);
  t.strictSame(rest, {
    name: 'default',
    dataDir: 'default.plinth',
    listenClient: [{ kind: 'tcp', host: '127.0.0.1', port: 2379, tls: false }],
    advertiseClientUrls: [],
    listenMetrics: [],
    tls: undefined,
    peerAuthorities: undefined,
    maxRequestBytes: 1572864,
    maxTxnOps: 128,
    maxConcurrentStreams: 10_000,
    grpcKeepaliveIntervalMs: 7_200_000,
    grpcKeepaliveTimeoutMs: 20_000,
    grpcKeepaliveMinTimeMs: 5000,
    grpcMaxConnectionIdleMs: 0,
    grpcMaxConnectionAgeMs: 0,
    grpcMaxConnectionAgeGraceMs: 30_000,
    grpcTransport: 'plinth',
    storageBackend: 'sqlite',
    keyspace: 'default',
    replicaLinks: true,
    valueCacheBytes: 268435456,
    quotaBytes: 2147483648,
    autoCompaction: undefined,
    progressNotifyIntervalMs: 600_000,
    shutdownGraceMs: 10_000,
    logLevel: 'info',
    logFormat: 'json',
  });
});

t.test('a flag wins over its variable, our variable over that of etcd, any variable over the file', async (t) => {
  const file = 'name: from-file\nmax-txn-ops: 1\nkeyspace: from-file\nlog-level: warn\n';
  const environment = {
    PLINTH_NAME: 'from-plinth',
    ETCD_NAME: 'from-etcd',
    ETCD_MAX_TXN_OPS: '2',
    PLINTH_KEYSPACE: 'from-plinth',
    PLINTH_LOG_LEVEL: '',
  };
  const { config, problems } = configure({ typed: { keyspace: 'typed' }, environment, file });
  t.strictSame(problems, []);
  t.match(config, { name: 'from-plinth', maxTxnOps: 2, keyspace: 'typed', logLevel: 'warn' });
});

t.test('the file may be named by a variable, and have lists, numbers and durations', async (t) => {
  writeFileSync(
    configFile,
    'listen-client-urls: [http://127.0.0.1:1, http://127.0.0.1:2]\nshutdown-grace: 1m30s\nquota-backend-bytes: -1\n',
  );
  const { config, problems } = configure({ environment: { PLINTH_CONFIG_FILE: configFile } });
  t.strictSame(problems, []);
  t.equal(config.listenClient.length, 2);
  t.equal(config.shutdownGraceMs, 90_000);
  t.equal(config.quotaBytes, 0, 'no quota');
  t.strictSame(configure({ file: '' }).problems, [], 'an empty file');
});

t.test('all complaints come at once and say where the value is from', async (t) => {
  const { problems } = configure({
    typed: { 'max-txn-ops': '0', 'storage-backend': 'oracle', keyspace: 'a/b' },
    environment: { ETCD_SHUTDOWN_GRACE: '10', PLINTH_SERVICE_HOST: 'set by Kubernetes for a service named plinth' },
    file: 'data_dir: /x\nlisten-client-urls: {a: 1}\nlog-format: xml\nconfig-file: /y\n',
  });
  t.strictSame(problems, [
    `${configFile}: unknown key "data_dir" (did you mean data-dir?)`,
    `${configFile}: listen-client-urls must be one value or a list of values`,
    `${configFile}: unknown key "config-file"`,
    '--shutdown-grace: "10" has no unit, write for instance 10s (from ETCD_SHUTDOWN_GRACE)',
    `--log-format: "xml" is not one of json, console (from ${configFile})`,
    '--storage-backend: unknown backend "oracle", known: picky, sqlite',
    '--keyspace: "a/b" is not 1 to 64 letters, digits, dots, dashes and underscores',
    '--max-txn-ops: 0 is less than 1',
  ]);
});

t.test('only the selected backend is asked for its complaints', async (t) => {
  t.strictSame(configure({ typed: { 'storage-backend': 'picky' } }).problems, ['--picky-level: is never right']);
});

t.test('a file that is not there, not YAML or not a map', async (t) => {
  t.match(configure({ typed: { 'config-file': '/nowhere.yaml' } }).problems, [/cannot read \/nowhere\.yaml: ENOENT/]);
  t.match(configure({ file: 'a: [' }).problems, [/--config-file: cannot read/]);
  t.match(configure({ file: '- a\n' }).problems, [/must have lines of the form/]);
});

t.test('URLs', async (t) => {
  const { config, problems } = configure({
    typed: {
      'listen-client-urls': 'http://0.0.0.0:2379,unix:///run/plinth.sock',
      'advertise-client-urls': 'https://etcd.example:2379,http://[::1]:2379,unix:///run/plinth.sock',
      'listen-metrics-urls': 'http://127.0.0.1:2381',
    },
  });
  t.strictSame(problems, []);
  t.match(config, {
    listenClient: [{ host: '0.0.0.0' }, { kind: 'unix' }],
    advertiseClientUrls: { length: 3 },
    listenMetrics: [{ port: 2381 }],
  });
  t.match(
    configure({
      typed: { 'listen-client-urls': 'tcp://127.0.0.1:1', 'advertise-client-urls': 'http://localhost,foo' },
    }).problems,
    [/^--listen-client-urls: URL scheme must be http, https, unix or unixs/, /http:\/\/localhost$/, /foo$/],
  );
  t.strictSame(configure({ typed: { 'listen-client-urls': '' } }).problems, ['--listen-client-urls: needs a URL']);
});

t.test('auto-compaction: hours, durations or revisions', async (t) => {
  const compaction = (retention: string, mode = 'periodic'): unknown => {
    const { config, problems } = configure({
      typed: { 'auto-compaction-retention': retention, 'auto-compaction-mode': mode },
    });
    return problems.length > 0 ? problems.join() : config.autoCompaction;
  };
  t.strictSame(compaction('1'), { mode: 'periodic', retentionMs: 3_600_000 });
  t.strictSame(compaction('5m'), { mode: 'periodic', retentionMs: 300_000 });
  t.strictSame(compaction('1000', 'revision'), { mode: 'revision', retention: 1000 });
  t.equal(compaction('0'), undefined);
  t.equal(compaction('0', 'revision'), undefined);
  t.match(compaction('abc'), /^--auto-compaction-retention: "abc" is not a duration/);
  t.match(compaction('10h', 'revision'), /^--auto-compaction-retention: "10h" is not a whole number/);
  t.match(compaction('-5', 'revision'), /is less than 0/);
  t.match(compaction('1', 'daily'), /^--auto-compaction-mode: "daily" is not one of periodic, revision$/);
});

t.test('numbers and times have bounds', async (t) => {
  for (const [flag, value, problem] of [
    ['max-request-bytes', '99999999999', /is more than/],
    ['max-request-bytes', '0', /is less than 1/],
    ['max-concurrent-streams', '4294967296', /is more than 4294967295/],
    ['watch-progress-notify-interval', '10ms', /at least 100ms/],
    ['shutdown-grace', '1000h', /not be more than 24 days/],
  ] as const) {
    t.match(configure({ typed: { [flag]: value } }).problems, [problem], flag);
  }
});

t.test('names of variables', async (t) => {
  t.equal(environmentName('data-dir'), 'PLINTH_DATA_DIR');
  t.equal(environmentName('listen-client-urls', 'ETCD'), 'ETCD_LISTEN_CLIENT_URLS');
});
