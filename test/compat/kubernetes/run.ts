/**
 * Runs Kubernetes' storage conformance against servers started here: etcd (the control: what fails there is a fault of this
 * module), and plinth on any backend, also as two replicas with each connection to another one (test/support/targets.ts has all
 * names).
 *
 *     node --import tsx test/compat/kubernetes/run.ts [etcd] [sqlite] [spanner-replicas] … [--run=REGEXP]
 *
 * The last line says `N passed, N failed, N skipped`. A test that has subtests counts by these.
 */
import { spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { findExecutable, repositoryRoot } from '../../support/process.ts';
import type { Server } from '../../support/server.ts';
import { startTarget } from '../../support/targets.ts';
import { printTotals, type Totals } from '../../support/totals.ts';

/** These need a server that nobody has used before; all others share one. */
const freshTest = /^TestFresh/;
/** The suite wants progress without asking for it. */
const flags = ['--watch-progress-notify-interval=1s'];
const testTimeout = '10m';
const verdictWord: Readonly<Record<string, string>> = { PASS: 'ok', FAIL: 'not ok', SKIP: 'skipped' };
const folder = import.meta.dirname;
const binary = path.join(repositoryRoot, 'build', 'bin', 'kubernetes-conformance.test');

function compile(): void {
  if (!findExecutable('go')) throw new Error('the go command is not on PATH (Go 1.26 or newer is needed)');
  const go = spawnSync('go', ['test', '-c', '-o', binary, '.'], {
    cwd: folder,
    stdio: 'inherit',
    env: { ...process.env, GOFLAGS: '-buildvcs=false -mod=readonly' },
  });
  if (go.status !== 0) throw new Error('the conformance tests do not compile');
}

function testNames(pattern: string): string[] {
  const list = spawnSync(binary, [`-test.list=${pattern}`], { cwd: folder, encoding: 'utf8' });
  if (list.status !== 0) throw new Error(`no list of tests: ${list.stderr}`);
  return list.stdout.split('\n').filter((line) => line.startsWith('Test'));
}

/** Runs these tests on this server, echoes failures with what the test said, and counts. */
async function runTests(server: Server, names: readonly string[], totals: Totals): Promise<void> {
  const child = spawn(
    binary,
    [
      `-endpoint=${server.url}`,
      `-test.run=^(${names.join('|')})$`,
      `-test.timeout=${testTimeout}`,
      '-test.v=test2json',
    ],
    { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const missing = new Set(names);
  const parents = new Set<string>();
  const failedParents = new Set<string>();
  let said: string[] = [];
  child.stderr.resume();
  for await (const raw of createInterface({ input: child.stdout })) {
    // A line of the test framework begins with ^V (0x16) in test2json mode: no output of a test can pass for a verdict.
    const framed = raw.startsWith('\x16');
    const line = framed ? raw.slice(1) : raw;
    const verdict = framed ? /^--- (PASS|FAIL|SKIP): (\S+) \((\S+)\)/.exec(line) : null;
    if (!verdict) {
      said.push(line);
      continue;
    }
    const [, outcome, name, took] = verdict as unknown as [string, string, string, string];
    missing.delete(name);
    // Subtests report before their parent, so a parent is known when its turn comes.
    for (let slash = name.lastIndexOf('/'); slash > 0; slash = name.lastIndexOf('/', slash - 1)) {
      parents.add(name.slice(0, slash));
      if (outcome === 'FAIL') failedParents.add(name.slice(0, slash));
    }
    if (outcome === 'FAIL' && !failedParents.has(name)) totals.failed++;
    if (outcome === 'PASS' && !parents.has(name)) totals.passed++;
    if (outcome === 'SKIP') totals.skipped++;
    if (outcome !== 'PASS' || !name.includes('/'))
      console.log(`${verdictWord[outcome]} ${server.name} ${name} ${took}`);
    if (outcome === 'FAIL') console.log(said.map((text) => `    ${text}`).join('\n'));
    said = [];
  }
  if (missing.size === 0) return;
  // A panic or a timeout ended the process: those tests have no verdict, which is a failure.
  totals.failed += missing.size;
  for (const name of missing) console.log(`not ok ${server.name} ${name}: no verdict`);
  console.log(said.slice(-100).join('\n'));
}

async function conformance(target: string, names: readonly string[]): Promise<Totals> {
  const totals: Totals = { passed: 0, failed: 0, skipped: 0 };
  const shared = names.filter((name) => !freshTest.test(name));
  const groups = [
    ...(shared.length > 0 ? [shared] : []),
    ...names.filter((name) => freshTest.test(name)).map((n) => [n]),
  ];
  for (const group of groups) {
    const server = await startTarget(target, flags);
    try {
      await runTests(server, group, totals);
    } finally {
      await server.close();
    }
  }
  console.log(`${target}: ${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
  return totals;
}

const args = process.argv.slice(2);
const pattern = args.find((arg) => arg.startsWith('--run='))?.slice('--run='.length) ?? '.';
const targets = args.filter((arg) => !arg.startsWith('--'));
compile();
const names = testNames(pattern);
const all: Totals = { passed: 0, failed: 0, skipped: 0 };
for (const target of targets.length > 0 ? targets : ['etcd', 'sqlite', 'memory']) {
  const totals = await conformance(target, names);
  all.passed += totals.passed;
  all.failed += totals.failed;
  all.skipped += totals.skipped;
}
printTotals(all);
// All is closed; what a library may still hold must not keep the next suite waiting.
process.exit();
