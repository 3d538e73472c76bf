import { readFileSync } from 'node:fs';
import type { Flag, Options } from '../../registry/flag.ts';

const endpoints = 'etcd3-endpoints';
const caFile = 'etcd3-trusted-ca-file';
const certFile = 'etcd3-cert-file';
const keyFile = 'etcd3-key-file';
const user = 'etcd3-user';
const password = 'etcd3-password';
const connectTimeout = 'etcd3-connect-timeout';
const group = 'Storage: etcd3';
const connectTimeoutMsLeast = 100;
const connectTimeoutMsMost = 60_000;

export const flags: readonly Flag[] = [
  {
    name: endpoints,
    type: 'strings',
    group,
    help: 'Client URLs of the etcd behind: http://host:2379 or https://host:2379. Tried one after the other.',
  },
  {
    name: caFile,
    type: 'string',
    group,
    help: 'Certificates that sign those of the etcd. Default: those of the system.',
  },
  { name: certFile, type: 'string', group, help: 'Client certificate for the etcd.' },
  { name: keyFile, type: 'string', group, help: 'Its key.' },
  {
    name: user,
    type: 'string',
    group,
    help: 'User of the etcd, for calls whose client brings no token of its own. Who reaches plinth acts as this user then.',
  },
  { name: password, type: 'string', group, help: 'Its password; better set as PLINTH_ETCD3_PASSWORD.' },
  {
    name: connectTimeout,
    type: 'duration',
    default: '5s',
    group,
    help: 'How long a connection to one endpoint may take.',
  },
];

export interface Etcd3Options {
  readonly endpoints: readonly string[];
  readonly tls: { readonly ca: Buffer | null; readonly cert: Buffer | null; readonly key: Buffer | null };
  readonly user: { readonly name: string; readonly password: string } | undefined;
  readonly connectTimeoutMs: number;
}

const text = (options: Options, name: string): string => String(options.get(name) ?? '');
const list = (options: Options): readonly string[] => (options.get(endpoints) as readonly string[] | undefined) ?? [];

export function validate(options: Options): string[] {
  const problems: string[] = [];
  const urls = list(options);
  if (urls.length === 0) problems.push(`--${endpoints}: is missing`);
  for (const url of urls) {
    if (!isEndpoint(url)) problems.push(`--${endpoints}: ${shown(url)} is not http://host:port or https://host:port`);
  }
  if (new Set(urls.map((url) => url.startsWith('https:'))).size > 1) {
    problems.push(`--${endpoints}: are partly https and partly not`);
  }
  if ((text(options, certFile) === '') !== (text(options, keyFile) === '')) {
    problems.push(`--${certFile} and --${keyFile}: one of them is missing`);
  }
  const files = [caFile, certFile, keyFile].filter((name) => text(options, name) !== '');
  if (files.length > 0 && urls.some((url) => url.startsWith('http:'))) {
    problems.push(`--${files[0]}: has no meaning without https in --${endpoints}`);
  }
  if (text(options, user) === '' && text(options, password) !== '') problems.push(`--${password}: without --${user}`);
  const timeoutMs = Number(options.get(connectTimeout) ?? connectTimeoutMsMost);
  if (!(timeoutMs >= connectTimeoutMsLeast && timeoutMs <= connectTimeoutMsMost)) {
    problems.push(`--${connectTimeout}: must be from ${connectTimeoutMsLeast} ms to ${connectTimeoutMsMost / 1000} s`);
  }
  return problems;
}

function isEndpoint(url: string): boolean {
  const port = Number(/^https?:\/\/(?:\[[0-9a-fA-F:.]+\]|[^/:?#[\]@\s]+):(\d{1,5})\/?$/.exec(url)?.[1]);
  return port >= 1 && port <= 65_535;
}

/** For messages: without user and password, which some write into a URL. */
function shown(url: string): string {
  return JSON.stringify(url.replace(/^(\w+:\/\/)?.*@/, '$1…@'));
}

/** What `validate` has no complaint about. Throws an Error that names a file which cannot be read. */
export function parse(options: Options): Etcd3Options {
  const file = (name: string): Buffer | null => {
    const path = text(options, name);
    if (path === '') return null;
    try {
      return readFileSync(path);
    } catch (error) {
      throw new Error(`--${name}: ${(error as Error).message}`);
    }
  };
  const name = text(options, user);
  return {
    endpoints: list(options).map((url) => url.replace(/\/$/, '')),
    tls: { ca: file(caFile), cert: file(certFile), key: file(keyFile) },
    user: name === '' ? undefined : { name, password: text(options, password) },
    connectTimeoutMs: Number(options.get(connectTimeout) ?? 5000),
  };
}
