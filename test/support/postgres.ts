/** A PostgreSQL of the test's own: a new cluster in a temporary directory, gone with the process. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { Child, findExecutable, freePorts, temporaryDirectory } from './process.ts';

const packaged = '/usr/lib/postgresql';
/** PostgreSQL refuses to run as root. */
const isRoot = process.getuid?.() === 0;
const user = 'postgres';
const password = 'pass word@1';

/** The directory with `initdb` and `postgres`: of PATH, or the newest that Debian's packages brought. */
function findBinaries(): string | undefined {
  const onPath = findExecutable('initdb');
  // What is on PATH may be a link, and the programs beside it elsewhere.
  const real = onPath && path.dirname(fs.realpathSync(onPath));
  if (real && ['postgres', 'psql', 'pg_isready'].every((name) => fs.existsSync(path.join(real, name)))) return real;
  if (!fs.existsSync(packaged)) return undefined;
  const versions = fs.readdirSync(packaged).sort((a, b) => Number(b) - Number(a));
  return versions
    .map((version) => path.join(packaged, version, 'bin'))
    .find((directory) => fs.existsSync(path.join(directory, 'initdb')));
}

/** False where PostgreSQL is there; else why the test is skipped. */
export function withoutPostgres(): string | false {
  if (!findBinaries()) return `no PostgreSQL: neither on PATH nor in ${packaged}`;
  if (!isRoot) return false;
  try {
    // setpriv instead of runuser: it becomes the server, so that a signal to it is one to the server.
    execFileSync('setpriv', ['--reuid', user, '--regid', user, '--clear-groups', 'true'], { stdio: 'ignore' });
    return false;
  } catch {
    return `PostgreSQL does not run as root, and setpriv cannot run it as ${user}`;
  }
}

export class Postgres {
  readonly port: number;
  readonly directory: string;
  readonly #binaries: string;
  child: Child;

  constructor(binaries: string, port: number, directory: string) {
    this.#binaries = binaries;
    this.port = port;
    this.directory = directory;
    this.child = this.#start();
  }

  #command(program: string, args: readonly string[]): [string, string[]] {
    const command = path.join(this.#binaries, program);
    if (!isRoot) return [command, [...args]];
    return ['setpriv', ['--reuid', user, '--regid', user, '--clear-groups', command, ...args]];
  }

  #start(): Child {
    const data = path.join(this.directory, 'data');
    if (!fs.existsSync(data)) {
      const passwordFile = path.join(this.directory, 'password');
      fs.writeFileSync(passwordFile, password);
      if (isRoot) execFileSync('chown', ['-R', user, this.directory]);
      const args = [
        '-D',
        data,
        '-U',
        user,
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--no-sync',
        '-E',
        'UTF8',
      ];
      execFileSync(...this.#command('initdb', args), { stdio: 'pipe', cwd: this.directory });
    }
    const settings = { listen_addresses: '127.0.0.1', port: this.port, unix_socket_directories: this.directory };
    const flags = Object.entries({ ...settings, max_connections: 200 }).flatMap(([key, value]) => [
      '-c',
      `${key}=${value}`,
    ]);
    const [command, args] = this.#command('postgres', ['-D', data, ...flags]);
    return new Child(command, args, { directory: this.directory, cwd: this.directory });
  }

  url(database = 'postgres', port = this.port, secret = password): string {
    return `postgresql://${user}:${encodeURIComponent(secret)}@127.0.0.1:${port}/${database}`;
  }

  /** One statement as an operator would run it; what it answers, without decoration. */
  query(sql: string, database = 'postgres'): string {
    const args = ['-X', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-c', sql, this.url(database)];
    return execFileSync(path.join(this.#binaries, 'psql'), args, { encoding: 'utf8', stdio: 'pipe' }).trim();
  }

  async ready(): Promise<this> {
    const args = ['-q', '-h', '127.0.0.1', '-p', String(this.port)];
    for (const deadline = Date.now() + 60_000; ; ) {
      try {
        execFileSync(path.join(this.#binaries, 'pg_isready'), args, { stdio: 'ignore' });
        return this;
      } catch (error) {
        if (!this.child.running || Date.now() > deadline) throw new Error(this.child.output, { cause: error });
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  /** At once, as in a crash (which ends all its processes), or as an administrator does: SIGINT. */
  async stop(signal: NodeJS.Signals = 'SIGINT'): Promise<void> {
    await this.child.stop(signal);
  }

  async restart(): Promise<void> {
    await this.stop();
    this.child = this.#start();
    await this.ready();
  }

  async close(): Promise<void> {
    await this.stop('SIGQUIT');
    fs.rmSync(this.directory, { recursive: true, force: true });
  }
}

export async function startPostgres(): Promise<Postgres> {
  const binaries = findBinaries();
  if (!binaries) throw new Error('no PostgreSQL');
  const [port] = (await freePorts(1)) as [number];
  return await new Postgres(binaries, port, temporaryDirectory('postgres')).ready();
}

let last = 0;
/** A new, empty database; with its URL. */
export function newPostgresDatabase(server: Postgres): { name: string; url: string } {
  const name = `test_${++last}`;
  server.query(`CREATE DATABASE ${name}`);
  return { name, url: server.url(name) };
}
