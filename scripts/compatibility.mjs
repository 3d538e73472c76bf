// Writes docs/compatibility.md from the logs of a run of .ci/run: node scripts/compatibility.mjs [directory of the logs]
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const directory = process.argv[2] ?? 'build/ci';
const columns = [
  'etcd',
  'memory',
  'sqlite',
  'sqlite, TLS',
  'postgres',
  'postgres, replicas',
  'spanner',
  'spanner, replicas',
  'etcd3',
];
/** Row → column → [passed, failed] */
const table = new Map();

function count(row, column, passed, failed) {
  if (!columns.includes(column)) throw new Error(`no column for ${column}`);
  if (!table.has(row)) table.set(row, new Map());
  const cells = table.get(row);
  const [before, failedBefore] = cells.get(column) ?? [0, 0];
  cells.set(column, [before + passed, failedBefore + failed]);
}

/** `plinth on postgres, 3 replicas`, `postgres-replicas` → `postgres, replicas` */
function columnOf(name) {
  if (name === 'plinth before etcd') return 'etcd3';
  return name.replace(/^plinth on /, '').replace(/(, \d+ |-)replicas$/, ', replicas');
}

function logLines(name) {
  const file = join(directory, `${name}.log`);
  if (!existsSync(file)) throw new Error(`${file} is not there: run .ci/run first`);
  return readFileSync(file, 'utf8').split('\n');
}

/** Where an assertion of this file and subtest belongs: [row, column], or undefined. */
function placeOf(file, subtest, inner) {
  const backend = /^test\/backends\/(\w+)\.test\.ts$/.exec(file)?.[1];
  if (backend === 'etcd3') return undefined;
  if (backend) return ['storage contract', backend];
  if (/^test\/compat\/[\w-]+\.test\.ts$/.test(file)) {
    const colon = subtest.lastIndexOf(': ');
    return colon < 0
      ? undefined
      : [`compatibility suite: ${subtest.slice(colon + 2)}`, columnOf(subtest.slice(0, colon))];
  }
  if (file === 'test/fault/replica-processes.test.ts') return [`replicas: ${inner}`, `${subtest}, replicas`];
  return undefined;
}

/** tap's output: subtests are indented by four, and an assertion is a result without a time of its own. */
function readTap() {
  let [file, subtest, inner] = ['', '', ''];
  for (const line of logLines('test')) {
    const begin = /^( *)# Subtest: (.*)$/.exec(line);
    if (begin) {
      const [, indent, name] = begin;
      if (indent.length === 0) file = name;
      else if (indent.length === 4) subtest = name;
      else if (indent.length === 8) inner = name.trim();
      continue;
    }
    const result = /^ {8,}(not )?ok \d+/.exec(line) ?? /^ {4}(not )?ok \d+/.exec(line);
    if (!result || /# (time=|SKIP|TODO)/.test(line)) continue;
    const place = placeOf(file, subtest, inner);
    if (place) count(...place, result[1] ? 0 : 1, result[1] ? 1 : 0);
  }
}

function readTotals(log, row) {
  for (const line of logLines(log)) {
    const match = /^([\w-]+): (\d+) passed, (\d+) failed, \d+ skipped$/.exec(line);
    if (match) count(row, columnOf(match[1]), Number(match[2]), Number(match[3]));
  }
}

function readVerdicts(log, row, column) {
  for (const line of logLines(log)) {
    const match = /^(not )?ok ([\w-]+): /.exec(line);
    if (match) count(row, column(match[2]), match[1] ? 0 : 1, match[1] ? 1 : 0);
  }
}

readTap();
readTotals('compat-kubernetes', "Kubernetes' storage conformance");
readVerdicts('e2e', 'a real kube-apiserver, driven by kubectl', columnOf);
readVerdicts('linearizability', 'linearizability under faults', (name) => `${name}, replicas`);

const cell = (pair) => (pair === undefined ? '' : pair[1] === 0 ? `${pair[0]}` : `${pair[0]}, **${pair[1]} failed**`);
const lines = [...table].map(
  ([row, cells]) => `| ${row} | ${columns.map((name) => cell(cells.get(name))).join(' | ')} |`,
);
writeFileSync(
  new URL('../docs/compatibility.md', import.meta.url),
  `# What was tested on which backend

Written by \`make compatibility\` from the logs of the suites that \`.ci/run\` runs: the number of assertions or tests that passed. An empty cell
was not run there. \`etcd\` is a real etcd 3.7, as the reference; \`etcd3\` is plinth before it. With replicas, three plinths (in the
Kubernetes suites two) serve one keyspace, and each connection of a client goes to another one. Spanner is its emulator.

| | ${columns.join(' | ')} |
|---|${columns.map(() => '---|').join('')}
${lines.join('\n')}
`,
);
