/** Storage in a Cloud Spanner database, shared by any number of plinths. */
import type { Backend, BuildContext, Storage } from '../../registry/backend.ts';
import type { Options } from '../../registry/flag.ts';
import { clientOptions, Database } from './client.ts';
import { SpannerDirectory } from './directory.ts';
import { SpannerImage } from './image.ts';
import { SpannerLog } from './log.ts';
import { flags, parse, validate } from './options.ts';
import { createSchema } from './schema.ts';
import { Size } from './size.ts';

const buildTimeoutMs = 30_000;

async function build(options: Options, { keyspace }: BuildContext): Promise<Storage> {
  const deadlineMs = Date.now() + buildTimeoutMs;
  const parsed = parse(options);
  // Else the library looks for a machine of the cloud around it, and complains where there is none.
  if (parsed.emulator) process.env.METADATA_SERVER_DETECTION ??= 'none';
  // Only the generated clients: the rest of the package brings telemetry, and a way of its own to retry.
  const { SpannerClient, InstanceAdminClient, DatabaseAdminClient } = await import(
    '@google-cloud/spanner/build/src/v1/index.js'
  );
  const { credentials } = await import('@grpc/grpc-js');
  const settings = clientOptions(parsed, credentials.createInsecure());
  const database = new Database(new SpannerClient(settings), parsed);
  const admin = () => ({
    instances: new InstanceAdminClient(settings),
    databases: new DatabaseAdminClient(settings),
  });
  const begin = async (): Promise<void> => {
    await database.authenticate();
    await createSchema(database, admin, parsed, deadlineMs);
  };
  try {
    await within(deadlineMs, database.where, begin());
  } catch (error) {
    // Not waited for: it may be the very thing that hangs.
    void database.close();
    throw error;
  }
  const size = new Size(database);
  return {
    log: new SpannerLog(database, keyspace, size),
    image: new SpannerImage(database, keyspace, size),
    directory: new SpannerDirectory(database, keyspace),
    close: () => database.close(),
  };
}

async function within(deadlineMs: number, where: string, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const advice = 'check project, instance and database, the network and the load of the instance';
    const message = `spanner: no storage within ${buildTimeoutMs / 1000} s (${where}: ${advice})`;
    timer = setTimeout(() => reject(new Error(message)), deadlineMs - Date.now());
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

export function spanner(): Backend {
  return { name: 'spanner', flags, validate, build };
}
