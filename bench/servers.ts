/** The servers that are compared, each started on a fresh directory with durable commits on. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { Child, findExecutable, freePorts, repositoryRoot, temporaryDirectory } from '../test/support/process.ts';
import { Server, startEtcd } from '../test/support/server.ts';

export interface Candidate {
  readonly name: string;
  version(): string;
  start(): Promise<Server>;
}

const plinthEntry = path.join(repositoryRoot, 'dist', 'main.js');

export function requireExecutable(name: string): string {
  const found = findExecutable(name);
  if (!found) throw new Error(`${name} is neither in build/bin nor on PATH: run \`make peers loadgen\``);
  return found;
}

function kineSqlite(directory: string): string {
  return `sqlite://${directory}/state.db?_journal=WAL&cache=shared&_busy_timeout=30000&_txlock=immediate`;
}

/** `endpointOf`: kine's own name for the database, which may be in the directory. */
export async function startKine(endpointOf: (directory: string) => string = kineSqlite): Promise<Server> {
  const [port] = (await freePorts(1)) as [number];
  const directory = temporaryDirectory('kine');
  const endpoint = endpointOf(directory);
  const args = [`--listen-address=127.0.0.1:${port}`, '--metrics-bind-address=0', `--endpoint=${endpoint}`];
  return new Server('kine', port, directory, () => new Child(requireExecutable('kine'), args)).ready();
}

export interface PlinthStart {
  readonly backend?: string;
  readonly flags?: readonly string[];
  /** Options of Node itself, for instance `--cpu-prof`. */
  readonly node?: readonly string[];
  /** The program, if it is not the compiled plinth. */
  readonly program?: string;
}

/** plinth as it is installed: the compiled program, not its sources; with the environment of `npm start`. */
export async function startCompiledPlinth(options: PlinthStart = {}): Promise<Server> {
  if (!fs.existsSync(plinthEntry)) throw new Error(`${plinthEntry} is missing: run \`make build\``);
  const [port] = (await freePorts(1)) as [number];
  const directory = temporaryDirectory('plinth');
  const url = `http://127.0.0.1:${port}`;
  const args = [
    ...startOptions(),
    ...(options.node ?? []),
    options.program ?? plinthEntry,
    'serve',
    `--data-dir=${path.join(directory, 'data')}`,
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    `--storage-backend=${options.backend ?? 'sqlite'}`,
    '--log-level=error',
    ...(options.flags ?? []),
  ];
  const env = { ...process.env, MALLOC_ARENA_MAX: '1' };
  return new Server('plinth', port, directory, () => new Child(process.execPath, args, { env })).ready();
}

/** What `go version -m` says about the main module's dependency that the program was built from. */
function goModule(program: string, module: string): string {
  const lines = execFileSync('go', ['version', '-m', requireExecutable(program)], { encoding: 'utf8' });
  return new RegExp(`\\b${module}\\s+v(\\S+)`).exec(lines)?.[1] ?? 'unknown version';
}

interface Package {
  readonly version: string;
  readonly scripts: { readonly start: string };
}

function readPackage(): Package {
  return JSON.parse(fs.readFileSync(path.join(repositoryRoot, 'package.json'), 'utf8')) as Package;
}

/** The options of Node with which `npm start` starts plinth. */
function startOptions(): string[] {
  const options = /\bnode (--.*) dist\//.exec(readPackage().scripts.start)?.[1];
  if (options === undefined) throw new Error('package.json: npm start says no options of Node');
  return options.split(' ');
}

/** What is compared most stands side by side. */
export const candidates: readonly Candidate[] = [
  { name: 'etcd', version: () => goModule('etcd', 'go.etcd.io/etcd/server/v3'), start: () => startEtcd() },
  { name: 'plinth', version: () => `${readPackage().version}, sqlite`, start: () => startCompiledPlinth() },
  { name: 'kine', version: () => `${goModule('kine', 'github.com/k3s-io/kine')}, sqlite`, start: () => startKine() },
];
