/**
 * Compares plinth with etcd and kine: several rounds with every server on a fresh directory, and each operation with one after the
 * other; medians over the rounds. Prints a table and writes bench/RESULTS.md.
 *
 *     node --import tsx bench/run.ts [--rounds=3] [--seconds=5] [--servers=etcd,kine,plinth] [--keys=20000] [--out=FILE] [--only=TEXT]
 */
import { execFileSync } from 'node:child_process';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Server } from '../test/support/server.ts';
import { loadgen } from './loadgen.ts';
import { cpuMicroseconds, residentBytes } from './process-usage.ts';
import { frequentCollection, leanClient, type Measurement, Measurements, page, writePage } from './results.ts';
import { type Candidate, candidates } from './servers.ts';

interface Step {
  readonly name: string;
  readonly args: readonly string[];
  /** It is not asked for before it is measured: to set it up takes seconds already. */
  readonly noLead?: true;
}

/** By clientv3, and by the load generator's own client, which takes less of the cores from the server. */
function byBoth(name: string, ...args: readonly string[]): Step[] {
  return [
    { name, args },
    { name: `${name}${leanClient}`, args: [...args, '-client=lean'] },
  ];
}

/** By clientv3 also as it is where nobody has told Go's collector anything. */
function byAll(name: string, ...args: readonly string[]): Step[] {
  return [...byBoth(name, ...args), { name: `${name}${frequentCollection}`, args: [...args, '-gogc=100'] }];
}

const manyWatchers = (name: string, ...args: readonly string[]): Step[] =>
  byBoth(name, '-op=watch', ...args).map((step) => ({ ...step, noLead: true }));

/** In this order: what grows the store comes late, and last what leaves more behind than a pause mends. */
const steps: readonly Step[] = [
  ...byAll('put', '-op=put'),
  ...byBoth('put, one client', '-op=put', '-clients=1', '-conns=1'),
  ...byAll('get', '-op=get'),
  ...byBoth('list of 500', '-op=list', '-limit=500'),
  ...byAll('update', '-op=update'),
  ...byBoth('watch, 100 watchers', '-op=watch', '-watchers=100'),
  ...byAll('create', '-op=create'),
  ...byBoth('mix', '-op=mix', '-limit=100'),
  ...manyWatchers('watch, 1000 watchers', '-watchers=1000'),
  ...manyWatchers('watch, 10000 watchers, 5 puts/s', '-watchers=10000', '-rate=5', '-clients=5'),
  ...manyWatchers('watch, 1000 keys, 1000 puts/s', '-watchers=1000', '-distinct', '-rate=1000'),
  ...manyWatchers('watch, 10000 keys, 1000 puts/s', '-watchers=10000', '-distinct', '-rate=1000'),
];

/** Who has just started compiles, and its files grow: a server that has run for a minute does neither. */
const warmUps: readonly (readonly string[])[] = [['-op=put'], ['-op=mix', '-limit=100', '-keep=100'], ['-op=watch']];
const warmUpSeconds = 4;
/**
 * So long an operation is asked for before it is measured, by the same clients. In the pause before it a server lets go of what it has
 * not used: V8 collects compiled code with the objects that it was made for, and compiles anew for a second or two.
 */
const leadSeconds = 2;
/** Events that have not come so long after the last put are lost. */
const drainSeconds = 15;

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '5' },
    keys: { type: 'string', default: '20000' },
    servers: { type: 'string', default: candidates.map((candidate) => candidate.name).join(',') },
    out: { type: 'string', default: path.join(import.meta.dirname, 'RESULTS.md') },
    /** Only the operations that are named with this text: the page is printed, not written. */
    only: { type: 'string', default: '' },
  },
});

