/**
 * What three replicas that write at once do together, beside one: both run, each on a database server of its own, and are asked in turn
 * for some rounds. Adds a section to bench/BACKENDS.md.
 *
 *     node --import tsx bench/replicas.ts [--rounds=5] [--seconds=3] [--only=TEXT]
 */
import path from 'node:path';
import { parseArgs } from 'node:util';
import type { DatabaseServer } from '../test/support/databases.ts';
import type { Server } from '../test/support/server.ts';
import { limitCpu } from './cpu-limit.ts';
import { loadgen } from './loadgen.ts';
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
import { count, median, writeSection } from './results.ts';
import type { PlinthStart } from './servers.ts';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    /** Only what is named with this text, for instance `7 ms a commit, 20 %`: the lines are printed, not written. */
    only: { type: 'string', default: '' },
  },
});
const rounds = Number(options.rounds);
const seconds = Number(options.seconds);
/** Not counted at the begin of each: connections are made, all clients begin at once, and V8 compiles anew after a pause. */
const leadSeconds = 2;
/** Before the first round, for each replica: who has a fifth of a core only compiles for a long time. */
const warmUpSeconds = 8;
const warmUpClients = 128;
/**
 * Clients of the one, and of the three together: three times as many, as where each replica has its own, or as many in total. With 16 the
 * machine is not at its limits.
 */
const clientCounts = [
  { one: 16, three: 48 },
  { one: 128, three: 128 },
  { one: 128, three: 384 },
  { one: 512, three: 512 },
] as const;

interface ReplicaSet {
  readonly servers: readonly Server[];
  readonly database: DatabaseServer;
}

interface Round {
  readonly putsPerSecond: number;
  readonly p99Ms: number;
  readonly slowestShare: number;
  /** CPU of the busiest replica for each put of all: what limits the total where each has a machine of its own. */
  readonly busiestCpuUs: number;
}

const databases: readonly (readonly [name: string, backend: string, options: PlinthStart])[] = [
  ['Spanner emulator', 'spanner', {}],
  ['Spanner emulator + 7 ms a commit', 'spanner', slowCommits],
  ['PostgreSQL', 'postgres', {}],
];

function load({ servers }: ReplicaSet, clients: number, durationSeconds: number) {
  const endpoints = servers.map(({ endpoint }) => endpoint).join(',');
  const args = [
    '-op=put',
    `-clients=${clients}`,
    '-conns=12',
    '-keys=5000',
    '-val=512',
    `-lead=${leadSeconds}s`,
    `-d=${durationSeconds}s`,
  ];
  return loadgen(endpoints, args);
}

async function start(backend: string, replicas: number, more: PlinthStart): Promise<ReplicaSet> {
  const database = await startDatabase(backend);
  return { database, servers: await startReplicas(database, replicas, { ...more, backend }) };
}

const cpuOf = ({ servers }: ReplicaSet): number[] => servers.map(({ child }) => cpuMicroseconds(child.process.pid!));

async function measure(set: ReplicaSet, clients: number): Promise<Round> {
  const before = await putsOf(set.servers);
  const cpuBefore = cpuOf(set);
  const { rps, p99_ms: p99Ms, errs, lastErr } = await load(set, clients, seconds);
  if (errs > 0) console.log(`    ${errs} errors, the last: ${lastErr}`);
  const cpu = cpuOf(set).map((us, i) => us - cpuBefore[i]!);
  const after = await putsOf(set.servers);
  const puts = after.map((count, i) => count - before[i]!);
  return {
    putsPerSecond: rps ?? 0,
    p99Ms,
    slowestShare: slowestShare(puts),
    busiestCpuUs: Math.max(...cpu) / puts.reduce((sum, count) => sum + count, 1),
  };
}

const nameOf = (database: string, cores: number | undefined): string =>
  `${database}${cores === undefined ? '' : `, ${smallMachineName}`}`;

async function compare(name: string, backend: string, more: PlinthStart, cores: number | undefined): Promise<string[]> {
  const sets = [await start(backend, 1, more), await start(backend, 3, more)] as const;
  const unlimit: (() => void)[] = [];
  const lines: string[] = [];
  try {
    for (const set of sets) await load(set, warmUpClients, warmUpSeconds * set.servers.length);
    const processes = sets.flatMap(({ servers }) => servers.map(({ child }) => child.process.pid as number));
    if (cores !== undefined) unlimit.push(...processes.map((pid) => limitCpu(pid, cores)));
    for (const clients of clientCounts) {
      const one: Round[] = [];
      const three: Round[] = [];
      const turns = [
        [sets[0], clients.one, one],
        [sets[1], clients.three, three],
      ] as const;
      for (let round = 0; round < rounds; round++) {
        for (const [set, asking, done] of round % 2 === 0 ? turns : turns.toReversed()) {
          done.push(await measure(set, asking));
        }
      }
      const of = (field: keyof Round, done: readonly Round[]): number => median(done.map((round) => round[field]));
      const times = median(three.map(({ putsPerSecond }, i) => putsPerSecond / one[i]!.putsPerSecond));
      const cells = [
        nameOf(name, cores),
        `${clients.one} / ${clients.three}`,
        count(of('putsPerSecond', one)),
        count(of('putsPerSecond', three)),
        times.toFixed(2),
        `${of('p99Ms', one).toFixed(0)} / ${of('p99Ms', three).toFixed(0)} ms`,
        `${Math.round(100 * of('slowestShare', three))} %`,
        `${of('busiestCpuUs', one).toFixed(0)} / ${of('busiestCpuUs', three).toFixed(0)} µs`,
      ];
      lines.push(`| ${cells.join(' | ')} |`);
      console.log(lines.at(-1));
    }
  } finally {
    for (const { servers } of sets) for (const server of servers) await server.close();
    for (const end of unlimit) end();
    for (const { database } of sets) await database.close();
  }
  return lines;
}

const lines: string[] = [];
for (const cores of [smallMachine, undefined]) {
  for (const [name, backend, more] of databases) {
    if (nameOf(name, cores).includes(options.only)) lines.push(...(await compare(name, backend, more, cores)));
  }
}
if (options.only !== '') process.exit(0);
writeSection(
  path.join(import.meta.dirname, 'BACKENDS.md'),
  'replicas',
  `## Three replicas that write at once, beside one

Written by \`make bench-replicas\`: both run, each on a database server of its own, and are asked in turn; medians of ${rounds} rounds of
${seconds} s that begin ${leadSeconds} s after the load, and of the ratio of the puts per second in each round. This says more about
the ratio than the table above, whose lines are of one run each, some minutes apart. The CPU is that of the busiest
replica, divided by all puts: where each replica has a machine
of its own, it limits what they do together.

| | clients of one / three | one, puts/s | three, puts/s | three / one | p99 | slowest replica's share | busiest replica's CPU a put |
|---|---|---|---|---|---|---|---|
${lines.join('\n')}`,
);
process.exit(0);
