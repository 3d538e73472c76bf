/**
 * Many connections, many watches and a mixed load for a long time: does memory stay flat, does the event loop stay free, is every event
 * delivered? Prints a line every ten seconds and writes bench/SOAK.md; ends with 1 if something was lost or memory grew.
 *
 *     node --import tsx bench/soak.ts [--seconds=600] [--transport=plinth]
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { type LoadReport, loadgen } from './loadgen.ts';
import { cpuMicroseconds, residentBytes } from './process-usage.ts';
import { startCompiledPlinth } from './servers.ts';

const { values: options } = parseArgs({
  options: { seconds: { type: 'string', default: '600' }, transport: { type: 'string', default: 'plinth' } },
});

const seconds = Number(options.seconds);
const sampleMs = 10_000;
/** Memory of the last third may be above that of the second by this, for what caches and the garbage collector do. */
const growthMax = 1.1;
const mebibyte = 1024 * 1024;

/**
 * 300 connections with 5,000 watches: 1,000 on one prefix, 4,000 on a key each; beside them reads, lists and writes. Of the keys that are
 * created 5,000 stay: what is stored does not grow, so memory must not.
 */
const loads: readonly (readonly string[])[] = [
  ['-op=watch', '-prefix=/soak/prefix/', '-watchers=1000', '-conns=100', '-clients=10', '-rate=10', '-keys=1000'],
  ['-op=watch', '-prefix=/soak/keys/', '-distinct', '-watchers=4000', '-conns=150', '-clients=20', '-rate=200'],
  ['-op=mix', '-prefix=/soak/mix/', '-clients=50', '-conns=50', '-keys=5000', '-limit=100', '-keep=5000', '-fill'],
];

interface Sample {
  readonly residentBytes: number;
  readonly loopDelayP99Ms: number;
}

const server = await startCompiledPlinth({
  flags: [
    `--grpc-transport=${options.transport}`,
    // What is stored has a bound with its history, as where an apiserver compacts; each minute, so that ten minutes show what stays.
    '--auto-compaction-mode=periodic',
    '--auto-compaction-retention=1m',
  ],
});
const pid = server.child.process.pid as number;
const samples: Sample[] = [];

async function metric(name: string): Promise<number> {
  const text = await (
    await fetch(`${server.endpoint.startsWith('http') ? '' : 'http://'}${server.endpoint}/metrics`)
  ).text();
  return Number(new RegExp(`^${name} (\\S+)`, 'm').exec(text)?.[1] ?? Number.NaN);
}

async function sampleNow(): Promise<void> {
  const sample = {
    residentBytes: residentBytes(pid),
    loopDelayP99Ms: (await metric('nodejs_eventloop_lag_p99_seconds')) * 1000,
  };
  samples.push(sample);
  const { residentBytes: bytes, loopDelayP99Ms } = sample;
  console.log(`${Math.round(bytes / mebibyte)} MiB, event loop p99 ${loopDelayP99Ms.toFixed(1)} ms`);
}

const sampling = setInterval(() => void sampleNow(), sampleMs);

const cpuBefore = cpuMicroseconds(pid);
const reports = await Promise.all(
  loads.map((args) => loadgen(server.endpoint, [...args, `-d=${seconds}s`, '-drain=60s'])),
);
const cpuSeconds = (cpuMicroseconds(pid) - cpuBefore) / 1e6;
clearInterval(sampling);
await server.close();

const median = (numbers: readonly number[]): number => [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? 0;
const third = Math.ceil(samples.length / 3);
const memory = samples.map((sample) => sample.residentBytes / mebibyte);
const delays = samples.map((sample) => sample.loopDelayP99Ms);
const middle = median(memory.slice(third, 2 * third));
const last = median(memory.slice(2 * third));
const errors = reports.reduce((sum, { errs, lost }) => sum + errs + (lost ?? 0), 0);
const flat = last <= middle * growthMax;

const describe = ({ events_per_s: events, puts_per_s: puts, rps, p50_ms: p50, p99_ms: p99, errs, lost }: LoadReport) =>
  `${events === undefined ? `${Math.round(rps ?? 0)} requests/s` : `${Math.round(puts ?? 0)} puts/s, ${Math.round(events)} events/s`}, ` +
  `p50 / p99 ${p50} / ${p99} ms, ${errs} errors, ${lost ?? 0} events lost`;
const lines = [
  `${seconds} s, 300 connections, 5,000 watches, transport ${options.transport}, the load generator on the same cores:`,
  '',
  `- 1,000 watches on one prefix: ${describe(reports[0] as LoadReport)}`,
  `- 4,000 watches on a key each: ${describe(reports[1] as LoadReport)}`,
  `- reads, lists and writes: ${describe(reports[2] as LoadReport)}`,
  `- resident memory: median of the second third ${Math.round(middle)} MiB, of the last ${Math.round(last)} MiB, ` +
    `highest ${Math.round(Math.max(...memory))} MiB`,
  `- event loop delay, p99 of ten seconds: median ${median(delays).toFixed(1)} ms, worst ${Math.max(...delays).toFixed(1)} ms`,
  `- CPU of the server: ${(cpuSeconds / seconds).toFixed(2)} cores`,
];
console.log(lines.join('\n'));
if (seconds >= 600) {
  writeFileSync(
    path.join(import.meta.dirname, 'SOAK.md'),
    `# A long run\n\nWritten by \`make soak\`. ${lines.join('\n')}\n`,
  );
}
if (errors > 0) console.error(`${errors} errors and lost events`);
if (!flat) console.error(`memory grew from ${Math.round(middle)} to ${Math.round(last)} MiB`);
process.exit(errors > 0 || !flat ? 1 : 0);
