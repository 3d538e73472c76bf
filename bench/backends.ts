/**
 * Puts and watch latency on the databases that replicas share, one and three replicas, and kine on the same PostgreSQL. Each candidate
 * gets a database server of its own, fresh. Writes bench/BACKENDS.md.
 *
 *     node --import tsx bench/backends.ts [--seconds=4] [--only=spanner]
 */
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import type { DatabaseServer } from '../test/support/databases.ts';
import type { Server } from '../test/support/server.ts';
import { limitCpu } from './cpu-limit.ts';
import { type LoadReport, loadgen } from './loadgen.ts';
import { cpuMicroseconds } from './process-usage.ts';
import {
  putsOf,
  slowCommits,
  slowestShare,
  smallMachine,
  smallMachineName,
  startDatabase,
  startReplicas,
} from './replica-set.ts';
import { writePage } from './results.ts';
import { type PlinthStart, startKine } from './servers.ts';

const { values: options } = parseArgs({
  options: { seconds: { type: 'string', default: '4' }, only: { type: 'string', default: '' } },
});

interface Step {
  readonly name: string;
  readonly args: readonly string[];
  /** The load that warms up servers and database before it. */
  readonly warmUp?: readonly string[];
}

interface Report extends LoadReport {
  /** Of each server. */
  readonly cpuMicrosecondsPerRequest: readonly number[];
}

const watchRate = 200;
const rateFlag = `-rate=${watchRate}`;
/** Also what warms up, and what CPU is told of. */
const mostClients: Step = { name: 'put, 128 clients', args: ['-op=put', '-clients=128', '-conns=12'] };
const watchAtRate = ['-op=watch', '-watchers=12', rateFlag, '-conns=6'];
/** The watches at a rate come first: an emulator's reads take longer the more it has done, and polls are reads. */
const steps: readonly Step[] = [
  { name: `watch at ${watchRate} puts/s`, args: watchAtRate, warmUp: watchAtRate },
  { name: 'the same, put through one replica', args: [...watchAtRate, '-clients=1'] },
  { name: 'put, 1 client', args: ['-op=put', '-clients=1', '-conns=1'], warmUp: mostClients.args },
  { name: 'put, 16 clients', args: ['-op=put', '-clients=16', '-conns=6'] },
  mostClients,
  { name: 'put, 512 clients', args: ['-op=put', '-clients=512', '-conns=12'] },
  { name: 'watch, puts of 128 clients', args: ['-op=watch', '-watchers=3', '-clients=128', '-conns=12'] },
];

const values = ['-keys=5000', '-val=512'];
const warmUpSeconds = 5;

interface Candidate {
  readonly name: string;
  readonly database: string;
  start(database: DatabaseServer): Promise<Server[]>;
  /** What each server may use of a core; undefined: what it gets. */
  readonly cores?: number | undefined;
}

function plinth(name: string, backend: string, replicas: number, more: PlinthStart = {}, cores?: number): Candidate {
  return {
    name,
    database: backend,
    cores,
    start: (database) => startReplicas(database, replicas, { ...more, backend }),
  };
}

const candidates: readonly Candidate[] = [
  plinth('Spanner emulator, 1 replica', 'spanner', 1),
  plinth('Spanner emulator, 3 replicas', 'spanner', 3),
  plinth('Spanner emulator, 3 replicas, no links', 'spanner', 3, { flags: ['--replica-links=false'] }),
  plinth('Spanner emulator + 7 ms a commit, 1 replica', 'spanner', 1, slowCommits),
  plinth('Spanner emulator + 7 ms a commit, 3 replicas', 'spanner', 3, slowCommits),
  plinth(`Spanner emulator, 1 replica, ${smallMachineName}`, 'spanner', 1, {}, smallMachine),
  plinth(`Spanner emulator, 3 replicas, ${smallMachineName}`, 'spanner', 3, {}, smallMachine),
  plinth(`Spanner emulator + 7 ms a commit, 1 replica, ${smallMachineName}`, 'spanner', 1, slowCommits, smallMachine),
  plinth(`Spanner emulator + 7 ms a commit, 3 replicas, ${smallMachineName}`, 'spanner', 3, slowCommits, smallMachine),
  plinth('PostgreSQL, 1 replica', 'postgres', 1),
  plinth('PostgreSQL, 3 replicas', 'postgres', 3),
  plinth('PostgreSQL, 3 replicas, no links', 'postgres', 3, { flags: ['--replica-links=false'] }),
  plinth(`PostgreSQL, 1 replica, ${smallMachineName}`, 'postgres', 1, {}, smallMachine),
  plinth(`PostgreSQL, 3 replicas, ${smallMachineName}`, 'postgres', 3, {}, smallMachine),
  {
    name: 'kine on PostgreSQL',
    database: 'postgres',
    async start(database) {
      const [flag] = database.newDatabase().flags() as [string];
      return [
        await startKine(
          () => `${flag.slice('--postgres-url='.length).replace('postgresql:', 'postgres:')}?sslmode=disable`,
        ),
      ];
    },
  },
];

