/**
 * What plinth's time goes to: one operation of the load generator's own client on a plinth that writes a CPU profile, summed by the
 * kind of work.
 *
 *     node --import tsx bench/profile.ts [--ops=get,put,list,update] [--seconds=10] [--keys=20000] [--out=FILE]
 */
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { temporaryDirectory } from '../test/support/process.ts';
import { type CpuProfile, type Kind, kinds, selfTimeByKind } from './cpu-profile.ts';
import { loadgen } from './loadgen.ts';
import { machine, writeSection } from './results.ts';
import { startCompiledPlinth } from './servers.ts';

const { values: options } = parseArgs({
  options: {
    ops: { type: 'string', default: 'get,put,list,update' },
    seconds: { type: 'string', default: '10' },
    keys: { type: 'string', default: '20000' },
    backend: { type: 'string', default: 'sqlite' },
    out: { type: 'string', default: path.join(import.meta.dirname, 'RESULTS.md') },
  },
});

interface Profile {
  readonly operation: string;
  readonly requests: number;
  readonly perSecond: number;
  readonly microseconds: ReadonlyMap<Kind, number>;
  /** Of the threads that have the database, waiting for the disk included. */
  readonly workerMicroseconds: number;
}

/** The profile of the main thread; worker threads (the database) write one of their own. */
function readProfiles(directory: string): { main: CpuProfile; workers: CpuProfile[] } {
  const profiles = fs
    .readdirSync(directory)
    .filter((name) => name.endsWith('.cpuprofile'))
    // CPU.<date>.<time>.<pid>.<thread>.<sequence>.cpuprofile
    .map((name) => ({ thread: Number(name.split('.')[4]), text: fs.readFileSync(path.join(directory, name), 'utf8') }))
    .sort((a, b) => a.thread - b.thread)
    .map((file) => JSON.parse(file.text) as CpuProfile);
  const [main, ...workers] = profiles;
  if (!main) throw new Error('plinth wrote no profile: did it not end by itself?');
  return { main, workers };
}

async function profile(operation: string): Promise<Profile> {
  const directory = temporaryDirectory('profile');
  const server = await startCompiledPlinth({
    backend: options.backend,
    node: ['--cpu-prof', `--cpu-prof-dir=${directory}`],
  });
  try {
    await loadgen(server.endpoint, ['-op=fill', `-keys=${options.keys}`]);
    const args = [`-op=${operation}`, '-client=lean', `-keys=${options.keys}`, `-d=${options.seconds}s`];
    const result = await loadgen(server.endpoint, args);
    await server.child.stop('SIGTERM');
    const { main, workers } = readProfiles(directory);
    const lastMicroseconds = Number(options.seconds) * 1_000_000;
    return {
      operation,
      requests: result.requests,
      perSecond: result.rps ?? result.puts_per_s ?? 0,
      microseconds: selfTimeByKind(lastPart(main, lastMicroseconds)),
      workerMicroseconds: workers.reduce(
        (sum, worker) => sum + busy(selfTimeByKind(lastPart(worker, lastMicroseconds))),
        0,
      ),
    };
  } finally {
    await server.close();
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

/** The end of a profile, so that filling the store and starting is left out. */
function lastPart(whole: CpuProfile, microseconds: number): CpuProfile {
  let left = microseconds;
  let from = whole.samples.length;
  while (from > 0 && left > 0) left -= whole.timeDeltas[--from] ?? 0;
  return { nodes: whole.nodes, samples: whole.samples.slice(from), timeDeltas: whole.timeDeltas.slice(from) };
}

function busy(microseconds: ReadonlyMap<Kind, number>): number {
  return [...microseconds].reduce((sum, [kind, time]) => (kind === 'idle' ? sum : sum + time), 0);
}

function section(profiles: readonly Profile[]): string {
  const row = (name: string, cell: (one: Profile) => string): string =>
    `| ${name} | ${profiles.map(cell).join(' | ')} |`;
  const share = (kind: Kind) => (one: Profile) => {
    const time = one.microseconds.get(kind) ?? 0;
    return `${((100 * time) / busy(one.microseconds)).toFixed(0)} % · ${(time / one.requests).toFixed(2)}`;
  };
  return [
    "## What the main thread's time goes to: share of it · µs per request",
    '',
    `${new Date().toISOString().slice(0, 10)}, ${options.backend}, ${machine()}. ` +
      "Taken with V8's profiler on (it costs some speed), the load generator's own client, 64 of them on 8 connections. " +
      'System calls count for who makes them; the store is the index, the values and the group commit; ' +
      'the database, what the main thread commits itself.',
    '',
    row('', (one) => `${one.operation} (${Math.round(one.perSecond).toLocaleString('en')}/s)`),
    `| --- |${profiles.map(() => ' --- |').join('')}`,
    ...kinds.map((kind) => row(kind, share(kind))),
    row('together', (one) => `100 % · ${(busy(one.microseconds) / one.requests).toFixed(2)}`),
    row('threads of the database, the same', (one) => (one.workerMicroseconds / one.requests).toFixed(2)),
  ].join('\n');
}

const profiles: Profile[] = [];
for (const operation of options.ops.split(',')) profiles.push(await profile(operation));
const text = section(profiles);
console.log(text);
writeSection(options.out, 'profile', text);
