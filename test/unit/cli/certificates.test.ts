/** Flags of TLS: what is read from their files, and what is complained about. */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { checkConfig } from '../../../src/cli/config.ts';
import { coreFlags } from '../../../src/cli/flags.ts';
import { gatherOptions } from '../../../src/cli/options.ts';
import { Backends } from '../../../src/registry/backends.ts';
import type { ServerConfig } from '../../../src/server/config.ts';
import { type Certificates, makeCertificates, withoutOpenssl } from '../../support/certificates.ts';
import { isMissing } from '../../support/demand.ts';

function configure(typed: Record<string, string>): { config: ServerConfig; problems: string[] } {
  const backends = new Backends();
  backends.register({
    name: 'sqlite',
    flags: [],
    validate: () => [],
    build: () => Promise.reject(new Error('not built here')),
  });
  const { options, problems } = gatherOptions(coreFlags, new Map(Object.entries(typed)), {});
  return { config: checkConfig(options, backends, problems), problems };
}

const problemsOf = (typed: Record<string, string>): string[] => configure(typed).problems;

t.test('a listen URL with TLS needs both files, and each needs the other', async (t) => {
  t.strictSame(
    problemsOf({
      'listen-client-urls': 'http://127.0.0.1:1,https://127.0.0.1:2,unixs:///run/plinth.sock',
      'listen-metrics-urls': 'https://[::1]:3',
    }),
    [
      '--listen-client-urls: https://127.0.0.1:2 needs --cert-file and --key-file',
      '--listen-client-urls: unixs:///run/plinth.sock needs --cert-file and --key-file',
      '--listen-metrics-urls: https://[::1]:3 needs --cert-file and --key-file',
    ],
  );
  const url = { 'listen-client-urls': 'https://127.0.0.1:2' };
  t.strictSame(problemsOf({ ...url, 'cert-file': '/nowhere.pem' }), [
    '--cert-file: needs --key-file as well',
    '--cert-file: cannot read /nowhere.pem: ENOENT',
  ]);
  t.strictSame(problemsOf({ ...url, 'key-file': '/nowhere.pem' }), [
    '--key-file: needs --cert-file as well',
    '--key-file: cannot read /nowhere.pem: ENOENT',
  ]);
  t.strictSame(problemsOf({ ...url, 'cert-file': '/a', 'key-file': '/b', 'peer-trusted-ca-file': '/c' }), [
    '--cert-file: cannot read /a: ENOENT',
    '--key-file: cannot read /b: ENOENT',
    '--peer-trusted-ca-file: cannot read /c: ENOENT',
  ]);
});

async function files(t: Test): Promise<void> {
  if (isMissing(t, withoutOpenssl())) return;
  const directory = t.testdir();
  const made: Certificates = makeCertificates(directory, 'client');
  const write = (name: string, text: string | Buffer): string => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  const pair = (cert: string, key: string) => ({
    'listen-client-urls': 'https://127.0.0.1:2379,http://127.0.0.1:2381',
    'cert-file': cert,
    'key-file': key,
  });
  const { cert, key } = made.server;

  await t.test('they are read, and plain URLs stay plain', async (t) => {
    const { config, problems } = configure({ ...pair(cert, key), 'peer-trusted-ca-file': made.ca });
    t.strictSame(problems, []);
    t.strictSame(config.tls, { certificate: readFileSync(cert), key: readFileSync(key) });
    t.strictSame(config.peerAuthorities, readFileSync(made.ca));
    t.strictSame(
      config.listenClient.map(({ tls }) => tls),
      [true, false],
    );
    const chain = write('chain.pem', Buffer.concat([readFileSync(cert), readFileSync(made.ca)]));
    t.strictSame(problemsOf(pair(chain, key)), [], 'with its issuer behind it');
    const plainOnly = { ...pair(cert, key), 'listen-client-urls': 'http://127.0.0.1:1' };
    t.strictSame(problemsOf(plainOnly), [], 'files that no URL needs');
  });

  await t.test('files that do not belong together, or are something else', async (t) => {
    t.strictSame(problemsOf(pair(cert, made.client.key)), [
      `--key-file: the key in ${made.client.key} does not belong to the certificate in ${cert}`,
    ]);
    t.strictSame(problemsOf(pair(key, cert)), [
      `--cert-file: ${key} is not a certificate in PEM format`,
      `--key-file: ${cert} is not a private key in PEM format, without a passphrase`,
    ]);
    const empty = write('empty.pem', '');
    t.strictSame(problemsOf({ ...pair(empty, empty), 'peer-trusted-ca-file': empty }), [
      `--cert-file: ${empty} is not a certificate in PEM format`,
      `--key-file: ${empty} is not a private key in PEM format, without a passphrase`,
      `--peer-trusted-ca-file: ${empty} has no certificates in PEM format`,
    ]);
    const torn = write('torn.pem', readFileSync(cert).subarray(0, 200));
    t.match(problemsOf(pair(torn, key)), [/is not a certificate in PEM format$/]);
    t.match(problemsOf({ 'peer-trusted-ca-file': key }), [/has no certificates in PEM format$/]);
    const tornChain = write(
      'torn-chain.pem',
      Buffer.concat([readFileSync(cert), readFileSync(made.ca).subarray(0, 300)]),
    );
    t.match(problemsOf(pair(tornChain, key)), [/^--cert-file: cannot serve with/]);
  });

  await t.test('a file that may not be read', async (t) => {
    if (process.getuid?.() === 0) {
      t.match(problemsOf(pair(directory, key)), [/^--cert-file: cannot read .*: EISDIR$/]);
      return;
    }
    chmodSync(key, 0);
    t.strictSame(problemsOf(pair(cert, key)), [`--key-file: cannot read ${key}: EACCES`]);
  });
}

void t.test('files', files);