async function measure(server: Server, step: Step): Promise<Measurement> {
  const pid = server.child.process.pid!;
  const args = [`-keys=${options.keys}`, ...step.args, `-drain=${drainSeconds}s`];
  if (!step.noLead) await loadgen(server.endpoint, [...args, `-d=${leadSeconds}s`]);
  const cpuBefore = cpuMicroseconds(pid);
  const result = await loadgen(server.endpoint, [...args, `-d=${options.seconds}s`]);
  if (result.errs > 0) console.log(`    ${result.errs} errors, the last: ${result.lastErr}`);
  if (result.lost) console.log(`    ${result.lost} events had not arrived ${drainSeconds} s later`);
  return {
    perSecond: result.rps ?? result.events_per_s ?? 0,
    p50Ms: result.p50_ms,
    p99Ms: result.p99_ms,
    cpuMicrosecondsPerRequest: (cpuMicroseconds(pid) - cpuBefore) / Math.max(result.requests, 1),
    residentBytes: residentBytes(pid),
    errors: result.errs + (result.lost ?? 0),
  };
}

/** A candidate that runs. */
interface Running {
  readonly name: string;
  readonly server: Server;
}

async function start({ name, start }: Candidate): Promise<Running> {
  const server = await start();
  const keys = `-keys=${options.keys}`;
  await loadgen(server.endpoint, ['-op=fill', keys]);
  for (const args of warmUps) await loadgen(server.endpoint, [keys, ...args, `-d=${warmUpSeconds}s`]);
  return { name, server };
}

/** Servers that use less of a core than this have nothing to do. */
const idleShare = 0.1;
const idleProbeMs = 500;
const idleProbesMax = 20;

/** What a server does after its answers (compact, flush, collect garbage) is not left to the next one. */
async function settle(running: readonly Running[]): Promise<void> {
  execFileSync('sync');
  const used = (): number => running.reduce((sum, { server }) => sum + cpuMicroseconds(server.child.process.pid!), 0);
  for (let probe = 0, before = used(); probe < idleProbesMax; probe++) {
    await sleep(idleProbeMs);
    const now = used();
    if (now - before < idleShare * idleProbeMs * 1000) return;
    before = now;
  }
}

/**
 * Each step with one server after the other, so that what the machine does else in these seconds meets all of them. Those that are not
 * measured have nothing to do.
 */
async function round(order: readonly Candidate[], results: Measurements): Promise<void> {
  const running: Running[] = [];
  try {
    for (const candidate of order) running.push(await start(candidate));
    for (const step of steps.filter(({ name }) => name.includes(options.only))) {
      for (const { name, server } of running) {
        await settle(running);
        const measurement = await measure(server, step);
        results.add(name, step.name, measurement);
        const { perSecond, p50Ms, p99Ms, cpuMicrosecondsPerRequest } = measurement;
        const numbers = `${Math.round(perSecond)}/s  p50 ${p50Ms} ms  p99 ${p99Ms} ms`;
        console.log(`  ${name} ${step.name}: ${numbers}  cpu ${Math.round(cpuMicrosecondsPerRequest)} µs`);
      }
    }
  } finally {
    for (const { server } of running) await server.close();
  }
}

const wanted = options.servers.split(',');
const chosen = candidates.filter((candidate) => wanted.includes(candidate.name));
if (chosen.length !== wanted.length) throw new Error(`--servers: of ${candidates.map((c) => c.name).join(', ')}`);
const results = new Measurements();
const conditions = {
  load: os.loadavg()[0] ?? 0,
  rounds: Number(options.rounds),
  seconds: Number(options.seconds),
  keys: Number(options.keys),
  warmUpSeconds: warmUps.length * warmUpSeconds,
  leadSeconds,
};
for (let number = 0; number < conditions.rounds; number++) {
  console.log(`round ${number + 1} of ${conditions.rounds}`);
  // Every other round in reverse, so that none always comes after the same one.
  await round(number % 2 === 0 ? chosen : chosen.toReversed(), results);
}
const versions = chosen.map((candidate) => ({ name: candidate.name, version: candidate.version() }));
const text = page(results, versions, conditions);
console.log(`\n${text}`);
if (options.only === '') {
  writePage(options.out, text);
  console.log(`\nwritten to ${path.relative(process.cwd(), options.out)}`);
}
