/** Medians of what was measured, as a Markdown page. */
import fs from 'node:fs';
import os from 'node:os';

export interface Measurement {
  /** Requests, or for a watch events, per second. */
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Of the server process; for a watch per put, with the delivery to all watchers. */
  readonly cpuMicrosecondsPerRequest: number;
  readonly residentBytes: number;
  readonly errors: number;
}

export function median(values: readonly number[]): number {
  if (values.length === 0) throw new Error('no median of nothing');
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The rounds of each server and operation; operations keep the order in which they were first added. */
export class Measurements {
  readonly #rounds = new Map<string, Map<string, Measurement[]>>();

  add(server: string, operation: string, measurement: Measurement): void {
    const servers = this.#rounds.get(operation) ?? new Map<string, Measurement[]>();
    this.#rounds.set(operation, servers);
    servers.set(server, [...(servers.get(server) ?? []), measurement]);
  }

  get operations(): string[] {
    return [...this.#rounds.keys()];
  }

  /** Undefined if this server did not run the operation. */
  median(server: string, operation: string): Measurement | undefined {
    const rounds = this.#rounds.get(operation)?.get(server);
    if (!rounds) return undefined;
    const of = (field: keyof Measurement): number => median(rounds.map((measurement) => measurement[field]));
    return {
      perSecond: of('perSecond'),
      p50Ms: of('p50Ms'),
      p99Ms: of('p99Ms'),
      cpuMicrosecondsPerRequest: of('cpuMicrosecondsPerRequest'),
      residentBytes: of('residentBytes'),
      errors: of('errors'),
    };
  }

  /** Of plinth to another server, the median over the rounds: what slows one down slows both. Undefined: one did not run it. */
  ratio(operation: string, other: string, field: keyof Measurement): number | undefined {
    const own = this.#rounds.get(operation)?.get('plinth');
    const others = this.#rounds.get(operation)?.get(other);
    if (!own || !others) return undefined;
    return median(own.map((measurement, round) => measurement[field] / others[round]![field]));
  }
}

export interface ServerVersion {
  readonly name: string;
  readonly version: string;
}

export const count = (value: number): string => Math.round(value).toLocaleString('en');
const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n');

/** Throughput with ratios of plinth to the others. */
function throughput(measured: Measurements, servers: readonly string[]): string {
  const others = servers.filter((name) => name !== 'plinth');
  const head = ['per second', ...servers, ...others.map((name) => `plinth / ${name}`)];
  const rows = measured.operations.map((operation) => {
    const rate = (server: string): number | undefined => measured.median(server, operation)?.perSecond;
    return [
      operation.startsWith('watch') ? `${operation} (events)` : operation,
      ...servers.map((server) => count(rate(server) ?? 0)),
      ...others.map((server) => measured.ratio(operation, server, 'perSecond')?.toFixed(2) ?? ''),
    ];
  });
  return table(head, rows);
}

function perServer(
  title: string,
  measured: Measurements,
  servers: readonly string[],
  cell: (measurement: Measurement) => string,
): string {
  const rows = measured.operations.map((operation) => [
    operation,
    ...servers.map((server) => {
      const measurement = measured.median(server, operation);
      return measurement ? cell(measurement) : '';
    }),
  ]);
  return table([title, ...servers], rows);
}

export function machine(): string {
  const memoryGib = Math.round(os.totalmem() / 2 ** 30);
  const model = os.cpus()[0]?.model.trim() ?? 'unknown processor';
  return `${os.cpus().length} cores (${model}), ${memoryGib} GiB of memory, ${os.type()} ${os.release()}, Node ${process.version}`;
}

/** Added to the name of an operation that was measured with the lean client. */
export const leanClient = ', lean client';

/** The same for clientv3 that collects its garbage as often as Go does by itself. */
export const frequentCollection = ', GOGC=100';

/** What is asked for beside etcd: so many times its throughput, with at most this part of its CPU per request; by each client. */
const targets: readonly (readonly [operation: string, throughput: number, cpu: number | undefined])[] = [
  ['get', 2.5, 1 / 5],
  ['put', 2, 1 / 3],
  ['create', 2, 1 / 3],
  ['update', 2, 1 / 3],
  ['list of 500', 5, 1 / 10],
  ['mix', 2, 1 / 3],
  ['watch, 100 watchers', 1.5, 1 / 3],
  ['put, one client', 1.2, undefined],
];

/** Operations at a rate that the load generator sets: who keeps up delivers all of it, and the end of the last second decides the rest. */
const fixedRate = / puts\/s/;
const fixedRateTolerance = 1.01;

/** The targets, each said as met or not. */
function expectations(measured: Measurements): string[] {
  const lines: string[] = [];
  const expect = (what: string, met: boolean): void => {
    lines.push(`- ${met ? 'met' : 'NOT met'}: ${what}`);
  };
  for (const [asked, throughput, cpu] of targets) {
    for (const client of ['', leanClient, frequentCollection]) {
      const operation = `${asked}${client}`;
      const times = measured.ratio(operation, 'etcd', 'perSecond');
      const part = measured.ratio(operation, 'etcd', 'cpuMicrosecondsPerRequest');
      const own = measured.median('plinth', operation);
      const etcd = measured.median('etcd', operation);
      if (times === undefined || part === undefined || !own || !etcd) continue;
      expect(
        `${operation}: ${times.toFixed(2)} times the throughput of etcd, asked is ${throughput}`,
        times >= throughput,
      );
      if (cpu !== undefined)
        expect(`${operation}: 1/${(1 / part).toFixed(1)} of etcd's CPU, asked is 1/${1 / cpu}`, part <= cpu);
      const latency = `p99 ${own.p99Ms.toFixed(1)} ms, etcd's ${etcd.p99Ms.toFixed(1)} ms`;
      expect(`${operation}: ${latency}`, own.p99Ms <= etcd.p99Ms);
    }
  }
  // Asked without kine, nothing is said of it.
  if (!measured.operations.some((operation) => measured.median('kine', operation) !== undefined)) return lines;
  const slower = measured.operations.filter((operation) => {
    const kine = measured.median('kine', operation)?.perSecond ?? 0;
    const own = measured.median('plinth', operation)?.perSecond ?? 0;
    return kine > own * (fixedRate.test(operation) ? fixedRateTolerance : 1);
  });
  expect(
    `no operation slower than kine${slower.length > 0 ? ` (slower: ${slower.join('; ')})` : ''}`,
    slower.length === 0,
  );
  return lines;
}

export interface Conditions {
  /** The machine's load average before the first round: well above 0 means that something else ran. */
  readonly load: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly keys: number;
  /** Puts, mixed work and watches before the first operation. */
  readonly warmUpSeconds: number;
  /** Of each operation before it is measured; where thousands of watchers are set up, none. */
  readonly leadSeconds: number;
}

export function page(measured: Measurements, versions: readonly ServerVersion[], conditions: Conditions): string {
  const servers = versions.map((server) => server.name);
  const latency = (m: Measurement): string => `${m.p50Ms.toFixed(1)} / ${m.p99Ms.toFixed(1)}`;
  const problems = servers.flatMap((server) =>
    measured.operations
      .filter((operation) => (measured.median(server, operation)?.errors ?? 0) > 0)
      .map(
        (operation) =>
          `- ${server}, ${operation}: ${measured.median(server, operation)?.errors} errors or missing events`,
      ),
  );
  return [
    '# Results of `make bench`',
    `${new Date().toISOString().slice(0, 10)}; ${versions.map((server) => `${server.name} ${server.version}`).join('; ')}.`,
    `${machine()}. The load generator runs on the same cores. Load average before the first round: ${conditions.load.toFixed(1)}.`,
    `Medians of ${conditions.rounds} round(s), and of the ratios in each; ${conditions.seconds} s for each operation, which one server ` +
      'after the other is asked for when all are idle, on fresh directories with durable commits, after ' +
      `${conditions.warmUpSeconds} s of puts, mixed work and watches, and ${conditions.leadSeconds} s of the same operation ` +
      `(not where thousands watch); ${count(conditions.keys)} keys, values of 256 bytes, ` +
      '64 clients on 8 connections unless said otherwise. ' +
      'clientv3 takes more of the cores than either server. So there is a lean client as well, bench/loadgen/lean.go; and the load ' +
      'generator collects its garbage when its heap has grown ninefold (GOGC=800). As often as Go does by itself, a hundred times a ' +
      'second for so small a heap, it does in the lines with "GOGC=100".',
    '## Throughput',
    throughput(measured, servers),
    '## Latency, p50 / p99 in ms',
    'Of a watch: from the start of the put to the arrival of the event.',
    perServer('ms', measured, servers, latency),
    '## CPU of the server process per request, in µs',
    'Of a watch: per put, with its delivery to all watchers.',
    perServer('µs', measured, servers, (m) => count(m.cpuMicrosecondsPerRequest)),
    '## Resident memory of the server process after the operation, in MiB',
    perServer('MiB', measured, servers, (m) => count(m.residentBytes / 2 ** 20)),
    ...(problems.length > 0 ? ['## Errors', problems.join('\n')] : []),
    ...(expectations(measured).length > 0 ? ['## Expectations', expectations(measured).join('\n')] : []),
  ].join('\n\n');
}

/** Replaces the page, keeps what other benchmarks added after it (see `section`). */
export function writePage(file: string, text: string): void {
  const rest = fs.existsSync(file) ? (/\n<!-- section .*/s.exec(fs.readFileSync(file, 'utf8'))?.[0] ?? '') : '';
  fs.writeFileSync(file, `${text}\n${rest}`);
}

/** Adds or replaces one named section at the end of the page. */
export function writeSection(file: string, name: string, text: string): void {
  const mark = `<!-- section ${name} -->`;
  const before = fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '# Results\n';
  const parts = before.split(/\n(?=<!-- section )/).filter((part) => !part.startsWith(mark));
  fs.writeFileSync(file, `${[...parts.map((part) => part.trimEnd()), `${mark}\n${text}`].join('\n\n')}\n`);
}