async function measure(candidate: Candidate): Promise<Report[]> {
  const database = await startDatabase(candidate.database);
  const servers = await candidate.start(database);
  const { cores } = candidate;
  const endpoints = servers.map(({ endpoint }) => endpoint).join(',');
  const load = (...args: readonly string[]): Promise<LoadReport> => loadgen(endpoints, [...args, ...values]);
  const warmUp = (args: readonly string[]) => load(...args, `-d=${warmUpSeconds}s`);
  const pids = servers.map(({ child }) => child.process.pid as number);
  const unlimit: (() => void)[] = [];
  try {
    // The keys are there first: two clients that put the same new one at once make kine 0.17.5 panic.
    await load('-op=fill');
    if (cores !== undefined) {
      // On a fifth of a core the compiler would take longer than the steps.
      await warmUp(mostClients.args);
      unlimit.push(...pids.map((pid) => limitCpu(pid, cores)));
    }
    const reports: Report[] = [];
    for (const step of steps) {
      if (step.warmUp !== undefined && cores === undefined) await warmUp(step.warmUp);
      const before = pids.map(cpuMicroseconds);
      const report = await load(...step.args, `-d=${options.seconds}s`);
      const cpu = pids.map((pid, i) => (cpuMicroseconds(pid) - (before[i] as number)) / Math.max(report.requests, 1));
      const problem = report.errs > 0 ? `; ${report.errs} errors, the last: ${report.lastErr}` : '';
      const each = cpu.map((microseconds) => Math.round(microseconds)).join(', ');
      console.log(`${candidate.name}: ${step.name}: ${cell(step, report)}; CPU per put ${each} µs${problem}`);
      reports.push({ ...report, cpuMicrosecondsPerRequest: cpu });
    }
    if (servers.length > 1) {
      const share = Math.round(100 * slowestShare(await putsOf(servers)));
      console.log(`${candidate.name}: the slowest replica did ${share} % of its share`);
    }
    return reports;
  } finally {
    for (const server of servers) await server.close();
    for (const end of unlimit) end();
    await database.close();
  }
}

function cell({ args }: Step, report: LoadReport): string {
  const ms = (p50 = 0, p99 = 0): string => `${p50.toFixed(1)} / ${p99.toFixed(1)} ms`;
  const latency = ms(report.p50_ms, report.p99_ms);
  if (!args.includes('-op=watch')) return `${Math.round(report.rps ?? 0).toLocaleString('en-US')} · ${latency}`;
  if (!args.includes(rateFlag)) return latency;
  return `${latency}, lag ${ms(report.lag_p50_ms, report.lag_p99_ms)}`;
}

/** Of the server that takes most, with the most clients. */
function busiestCpu(reports: readonly Report[]): string {
  const report = reports[steps.indexOf(mostClients)] as Report;
  return `${Math.round(Math.max(...report.cpuMicrosecondsPerRequest))} µs`;
}

const lines: string[] = [];
for (const candidate of candidates) {
  if (!candidate.name.toLowerCase().includes((options.only as string).toLowerCase())) continue;
  const reports = await measure(candidate);
  const cells = [...reports.map((report, i) => cell(steps[i] as Step, report)), busiestCpu(reports)];
  lines.push(`| ${candidate.name} | ${cells.join(' | ')} |`);
}
const heads = [...steps.map(({ name }) => name), `CPU of the busiest server for each ${mostClients.name}`];
const table = [`| | ${heads.join(' | ')} |`, `|---|${heads.map(() => '---').join('|')}|`, ...lines].join('\n');
console.log(`\n${table}`);
if (options.only === '') {
  writePage(
    path.join(import.meta.dirname, 'BACKENDS.md'),
    `# Puts and watch latency on shared databases

Written by \`make bench-backends\`: one run, ${options.seconds} s a step, 5,000 keys with values of 512 bytes, ${os.cpus().length} cores
for everything (database, replicas and load generator), a fresh database server for each line. Puts per second · p50 / p99 of a put; for
a watch p50 / p99 from the begin of a put to its event on a watcher, the lag from the answer to that put (none if the event came first).
Connections go round the replicas, so that most watchers are on another one than the writer. Watches at a
rate and puts are measured after ${warmUpSeconds} s of the same.

"No links": replicas only follow the log, by polls (PostgreSQL also notifies), and write for themselves. A strong read of the
emulator waits the longer the more that emulator has done, a microsecond for each operation, which Spanner does not: so the
watches at a rate come first.

"${smallMachineName}": each replica has a small machine of its own, warmed up before; in the other lines all replicas, the database
and the load share the cores, so that more replicas only cost more. What replicas can do together where each has its own machine
is bounded by the CPU that a put takes on the busiest, which is the one that writes for all. 512 clients show that bound: with fewer a
replica that has used up its share for some milliseconds leaves the others without work.

${table}`,
  );
}
process.exit(0);
