/**
 * How long plinth takes to start on a large store, and what it then needs: keys are filled through the API, a share of them is
 * written several times, and the server is restarted, before and after a compaction.
 *
 *     node --import tsx bench/startup.ts [--keys=1000000] [--revised=100000] [--revisions=5] [--backend=sqlite] [--out=FILE]
 */
import fs from 'node:fs';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import type { RawClient } from '../test/support/raw-client.ts';
import type { Server } from '../test/support/server.ts';
import { loadgen } from './loadgen.ts';
import { residentBytes, residentPeakBytes } from './process-usage.ts';
import { machine, writeSection } from './results.ts';
import { startCompiledPlinth } from './servers.ts';

const prefix = '/registry/lg/';
const prefixEnd = '/registry/lg0';
/** Keys of one transaction while filling: etcd's default for --max-txn-ops is 128. */
const fillBatch = 100;
const listLimit = 500;
/** A compaction of millions of revisions is waited for. */
const compactionTimeoutMs = 1_800_000;

const { values: options } = parseArgs({
  options: {
    keys: { type: 'string', default: '1000000' },
    revised: { type: 'string', default: '100000' },
    revisions: { type: 'string', default: '5' },
    backend: { type: 'string', default: 'sqlite' },
    out: { type: 'string', default: path.join(import.meta.dirname, 'RESULTS.md') },
  },
});
const keys = Number(options.keys);

interface Start {
  readonly what: string;
  readonly readyMs: number;
  readonly residentBytes: number;
  readonly peakBytes: number;
  readonly firstGetMs: number;
  readonly firstListMs: number;
  readonly databaseBytes: number;
}

async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; result: T }> {
  const began = performance.now();
  const result = await work();
  return { ms: performance.now() - began, result };
}

function directoryBytes(directory: string): number {
  return fs
    .readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + fs.statSync(path.join(entry.parentPath, entry.name)).size, 0);
}

const key = (number: number): string => `${prefix}${String(number).padStart(8, '0')}`;

async function checkedList(client: RawClient): Promise<void> {
  const answer = await client.call('KV/Range', { key: prefix, rangeEnd: prefixEnd, limit: listLimit });
  if (answer.count !== keys || answer.kvs.length !== Math.min(listLimit, keys)) {
    throw new Error(`a list of ${answer.kvs.length} of ${answer.count} keys, want ${listLimit} of ${keys}`);
  }
}

async function restart(server: Server, what: string): Promise<Start> {
  await server.child.stop('SIGTERM');
  const databaseBytes = directoryBytes(server.dataDirectory);
  const { ms: readyMs } = await timed(() => server.restart());
  const pid = server.child.process.pid!;
  const resident = residentBytes(pid);
  const get = await timed(() => server.client.call('KV/Range', { key: key(keys >> 1) }));
  if (get.result.kvs.length !== 1) throw new Error('the first get found nothing');
  const list = await timed(() => checkedList(server.client));
  const start = {
    what,
    readyMs,
    residentBytes: resident,
    peakBytes: residentPeakBytes(pid),
    firstGetMs: get.ms,
    firstListMs: list.ms,
    databaseBytes,
  };
  console.log(start);
  return start;
}

const mib = (bytes: number): string => Math.round(bytes / 2 ** 20).toLocaleString('en');

function section(starts: readonly Start[]): string {
  const rows = starts.map((start) => {
    const times = [(start.readyMs / 1000).toFixed(1), start.firstGetMs.toFixed(1), start.firstListMs.toFixed(1)];
    const sizes = [start.residentBytes, start.peakBytes, start.databaseBytes].map(mib);
    return `| ${[start.what, ...times, ...sizes].join(' | ')} |`;
  });
  return [
    `## Start-up with ${keys.toLocaleString('en')} keys`,
    '',
    `${new Date().toISOString().slice(0, 10)}, ${options.backend}, ${machine()}. Values of 256 bytes; ` +
      `${Number(options.revised).toLocaleString('en')} keys have ${options.revisions} revisions. ` +
      'Time to ready is from the start of the process to the first answer of a linearizable read.',
    '',
    `| | ready, s | first get, ms | first list of ${listLimit}, ms | resident, MiB | peak, MiB | files, MiB |`,
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...rows,
  ].join('\n');
}

const server = await startCompiledPlinth({ backend: options.backend });
try {
  const batch = `-fill-batch=${fillBatch}`;
  const filled = await timed(() => loadgen(server.endpoint, ['-op=fill', `-keys=${keys}`, batch]));
  console.log(`filled ${keys} keys in ${(filled.ms / 1000).toFixed(1)} s`);
  for (let revision = 1; revision < Number(options.revisions); revision++) {
    await loadgen(server.endpoint, ['-op=fill', `-keys=${options.revised}`, batch]);
  }
  const starts = [await restart(server, 'from the log')];
  const { header } = await server.client.call('KV/Range', { key: 'none' });
  const compaction = await timed(() =>
    server.client.call(
      'KV/Compact',
      { revision: header!.revision, physical: true },
      { timeoutMs: compactionTimeoutMs },
    ),
  );
  console.log(`compacted in ${(compaction.ms / 1000).toFixed(1)} s`);
  starts.push(await restart(server, 'after a compaction'));
  const text = section(starts);
  console.log(`\n${text}`);
  writeSection(options.out, 'startup', text);
} finally {
  await server.close();
}
