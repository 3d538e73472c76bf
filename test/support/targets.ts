/** Everything that the larger suites can run against, by name, with the database behind it. */
import { type SharedBackend, sharedBackends } from './databases.ts';
import { Replicas } from './replicas.ts';
import { type Server, startEtcd, startPlinth, startPlinthBefore } from './server.ts';
import { sqliteRow } from './sqlite.ts';

export type Start = (flags: readonly string[]) => Promise<Server>;

async function sqlite(flags: readonly string[]): Promise<Server> {
  const server = await startPlinth({ backend: 'sqlite', flags });
  server.imageRow = async (key) => sqliteRow(server, key);
  return server;
}

async function shared(backend: SharedBackend, replicas: number, flags: readonly string[]): Promise<Server> {
  if (backend.without) throw new Error(backend.without);
  const database = await backend.start();
  const fresh = database.newDatabase();
  const options = { backend: backend.name, flags: [...fresh.flags(), ...flags] };
  const server = replicas === 1 ? await startPlinth(options) : await Replicas.start(replicas, options);
  server.imageRow = fresh.imageRow;
  const close = server.close.bind(server);
  server.close = async () => {
    await close();
    await database.close();
  };
  return server;
}

const ofDatabases = sharedBackends.flatMap((backend): [string, Start][] => [
  [backend.name, (flags) => shared(backend, 1, flags)],
  [`${backend.name}-replicas`, (flags) => shared(backend, 2, flags)],
]);

export const targets: ReadonlyMap<string, Start> = new Map<string, Start>([
  ['etcd', (flags) => startEtcd({ flags })],
  ['sqlite', sqlite],
  ['memory', (flags) => startPlinth({ backend: 'memory', flags })],
  ...ofDatabases,
  ['etcd3', async (flags) => startPlinthBefore(await startEtcd({ flags }))],
]);

export async function startTarget(name: string, flags: readonly string[] = []): Promise<Server> {
  const start = targets.get(name);
  if (!start) throw new Error(`unknown server ${name}: one of ${[...targets.keys()].join(', ')}`);
  return await start(flags);
}
