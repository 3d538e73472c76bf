/** The Cloud Spanner emulator, started by the test: nothing of it survives the process. */
import fs from 'node:fs';
import path from 'node:path';
import { Child, findExecutable, freePorts, temporaryDirectory } from './process.ts';

const inCli = path.join('bin', 'cloud_spanner_emulator', 'emulator_main');
/** Where the packages of the Google Cloud CLI put it. */
const packaged = ['/usr/lib/google-cloud-sdk', '/usr/share/google-cloud-sdk', '/opt/google-cloud-sdk'];
const project = 'test-project';
const instance = 'test-instance';

function findEmulator(): string | undefined {
  const onPath = findExecutable('emulator_main');
  if (onPath) return onPath;
  const gcloud = findExecutable('gcloud');
  const roots = [...(gcloud ? [path.dirname(path.dirname(fs.realpathSync(gcloud)))] : []), ...packaged];
  return roots.map((root) => path.join(root, inCli)).find((file) => fs.existsSync(file));
}

/** False where the emulator is there; else why the test is skipped. */
export function withoutSpanner(): string | false {
  return findEmulator() ? false : 'no Spanner emulator: neither on PATH nor in a Google Cloud CLI';
}

export interface SpannerOptions {
  /** Commits are aborted at random, as the real service does under contention. */
  readonly faults?: boolean;
}

export class SpannerEmulator {
  /** `host:port` */
  readonly endpoint: string;
  readonly #child: Child;
  readonly #directory: string;
  #databases = 0;

  constructor(port: number, directory: string, child: Child) {
    this.endpoint = `127.0.0.1:${port}`;
    this.#directory = directory;
    this.#child = child;
  }

  /** Options of a new, empty database; `endpoint`: of a proxy in front. */
  newDatabase(endpoint = this.endpoint): Map<string, string | boolean> {
    return new Map<string, string | boolean>([
      ['spanner-project', project],
      ['spanner-instance', instance],
      ['spanner-database', `test-${++this.#databases}-${process.pid}`],
      ['spanner-emulator-host', endpoint],
      ['spanner-create', true],
    ]);
  }

  async close(): Promise<void> {
    await this.#child.stop('SIGKILL');
    fs.rmSync(this.#directory, { recursive: true, force: true });
  }
}

export async function startSpannerEmulator({ faults = false }: SpannerOptions = {}): Promise<SpannerEmulator> {
  const emulator = findEmulator();
  if (!emulator) throw new Error(withoutSpanner() as string);
  const [port] = (await freePorts(1)) as [number];
  const directory = temporaryDirectory('spanner');
  // Not by the gateway: a signal to that leaves the emulator behind.
  const args = [
    `--host_port=127.0.0.1:${port}`,
    '--override_max_databases_per_instance=1000',
    ...(faults ? ['--enable_fault_injection'] : []),
  ];
  return new SpannerEmulator(port, directory, new Child(emulator, args, { directory }));
}

/** As flags of a command line. */
export function flagsOf(options: ReadonlyMap<string, string | boolean>): string[] {
  return [...options].map(([name, value]) => `--${name}=${value}`);
}
