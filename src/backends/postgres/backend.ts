/** Storage in a PostgreSQL database, shared by any number of plinths. */
import type { Backend, BuildContext, Storage } from '../../registry/backend.ts';
import type { Options } from '../../registry/flag.ts';
import { Connections } from './connections.ts';
import { PostgresDirectory } from './directory.ts';
import { Hints } from './hints.ts';
import { PostgresImage } from './image.ts';
import { PostgresLog } from './log.ts';
import { flags, parse, validate } from './options.ts';
import { createSchema } from './schema.ts';

const buildTimeoutMs = 30_000;

async function build(options: Options, { keyspace, warn }: BuildContext): Promise<Storage> {
  const deadlineMs = Date.now() + buildTimeoutMs;
  const { default: pg } = await import('pg');
  const connections = new Connections(pg, parse(options));
  const hints = new Hints(connections, keyspace, warn);
  try {
    await within(deadlineMs, connections.where, async () => {
      await createSchema(connections, keyspace, deadlineMs);
      await hints.start();
    });
  } catch (error) {
    // Not waited for: it may be the very thing that hangs.
    void hints.close().then(() => connections.close());
    throw error;
  }
  const image = new PostgresImage(connections, keyspace, warn);
  let closing: Promise<void> | undefined;
  return {
    log: new PostgresLog(connections, hints, keyspace),
    image,
    directory: new PostgresDirectory(connections, keyspace),
    close() {
      closing ??= Promise.all([hints.close(), image.close(), connections.close()]).then(() => {});
      return closing;
    },
  };
}

async function within(deadlineMs: number, where: string, work: () => Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const message = `postgres: no storage within ${buildTimeoutMs / 1000} s (${where}: check the database's load and locks)`;
    timer = setTimeout(() => reject(new Error(message)), deadlineMs - Date.now());
  });
  try {
    await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}

export function postgres(): Backend {
  return { name: 'postgres', flags, validate, build };
}
