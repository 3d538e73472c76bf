/** Replicas of plinth on one shared database. */
import path from 'node:path';
import { type DatabaseServer, sharedBackends } from '../test/support/databases.ts';
import { repositoryRoot } from '../test/support/process.ts';
import type { Server } from '../test/support/server.ts';
import { type PlinthStart, startCompiledPlinth } from './servers.ts';

/** Each commit takes 7 ms more, as with a real regional instance. */
export const slowCommits: PlinthStart = {
  program: path.join(repositoryRoot, 'bench', 'slow-commits.ts'),
  node: ['--import', 'tsx'],
};

/** What a replica on a small machine of its own may use of a core: with all on two cores there is nothing to be gained by more of them. */
export const smallMachine = 0.2;
export const smallMachineName = `${smallMachine * 100} % of a core each`;

/** A database server for this backend, fresh. */
export async function startDatabase(backend: string): Promise<DatabaseServer> {
  const shared = sharedBackends.find(({ name }) => name === backend);
  if (!shared || shared.without) throw new Error(shared?.without || backend);
  return await shared.start();
}

/** On a new database (a keyspace of its own) of this server. */
export async function startReplicas(database: DatabaseServer, count: number, options: PlinthStart): Promise<Server[]> {
  const flags = [...database.newDatabase().flags(), ...(options.flags ?? [])];
  const servers: Server[] = [];
  for (let i = 0; i < count; i++) servers.push(await startCompiledPlinth({ ...options, flags }));
  return servers;
}

/** Puts that each replica has answered so far. */
export function putsOf(servers: readonly Server[]): Promise<number[]> {
  return Promise.all(
    servers.map(async ({ endpoint }) => {
      const metrics = await (await fetch(`http://${endpoint.replace(/^http:\/\//, '')}/metrics`)).text();
      const line = metrics.split('\n').find((text) => /^grpc_server_handled_total\{.*"Put".*"OK"/.test(text));
      return Number(line?.split(' ').at(-1) ?? 0);
    }),
  );
}

/** What the one with the fewest puts did of what it would have if all had done the same, from 0 to 1. */
export function slowestShare(puts: readonly number[]): number {
  return (Math.min(...puts) * puts.length) / puts.reduce((sum, count) => sum + count, 0);
}
