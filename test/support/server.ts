/** Starts the servers that a suite runs against: a real etcd, or plinth. */
import fs from 'node:fs';
import path from 'node:path';
import type { Certificates } from './certificates.ts';
import { httpsFetch } from './https-fetch.ts';
import { Child, eventually, findExecutable, freePorts, repositoryRoot, temporaryDirectory } from './process.ts';
import { RawClient } from './raw-client.ts';

export interface ServerOptions {
  /** Added to the command line, for instance `--quota-backend-bytes=1000000`. */
  readonly flags?: readonly string[];
  /** It serves its clients by TLS. */
  readonly tls?: Certificates | undefined;
}

/** A row of plinth's image, as plain SQL finds it. */
export interface ImageRow {
  readonly value: Buffer;
  readonly modRevision: number;
}

export class Server {
  /** `host:port` */
  readonly endpoint: string;
  readonly url: string;
  readonly client: RawClient;
  readonly name: string;
  readonly dataDirectory: string;
  /** What etcdctl needs to reach it. */
  readonly etcdctlFlags: readonly string[];
  readonly #authority: Buffer | undefined;
  readonly #start: () => Child;
  child: Child;
  /** Where clients can reach its members, as MemberList should tell. */
  memberUrls: readonly string[];
  /** undefined: there is no image to look into. */
  imageRow: ((key: string) => Promise<ImageRow | undefined>) | undefined;

  constructor(name: string, port: number, dataDirectory: string, start: () => Child, tls?: Certificates) {
    this.name = name;
    this.endpoint = `127.0.0.1:${port}`;
    this.url = urlOf(port, tls);
    this.etcdctlFlags = tls ? [`--endpoints=${this.url}`, `--cacert=${tls.ca}`] : [`--endpoints=${this.endpoint}`];
    this.#authority = tls && fs.readFileSync(tls.ca);
    this.memberUrls = [this.url];
    this.dataDirectory = dataDirectory;
    this.#start = start;
    this.child = start();
    this.client = this.connect();
  }

  async ready(): Promise<this> {
    await eventually(async () => {
      const probe = this.connect();
      try {
        await probe.call('KV/Range', { key: 'ready' }, { timeoutMs: 2_000 });
      } finally {
        probe.close();
      }
    }, this.child).catch(async (error: unknown) => {
      await this.close();
      throw error;
    });
    return this;
  }

  /** Another connection; the caller closes it. */
  connect(): RawClient {
    return new RawClient(this.endpoint, this.#authority);
  }

  /** HTTP: `/health`. */
  async fetch(target: string, method = 'GET'): Promise<Response> {
    const url = `${this.url}${target}`;
    return this.#authority ? await httpsFetch(url, method, this.#authority) : await fetch(url, { method });
  }

  /** The same data directory, port and flags. */
  async restart(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.child.stop(signal);
    this.child = this.#start();
    await this.ready();
  }

  async close(): Promise<void> {
    this.client.close();
    await this.child.stop();
    fs.rmSync(this.dataDirectory, { recursive: true, force: true });
  }
}

/** Undefined: there is no etcd on this machine. */
export function findEtcd(): string | undefined {
  return findExecutable('etcd');
}

export interface EtcdOptions extends ServerOptions {
  /** A port of 127.0.0.1 where it listens as well, by TLS; the certificates are among the flags. */
  readonly tlsPort?: number;
}

function urlOf(port: number, tls: Certificates | undefined): string {
  return `${tls ? 'https' : 'http'}://127.0.0.1:${port}`;
}

function tlsFlags(tls: Certificates | undefined): string[] {
  return tls ? [`--cert-file=${tls.server.cert}`, `--key-file=${tls.server.key}`] : [];
}

export async function startEtcd(options: EtcdOptions = {}): Promise<Server> {
  const etcd = findEtcd();
  if (!etcd) throw new Error('etcd is neither in build/bin nor on PATH');
  const [clientPort, peerPort] = (await freePorts(2)) as [number, number];
  const directory = temporaryDirectory('etcd');
  const { tls } = options;
  const client = urlOf(clientPort, tls);
  const peer = `http://127.0.0.1:${peerPort}`;
  const secure = options.tlsPort === undefined ? [] : [`https://127.0.0.1:${options.tlsPort}`];
  const args = [
    '--name=default',
    `--data-dir=${path.join(directory, 'data')}`,
    `--listen-client-urls=${[client, ...secure].join(',')}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
    '--log-level=error',
    ...tlsFlags(tls),
    ...(options.flags ?? []),
  ];
  return new Server('etcd', clientPort, directory, () => new Child(etcd, args, { directory }), tls).ready();
}

export interface PlinthOptions extends ServerOptions {
  /** The name of a storage backend, for instance `sqlite`. */
  readonly backend?: string;
  /** Of 127.0.0.1; undefined: a free one. */
  readonly port?: number;
}

/** `npm test` has just built what users run, and that starts faster; else the sources as they are. */
function entry(): string[] {
  if (process.env.npm_lifecycle_event === 'test') return [path.join(repositoryRoot, 'dist', 'main.js')];
  return ['--import', 'tsx', path.join(repositoryRoot, 'src', 'main.ts')];
}

export async function startPlinth(options: PlinthOptions = {}): Promise<Server> {
  const port = options.port ?? ((await freePorts(1))[0] as number);
  const directory = temporaryDirectory('plinth');
  const { tls } = options;
  const url = urlOf(port, tls);
  const args = [
    ...entry(),
    'serve',
    '--name=default',
    `--data-dir=${path.join(directory, 'data')}`,
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    `--storage-backend=${options.backend ?? 'sqlite'}`,
    '--log-level=error',
    ...tlsFlags(tls),
    ...(options.flags ?? []),
  ];
  return new Server(
    'plinth',
    port,
    directory,
    () => new Child(process.execPath, args, { cwd: repositoryRoot, directory }),
    tls,
  ).ready();
}

/** A plinth that passes everything on to this etcd, and is closed together with it. */
export async function startPlinthBefore(etcd: Server, flags: readonly string[] = []): Promise<Server> {
  const plinth = await startPlinth({ backend: 'etcd3', flags: [`--etcd3-endpoints=${etcd.url}`, ...flags] });
  plinth.memberUrls = etcd.memberUrls;
  const close = plinth.close.bind(plinth);
  plinth.close = async () => {
    await close();
    await etcd.close();
  };
  return plinth;
}
