/**
 * What three replicas that write at once do together, beside one: both run, each on a database server of its own, and are asked in turn
 * for some rounds. Adds a section to bench/BACKENDS.md.
 *
 *     node --import tsx bench/replicas.ts [--rounds=5] [--seconds=3]
 */
import path from 'node:path';
import { parseArgs } from 'node:util';
import { type DatabaseServer, sharedBackends } from '../test/support/databases.ts';
import type { Server } from '../test/support/server.ts';
import { limitCpu } from './cpu-limit.ts';
import { loadgen } from './loadgen.ts';
import { putsOf, slowCommits, slowestShare, smallMachine, startReplicas } from './replica-set.ts';
import { median, writeSection } from './results.ts';
import type { PlinthStart } from './servers.ts';

const { values: options } = parseArgs({
  options: { rounds: { type: 'string', default: '5' }, seconds: { type: 'string', default: '3' } },
});
const rounds = Number(options.rounds);
const seconds = Number(options.seconds);
/** Before the first round, for each replica: who has a fifth of a core only compiles for a long time. */
const warmUpSeconds = 8;
const clientCounts = [128, 512] as const;

interface ReplicaSet {
  readonly servers: readonly Server[];
  readonly database: DatabaseServer;
  readonly puts: number[];
  readonly p99Ms: number[];
  /** See `slowestShare`, of each round. */
  readonly shares: number[];
}

const databases: readonly (readonly [name: string, backend: string, options: PlinthStart])[] = [
  ['Spanner emulator', 'spanner', {}],
  ['Spanner emulator + 7 ms a commit', 'spanner', slowCommits],
  ['PostgreSQL', 'postgres', {}],
];

function load({ servers }: ReplicaSet, clients: number, durationSeconds: number) {
  const endpoints = servers.map(({ endpoint }) => endpoint).join(',');
  const args = ['-op=put', `-clients=${clients}`, '-conns=12', '-keys=5000', '-val=512', `-d=${durationSeconds}s`];
  return loadgen(endpoints, args);
}

async function start(backend: string, replicas: number, more: PlinthStart): Promise<ReplicaSet> {
  const shared = sharedBackends.find(({ name }) => name === backend);
  if (!shared || shared.without) throw new Error(shared?.without || backend);
  const database = await shared.start();
  const servers = await startReplicas(database, replicas, { ...more, backend });
  return { servers, database, puts: [], p99Ms: [], shares: [] };
}

async function measure(set: ReplicaSet, clients: number): Promise<void> {
  const before = await putsOf(set.servers);
  const { rps, p99_ms: p99Ms, errs, lastErr } = await load(set, clients, seconds);
  if (errs > 0) console.log(`    ${errs} errors, the last: ${lastErr}`);
  const after = await putsOf(set.servers);
  set.puts.push(rps ?? 0);
  set.p99Ms.push(p99Ms);
  set.shares.push(slowestShare(after.map((count, i) => count - before[i]!)));
}

const whole = (value: number): string => Math.round(value).toLocaleString('en-US');

async function compare(name: string, backend: string, more: PlinthStart, cores: number | undefined): Promise<string[]> {
  const sets = [await start(backend, 1, more), await start(backend, 3, more)] as const;
  const unlimit: (() => void)[] = [];
  const lines: string[] = [];
  try {
    for (const set of sets) await load(set, clientCounts[0], warmUpSeconds * set.servers.length);
    const processes = sets.flatMap(({ servers }) => servers.map(({ child }) => child.process.pid as number));
    if (cores !== undefined) unlimit.push(...processes.map((pid) => limitCpu(pid, cores)));
    for (const clients of clientCounts) {
      for (const { puts, p99Ms, shares } of sets) for (const list of [puts, p99Ms, shares]) list.length = 0;
      for (let round = 0; round < rounds; round++) {
        for (const set of round % 2 === 0 ? sets : sets.toReversed()) await measure(set, clients);
      }
      const [one, three] = sets;
      const times = median(three.puts.map((count, i) => count / one.puts[i]!));
      const cells = [
        `${name}${cores === undefined ? '' : `, ${cores * 100} % of a core each`}`,
        `${clients}`,
        whole(median(one.puts)),
        whole(median(three.puts)),
        times.toFixed(2),
        `${median(one.p99Ms).toFixed(0)} / ${median(three.p99Ms).toFixed(0)} ms`,
        `${Math.round(100 * median(three.shares))} %`,
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
  for (const [name, backend, more] of databases) lines.push(...(await compare(name, backend, more, cores)));
}
writeSection(
  path.join(import.meta.dirname, 'BACKENDS.md'),
  'replicas',
  `## Three replicas that write at once, beside one

Written by \`make bench-replicas\`: both run, each on a database server of its own, and are asked in turn; medians of ${rounds} rounds of
${seconds} s, and of the ratio of the puts per second in each round. This says more about the ratio than the table above, whose lines
are of one run each, some minutes apart. Three write less than one, also where each has a fifth of a core to itself: all three apply
every batch, and a put that is forwarded costs its writer about as much as one of its own clients.

| | clients | one, puts/s | three, puts/s | three / one | p99 | slowest replica's share |
|---|---|---|---|---|---|---|
${lines.join('\n')}`,
);
process.exit(0);
