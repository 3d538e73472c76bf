/**
 * Are three replicas on one database linearizable, whatever happens to them? Clients work on all of them while replicas are
 * killed, stopped, cut off from the database and restarted; then everything that anybody was answered is checked.
 *
 *     node --import tsx test/linearizability/run.ts [postgres] [spanner] [--seconds=40] [--seed=N] [--mutant]
 *
 * --mutant: clients read serializably, and the checker has to find that out. The last line says `N passed, N failed, N skipped`.
 */
import fs from 'node:fs';
import path from 'node:path';
import { sharedBackends } from '../support/databases.ts';
import { eventually, repositoryRoot } from '../support/process.ts';
import { Random } from '../support/random.ts';
import { startPlinth } from '../support/server.ts';
import { printTotals, type Totals } from '../support/totals.ts';
import { check } from './checker.ts';
import { type History, readLog, work } from './clients.ts';
import { breakThings, type Subject } from './faults.ts';

const replicaCount = 3;
const clientsPerReplica = 4;
const problemsShown = 10;

async function examine(name: string, seconds: number, seed: number, mutant: boolean): Promise<boolean> {
  const backend = sharedBackends.find((each) => each.name === name);
  if (backend === undefined) throw new Error(`unknown backend ${name}`);
  if (backend.without) throw new Error(backend.without);
  const database = await backend.start();
  const fresh = database.newDatabase();
  const subjects: Subject[] = [];
  try {
    for (let i = 0; i < replicaCount; i++) {
      const proxy = await database.proxy();
      subjects.push({ server: await startPlinth({ backend: name, flags: [...fresh.flags(proxy)] }), proxy });
    }
    const random = new Random(seed);
    const history: History = { operations: [], errors: new Map(), running: true };
    const clients = subjects.flatMap(({ server }, replica) =>
      Array.from({ length: clientsPerReplica }, (_, i) =>
        work(server, `${replica}.${i}`, new Random(seed + 100 * replica + i + 1), history, mutant),
      ),
    );
    const done = await breakThings(subjects, random, performance.now() + seconds * 1000);
    history.running = false;
    await Promise.all(clients);
    for (const [replica, { server }] of subjects.entries()) {
      // No fault leaves one behind that has ended: it did that by itself.
      if (!server.child.running)
        throw new Error(`${name}, seed ${seed}: replica ${replica} ended:\n${server.child.output}`);
    }
    const [first] = subjects as [Subject];
    // A linearizable read: the log has at least this much, and nobody writes any more. The last fault may just have cut it off.
    const { header } = await eventually(async () => await first.server.client.call('KV/Range', { key: 'x' }));
    const logs = await Promise.all(subjects.map(({ server }) => readLog(server, header!.revision)));
    const log = logs[0]!;
    const problems = check(history.operations, log);
    for (const other of logs) {
      if (JSON.stringify(other) !== JSON.stringify(log)) problems.push('two replicas tell different logs');
    }
    report(name, history, log.length, done, problems);
    if (problems.length > 0) write(name, seed, { operations: history.operations, log, problems });
    return problems.length === 0;
  } finally {
    for (const { server, proxy } of subjects) {
      await server.close();
      proxy.close();
    }
    await database.close();
  }
}

function report(
  name: string,
  { operations, errors }: History,
  revisions: number,
  done: Record<string, number>,
  problems: readonly string[],
): void {
  const open = operations.filter(({ answer }) => answer === undefined).length;
  console.log(`${name}: ${operations.length} operations (${open} without an answer), ${revisions} revisions`);
  console.log(
    `  faults: ${Object.entries(done)
      .map(([fault, count]) => `${count} ${fault}`)
      .join(', ')}`,
  );
  for (const [error, count] of errors) console.log(`  ${count} x ${error}`);
  for (const problem of problems.slice(0, problemsShown)) console.log(`  VIOLATION ${problem}`);
  if (problems.length > problemsShown) console.log(`  and ${problems.length - problemsShown} more`);
}

/** For a closer look. */
function write(name: string, seed: number, found: object): void {
  const file = path.join(repositoryRoot, 'build', `linearizability-${name}-${seed}.json`);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, JSON.stringify(found, null, 1));
  console.log(`  the history is in ${path.relative(repositoryRoot, file)}`);
}

const args = process.argv.slice(2);
const option = (name: string, otherwise: number): number =>
  Number(args.find((arg) => arg.startsWith(`--${name}=`))?.split('=')[1] || otherwise);
const seconds = option('seconds', 40);
const seed = option('seed', Math.floor(Math.random() * 1e9));
const mutant = args.includes('--mutant');
const names = args.filter((arg) => !arg.startsWith('--'));
const totals: Totals = { passed: 0, failed: 0, skipped: 0 };
for (const name of names.length > 0 ? names : sharedBackends.map((backend) => backend.name)) {
  console.log(`${name}: seed ${seed}`);
  const linearizable = await examine(name, seconds, seed, mutant);
  const passed = linearizable !== mutant;
  if (passed) totals.passed++;
  else totals.failed++;
  const verdict = linearizable ? 'linearizable' : 'NOT linearizable';
  console.log(`${passed ? 'ok' : 'not ok'} ${name}: ${verdict}${mutant ? ' (serializable reads)' : ''}`);
}
printTotals(totals);
// All is closed; what a library may still hold must not keep the next suite waiting.
process.exit();
