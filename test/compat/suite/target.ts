import type { Test } from 'tap';
import { findEtcd, type Server, startEtcd, startPlinth } from '../../support/server.ts';

/** What the suite runs against: starts fresh, empty servers. */
export interface Target {
  readonly name: string;
  /** Why the suite cannot run here. */
  readonly missing?: string | undefined;
  start(flags: readonly string[]): Promise<Server>;
}

export const etcd: Target = {
  name: 'etcd',
  missing: findEtcd() ? undefined : 'etcd is neither in build/bin nor on PATH',
  start: (flags) => startEtcd({ flags }),
};

export function plinth(backend: string): Target {
  return { name: `plinth on ${backend}`, start: (flags) => startPlinth({ backend, flags }) };
}

/** A fresh server that is stopped with the test. */
export async function fresh(t: Test, target: Target, ...flags: string[]): Promise<Server> {
  const server = await target.start(flags);
  t.teardown(() => server.close());
  return server;
}

/** True (and visible in the output) when the target is not there. In continuous integration that is a failure. */
export function skipped(t: Test, target: Target): boolean {
  if (!target.missing) return false;
  if (process.env.CI === 'true') t.fail(target.missing);
  else t.pass(target.missing, { skip: target.missing });
  return true;
}
