import type { Test } from 'tap';
import { type Certificates, withoutOpenssl } from '../../support/certificates.ts';
import { isMissing } from '../../support/demand.ts';
import { Replicas } from '../../support/replicas.ts';
import { findEtcd, type Server, startEtcd, startPlinth, startPlinthBefore } from '../../support/server.ts';

/** What the suite runs against: starts fresh, empty servers. */
export interface Target {
  readonly name: string;
  /** Why the suite cannot run here. */
  readonly missing?: string | undefined;
  /** It passes everything on, and stores nothing. */
  readonly relays?: boolean;
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

/** The same, with clients that come by TLS. `certificates` makes them when the first server is started. */
export function byTls(target: 'etcd' | 'sqlite' | 'memory', certificates: () => Certificates): Target {
  if (target === 'etcd') {
    const missing = etcd.missing ?? (withoutOpenssl() || undefined);
    return { name: 'etcd, TLS', missing, start: (flags) => startEtcd({ flags, tls: certificates() }) };
  }
  return {
    name: `plinth on ${target}, TLS`,
    missing: withoutOpenssl() || undefined,
    start: (flags) => startPlinth({ backend: target, flags, tls: certificates() }),
  };
}

/** `database` gives the flags of a new, empty one. With more than one replica each connection goes to the next one. */
export function plinthOn(backend: string, database: () => readonly string[], replicas = 1): Target {
  return {
    name: `plinth on ${backend}${replicas === 1 ? '' : `, ${replicas} replicas`}`,
    start(flags) {
      const options = { backend, flags: [...database(), ...flags] };
      return replicas === 1 ? startPlinth(options) : Replicas.start(replicas, options);
    },
  };
}

/** The flags are those of the etcd behind. */
export const etcdBehind: Target = {
  ...etcd,
  name: 'plinth before etcd',
  relays: true,
  start: async (flags) => await startPlinthBefore(await startEtcd({ flags })),
};

/** A fresh server that is stopped with the test. */
export async function fresh(t: Test, target: Target, ...flags: string[]): Promise<Server> {
  const server = await target.start(flags);
  t.teardown(() => server.close());
  return server;
}

/** True (and visible in the output) when the target is not there. In continuous integration that is a failure. */
export function skipped(t: Test, target: Target): boolean {
  return isMissing(t, target.missing ?? false);
}
