/**
 * Resident memory of etcd and plinth with the same data: filled through the API, then every value read by lists, then by gets, and all
 * put once more. Adds to bench/RESULTS.md.
 *
 *     node --import tsx bench/memory.ts [--out=FILE]
 */
import path from 'node:path';
import { parseArgs } from 'node:util';
import { loadgen } from './loadgen.ts';
import { residentBytes } from './process-usage.ts';
import { machine, writeSection } from './results.ts';
import { candidates } from './servers.ts';

const { values: options } = parseArgs({
  options: { out: { type: 'string', default: path.join(import.meta.dirname, 'RESULTS.md') } },
});

const mebibyte = 2 ** 20;

interface Data {
  readonly name: string;
  readonly args: readonly string[];
  /** How often each key is put. */
  readonly times: number;
  /** What plinth may need, by what etcd does. */
  readonly bound: { readonly text: string; bytes(etcd: number): number };
}

const data: readonly Data[] = [
  {
    name: '20,000 keys of 256 bytes, put 10 times',
    args: ['-keys=20000', '-val=256'],
    times: 10,
    bound: { text: "etcd's and 100 MiB", bytes: (etcd) => etcd + 100 * mebibyte },
  },
  {
    name: '100,000 keys of 1 KiB',
    args: ['-keys=100000', '-val=1024'],
    times: 1,
    bound: { text: "1.5 times etcd's", bytes: (etcd) => etcd * 1.5 },
  },
];

interface Sizes {
  readonly started: number;
  readonly filled: number;
  readonly listed: number;
  /** After gets and one more put of each key. */
  readonly used: number;
}

async function measure(name: string, { args, times }: Data): Promise<Sizes> {
  const candidate = candidates.find((one) => one.name === name);
  if (!candidate) throw new Error(`no server ${name}`);
  const server = await candidate.start();
  try {
    const pid = server.child.process.pid as number;
    const started = residentBytes(pid);
    for (let time = 0; time < times; time++) await loadgen(server.endpoint, ['-op=fill', ...args]);
    const filled = residentBytes(pid);
    // Long enough that hardly a key is in none of the lists.
    await loadgen(server.endpoint, ['-op=list', '-limit=500', ...args, '-d=5s']);
    const listed = residentBytes(pid);
    await loadgen(server.endpoint, ['-op=get', ...args, '-d=5s']);
    await loadgen(server.endpoint, ['-op=fill', ...args]);
    return { started, filled, listed, used: residentBytes(pid) };
  } finally {
    await server.close();
  }
}

const rows: string[] = [];
const expectations: string[] = [];
const inMiB = (bytes: number): string => String(Math.round(bytes / mebibyte));
for (const each of data) {
  const [etcd, plinth] = [await measure('etcd', each), await measure('plinth', each)];
  for (const [name, sizes] of Object.entries({ etcd, plinth })) {
    const { started, filled, listed, used } = sizes;
    rows.push(`| ${[each.name, name, ...[started, filled, listed, used].map(inMiB)].join(' | ')} |`);
  }
  const asked = (when: keyof Sizes) =>
    `${each.name}, ${when}: ${inMiB(plinth[when])} MiB, etcd ${inMiB(etcd[when])} MiB; asked is at most ${each.bound.text}`;
  const within = (when: keyof Sizes) => plinth[when] <= each.bound.bytes(etcd[when]);
  expectations.push(`- ${within('used') ? 'met' : 'NOT met'}: after the run, ${asked('used')}`);
  for (const when of ['filled', 'listed'] as const) {
    expectations.push(`- ${within(when) ? 'also' : 'not'} within the run, ${asked(when)}`);
  }
}
const text = [
  '## Resident memory with the same data, in MiB',
  '',
  `${new Date().toISOString().slice(0, 10)}, ${machine()}. etcd maps its file, so values count for it once they were read; plinth has ` +
    'them in its value cache (256 MiB) from the beginning.',
  '',
  '| | | started | filled | listed | used: read by gets, and put once more |',
  '| --- | --- | --- | --- | --- | --- |',
  ...rows,
  '',
  ...expectations,
].join('\n');
console.log(text);
writeSection(options.out, 'memory', text);
process.exit(0);
