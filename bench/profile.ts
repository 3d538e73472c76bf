/**
 * Where plinth spends its time per request: one operation of the load generator on a plinth that writes a CPU profile, summed by
 * source folder. What is outside the transport is what a faster transport would leave.
 *
 *     node --import tsx bench/profile.ts [--ops=put,get,list,update] [--seconds=10] [--keys=20000] [--out=FILE]
 */
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { temporaryDirectory } from '../test/support/process.ts';
import { type CpuProfile, type Share, selfTimeByOrigin } from './cpu-profile.ts';
import { loadgen } from './loadgen.ts';
import { machine, writeSection } from './results.ts';
import { startCompiledPlinth } from './servers.ts';

const { values: options } = parseArgs({
  options: {
    ops: { type: 'string', default: 'put,get,list,update' },
    seconds: { type: 'string', default: '10' },
    keys: { type: 'string', default: '20000' },
    backend: { type: 'string', default: 'sqlite' },
    out: { type: 'string', default: path.join(import.meta.dirname, 'RESULTS.md') },
  },
});

/** The layers that stay when the transport is replaced. */
const outsideTransport = ['src/etcdserver', 'src/mvcc', 'src/proto', 'src/registry', 'src/backends'];
const isOutsideTransport = (origin: string): boolean => outsideTransport.some((layer) => origin.startsWith(layer));
/** Where rows stand in the table: plinth's layers, what carries the bytes, the rest of the program, what V8 does itself. */
function rank(origin: string): number {
  if (isOutsideTransport(origin)) return 0;
  if (origin.startsWith('src/')) return 1;
  return origin.startsWith('(') ? 3 : 2;
}

const workerTime = 'worker threads';

interface Profile {
  readonly operation: string;
  readonly requests: number;
  readonly perSecond: number;
  readonly shares: readonly Share[];
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
    const args = [`-op=${operation}`, `-keys=${options.keys}`, `-d=${options.seconds}s`];
    const result = await loadgen(server.endpoint, args);
    await server.child.stop('SIGTERM');
    const { main, workers } = readProfiles(directory);
    const sinceFill = Number(options.seconds) * 1_000_000;
    const shares = selfTimeByOrigin(lastPart(main, sinceFill));
    const busy = workers
      .flatMap((worker) => selfTimeByOrigin(lastPart(worker, sinceFill)))
      .filter((share) => share.origin !== '(idle)')
      .reduce((sum, share) => sum + share.microseconds, 0);
    const worker = { origin: workerTime, microseconds: busy };
    return {
      operation,
      requests: result.requests,
      perSecond: result.rps ?? result.puts_per_s ?? 0,
      shares: [...shares, worker],
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

function section(profiles: readonly Profile[]): string {
  const all = profiles.flatMap((one) => one.shares.map((share) => share.origin));
  const origins = [...new Set(all)]
    .filter((name) => name !== '(idle)' && name !== workerTime)
    .sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
  const perRequest = (one: Profile, matches: (name: string) => boolean): number =>
    one.shares.filter((share) => matches(share.origin)).reduce((sum, share) => sum + share.microseconds, 0) /
    one.requests;
  const cells = (matches: (name: string) => boolean): string =>
    profiles.map((one) => perRequest(one, matches).toFixed(1)).join(' | ');
  return [
    '## Time of the main thread per request, in µs, by source',
    '',
    `${new Date().toISOString().slice(0, 10)}, ${options.backend}, ${machine()}. ` +
      "Taken with V8's profiler on (it costs some speed), 64 clients.",
    '',
    `| | ${profiles.map((one) => `${one.operation} (${Math.round(one.perSecond).toLocaleString('en')}/s)`).join(' | ')} |`,
    `| --- |${profiles.map(() => ' --- |').join('')}`,
    ...origins.map((name) => `| ${name} | ${cells((other) => other === name)} |`),
    `| ${workerTime}, waiting for the disk included | ${cells((name) => name === workerTime)} |`,
    `| **outside the transport** (${outsideTransport.join(', ')}) | ${cells(isOutsideTransport)} |`,
  ].join('\n');
}

const profiles: Profile[] = [];
for (const operation of options.ops.split(',')) profiles.push(await profile(operation));
const text = section(profiles);
console.log(text);
writeSection(options.out, 'profile', text);
