/** Starts the servers that a suite runs against: a real etcd, or plinth. */
import fs from 'node:fs';
import path from 'node:path';
import { Child, eventually, findExecutable, freePorts, repositoryRoot, temporaryDirectory } from './process.ts';
import { RawClient } from './raw-client.ts';

export interface ServerOptions {
  /** Added to the command line, for instance `--quota-backend-bytes=1000000`. */
  readonly flags?: readonly string[];
}

export class Server {
  /** `host:port` */
  readonly endpoint: string;
  readonly url: string;
  readonly client: RawClient;
  readonly name: string;
  readonly dataDirectory: string;
  readonly #start: () => Child;
  child: Child;

  constructor(name: string, port: number, dataDirectory: string, start: () => Child) {
    this.name = name;
    this.endpoint = `127.0.0.1:${port}`;
    this.url = `http://${this.endpoint}`;
    this.dataDirectory = dataDirectory;
    this.#start = start;
    this.child = start();
    this.client = new RawClient(this.endpoint);
  }

  async ready(): Promise<this> {
    await eventually(async () => {
      const probe = new RawClient(this.endpoint);
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
    return new RawClient(this.endpoint);
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

export async function startEtcd(options: ServerOptions = {}): Promise<Server> {
  const etcd = findEtcd();
  if (!etcd) throw new Error('etcd is neither in build/bin nor on PATH');
  const [clientPort, peerPort] = (await freePorts(2)) as [number, number];
  const directory = temporaryDirectory('etcd');
  const client = `http://127.0.0.1:${clientPort}`;
  const peer = `http://127.0.0.1:${peerPort}`;
  const args = [
    '--name=default',
    `--data-dir=${path.join(directory, 'data')}`,
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
    '--log-level=error',
    ...(options.flags ?? []),
  ];
  return new Server('etcd', clientPort, directory, () => new Child(etcd, args, { directory })).ready();
}

export interface PlinthOptions extends ServerOptions {
  /** The name of a storage backend, for instance `sqlite`. */
  readonly backend?: string;
}

/** `npm test` has just built what users run, and that starts faster; else the sources as they are. */
function entry(): string[] {
  if (process.env.npm_lifecycle_event === 'test') return [path.join(repositoryRoot, 'dist', 'main.js')];
  return ['--import', 'tsx', path.join(repositoryRoot, 'src', 'main.ts')];
}

export async function startPlinth(options: PlinthOptions = {}): Promise<Server> {
  const [port] = (await freePorts(1)) as [number];
  const directory = temporaryDirectory('plinth');
  const url = `http://127.0.0.1:${port}`;
  const args = [
    ...entry(),
    'serve',
    '--name=default',
    `--data-dir=${path.join(directory, 'data')}`,
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    `--storage-backend=${options.backend ?? 'sqlite'}`,
    '--log-level=error',
    ...(options.flags ?? []),
  ];
  return new Server(
    'plinth',
    port,
    directory,
    () => new Child(process.execPath, args, { cwd: repositoryRoot, directory }),
  ).ready();
}
