/**
 * Programs in other languages, each of which puts a server to the test through an unmodified client library. What they print:
 *
 *     ok NAME                 a scenario went as it should
 *     not ok NAME: REASON
 *     do pause                asks for something that is to be done to the server; `done` on standard input answers
 *
 * and anything else is a comment.
 */
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Test } from 'tap';
import { isMissing } from '../../support/demand.ts';
import { Child, findExecutable, repositoryRoot } from '../../support/process.ts';
import { type Server, startPlinth } from '../../support/server.ts';
import { etcd, fresh, skipped, type Target } from '../suite/target.ts';

/** Every program has all of them. */
const scenarios: readonly string[] = [
  'put, get, delete',
  'prefix, sort, limit',
  'a value of 1 MiB',
  'txn',
  'lease',
  'watch',
  'two watches',
  'a watch of 1,000 puts',
  '200 concurrent puts',
  'compaction',
  'errors',
  'deadline',
  '500 cancelled calls',
  'status, members',
  'restart',
  'a restart under load',
];

/** A program that hangs is ended, and what it has not told by then is missing. */
const programTimeoutMs = 120_000;

export interface Program {
  /** The target of the Makefile that builds it. */
  readonly makeTarget: string;
  /** What it takes on PATH. */
  readonly tool: string;
  /** Whether a machine of continuous integration may be without it. */
  readonly optional: boolean;
  command(server: Server): readonly [string, ...string[]];
}

const targets: readonly Target[] = [
  etcd,
  ...['plinth', 'grpc-js'].map((transport) => ({
    name: `plinth on sqlite, transport ${transport}`,
    start: (flags: readonly string[]) =>
      startPlinth({ backend: 'sqlite', flags: [`--grpc-transport=${transport}`, ...flags] }),
  })),
];

export async function putToTheTest(t: Test, program: Program): Promise<void> {
  for (const tool of ['make', program.tool]) {
    const without = !findExecutable(tool) && `${tool} is not on PATH`;
    if (without && program.optional) return void t.pass(without, { skip: without });
    if (isMissing(t, without)) return;
  }
  const make = new Child('make', [program.makeTarget], { cwd: repositoryRoot });
  t.teardown(() => make.stop());
  const { code } = await make.exited;
  if (code !== 0) t.comment(make.output);
  if (isMissing(t, code !== 0 && `make ${program.makeTarget} failed`)) return;

  for (const target of targets) {
    await t.test(target.name, async (t) => {
      if (skipped(t, target)) return;
      const server = await fresh(t, target);
      const { told, output } = await run(t, program, server);
      for (const name of scenarios) t.equal(told.get(name) ?? 'not told', 'ok', name);
      t.strictSame([...told.keys()], scenarios, 'these scenarios, in this order');
      if (!t.passing()) t.comment(output);
    });
  }
}

/** What a line of a program's means. */
export function heard(line: string): { verdict?: [name: string, verdict: string]; action?: string } {
  const [, ok] = /^ok (.+)$/.exec(line) ?? [];
  if (ok) return { verdict: [ok, 'ok'] };
  const [, notOk, reason] = /^not ok ([^:]+): (.*)$/.exec(line) ?? [];
  if (notOk) return { verdict: [notOk, `not ok: ${reason}`] };
  const [, action] = /^do (.+)$/.exec(line) ?? [];
  return action ? { action } : {};
}

/** What it said of each scenario: `ok`, or the reason. */
async function run(t: Test, program: Program, server: Server): Promise<{ told: Map<string, string>; output: string }> {
  const [command, ...args] = program.command(server);
  const child = new Child(command, args, { cwd: repositoryRoot, stdin: 'pipe' });
  t.teardown(() => child.stop());
  const timeout = setTimeout(() => child.process.kill('SIGKILL'), programTimeoutMs);
  const told = new Map<string, string>();
  const lines = createInterface({ input: child.process.stdout! });
  const closed = once(lines, 'close');
  lines.on('line', (line) => {
    const { verdict, action } = heard(line);
    if (verdict) told.set(...verdict);
    if (action) {
      perform(server, action).then(
        () => child.process.stdin?.write('done\n'),
        (error: unknown) => {
          t.error(error, action);
          child.process.kill('SIGKILL');
        },
      );
    }
  });
  const { code } = await child.exited;
  await closed;
  clearTimeout(timeout);
  t.equal(code, 0, 'the program comes to its end');
  return { told, output: child.output };
}

async function perform(server: Server, action: string): Promise<void> {
  if (action === 'restart') await server.restart();
  else if (action === 'pause') await server.child.pause();
  else if (action === 'resume') server.child.resume();
  else throw new Error(`no such thing to do: ${action}`);
}
