/** Real server processes for tests: free ports, temporary directories, and nothing that outlives the test. */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const repositoryRoot = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', '..');

const outputBytesMax = 1024 * 1024;

/** `count` ports of 127.0.0.1 that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<net.Server>((resolve, reject) => {
          const server = net.createServer().on('error', reject);
          server.listen(0, '127.0.0.1', () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

export function temporaryDirectory(name: string): string {
  return fs.mkdtempSync(path.join(os.tmpdir(), `plinth-test-${name}-`));
}

/** build/bin of the checkout, then PATH. Undefined: not there. */
export function findExecutable(name: string): string | undefined {
  const directories = [path.join(repositoryRoot, 'build', 'bin'), ...(process.env.PATH ?? '').split(path.delimiter)];
  return directories.map((directory) => path.join(directory, name)).find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    return fs.statSync(file).isFile();
  } catch {
    return false;
  }
}

export interface ChildOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly directory?: string;
  readonly stdin?: 'ignore' | 'pipe';
}

/**
 * A child that dies with this process, however this process ends: a small shell waits for the end of its standard input,
 * which closes with us even on SIGKILL, and then kills the child and removes its `directory`, if one is given.
 */
export class Child {
  readonly process: ChildProcess;
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  readonly #watchdog: ChildProcess;
  #output = '';

  constructor(command: string, args: readonly string[], options: ChildOptions = {}) {
    const { directory = '', stdin = 'ignore', ...rest } = options;
    this.process = spawn(command, args, { stdio: [stdin, 'pipe', 'pipe'], ...rest });
    const keep = (chunk: Buffer): void => {
      this.#output = (this.#output + chunk.toString()).slice(-outputBytesMax);
    };
    this.process.stdout?.on('data', keep);
    this.process.stderr?.on('data', keep);
    const script = 'read _; kill -9 "$0"; test -z "$1" || rm -rf "$1"';
    this.#watchdog = spawn('sh', ['-c', script, String(this.process.pid), directory], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    this.exited = new Promise((resolve, reject) => {
      this.process.on('error', reject);
      this.process.on('close', (code, signal) => {
        this.#watchdog.kill('SIGKILL');
        resolve({ code, signal });
      });
    });
    this.exited.catch(() => {});
  }

  /** The end of what the child printed (standard output and error together). */
  get output(): string {
    return this.#output;
  }

  get running(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  async stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (this.running) this.process.kill(signal);
    await this.exited;
  }

  /** SIGSTOP. Resolves when none of its threads runs any more: each stops by itself, the last one maybe after an answer. */
  async pause(): Promise<void> {
    this.process.kill('SIGSTOP');
    const stopped = (): boolean => threadStates(this.process.pid as number).every((state) => state === 'T');
    while (this.running && !stopped()) await new Promise((resolve) => setTimeout(resolve, 1));
  }

  resume(): void {
    this.process.kill('SIGCONT');
  }
}

/** A letter for each, as `ps` has them; empty where the system does not tell. */
function threadStates(pid: number): string[] {
  const tasks = `/proc/${pid}/task`;
  if (!fs.existsSync(tasks)) return [];
  return fs.readdirSync(tasks).map((task) => {
    try {
      // `123 (a name, maybe with ") ") S …`
      return fs.readFileSync(`${tasks}/${task}/stat`, 'utf8').split(') ').at(-1)?.[0] ?? '';
    } catch {
      return 'gone';
    }
  });
}

/** Tries until it succeeds; fails with the last error at the bound, or at once when the child died. */
export async function eventually<T>(attempt: () => Promise<T>, child?: Child, timeoutMs = 60_000): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (child && !child.running) throw new Error(`the server ended:\n${child.output}`, { cause: error });
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
