/** The tables as this version of plinth writes them, and how they come to be. */
import type { protos, v1 } from '@google-cloud/spanner';
import type { Database } from './client.ts';
import { Code, codeOf, detailsOf, failureOf, missingResource } from './failure.ts';
import type { SpannerOptions } from './options.ts';
import { insert } from './values.ts';

/** Goes up when a change of the tables would mislead an older plinth. */
export const schemaVersion = 1;

/** A primary key has 8 KiB at most: a longer key is stored by its first bytes and a digest of the rest. */
export const keyBytesIndexed = 4000;

const tables = [
  // guard: written by who appends the next slot, so that the commit fails where this one is gone. Nobody reads it.
  `CREATE TABLE IF NOT EXISTS plinth_log (
    keyspace STRING(64) NOT NULL,
    slot INT64 NOT NULL,
    id STRING(64) NOT NULL,
    guard STRING(64),
    data BYTES(MAX) NOT NULL,
  ) PRIMARY KEY (keyspace, slot)`,
  // A keyspace that ever had a slot 0.
  `CREATE TABLE IF NOT EXISTS plinth_keyspace (keyspace STRING(64) NOT NULL) PRIMARY KEY (keyspace)`,
  // key holds the whole key unless it is longer than what can be indexed; rest and rest_digest are empty then.
  `CREATE TABLE IF NOT EXISTS plinth_image (
    keyspace STRING(64) NOT NULL,
    key BYTES(${keyBytesIndexed}) NOT NULL,
    rest_digest BYTES(32) NOT NULL,
    rest BYTES(MAX) NOT NULL,
    create_revision INT64 NOT NULL,
    mod_revision INT64 NOT NULL,
    version INT64 NOT NULL,
    lease INT64 NOT NULL,
    value BYTES(MAX) NOT NULL,
  ) PRIMARY KEY (keyspace, key, rest_digest)`,
  `CREATE TABLE IF NOT EXISTS plinth_record (
    keyspace STRING(64) NOT NULL,
    name STRING(128) NOT NULL,
    data BYTES(MAX) NOT NULL,
  ) PRIMARY KEY (keyspace, name)`,
  `CREATE TABLE IF NOT EXISTS plinth_mark (
    keyspace STRING(64) NOT NULL,
    slot INT64 NOT NULL,
    revision INT64 NOT NULL,
  ) PRIMARY KEY (keyspace)`,
  // The newest checkpoint; each of its commits writes guard, and fails once a newer one has replaced the row.
  `CREATE TABLE IF NOT EXISTS plinth_fence (
    keyspace STRING(64) NOT NULL,
    epoch INT64 NOT NULL,
    guard STRING(64),
  ) PRIMARY KEY (keyspace, epoch)`,
  `CREATE TABLE IF NOT EXISTS plinth_member (
    keyspace STRING(64) NOT NULL,
    id STRING(64) NOT NULL,
    data BYTES(MAX) NOT NULL,
    seen TIMESTAMP NOT NULL OPTIONS (allow_commit_timestamp = true),
  ) PRIMARY KEY (keyspace, id)`,
  `CREATE TABLE IF NOT EXISTS plinth_secret (
    keyspace STRING(64) NOT NULL,
    secret BYTES(64) NOT NULL,
  ) PRIMARY KEY (keyspace)`,
  `CREATE TABLE IF NOT EXISTS plinth_schema_version (
    one INT64 NOT NULL,
    version INT64 NOT NULL,
  ) PRIMARY KEY (one)`,
];

const pauseMs = 200;

export interface AdminClients {
  readonly instances: v1.InstanceAdminClient;
  readonly databases: v1.DatabaseAdminClient;
}

/** Creates what is missing, until `deadlineMs` (of Date.now()); refuses what another version of plinth wrote. */
export async function createSchema(
  database: Database,
  admin: () => AdminClients,
  options: SpannerOptions,
  deadlineMs: number,
): Promise<void> {
  for (;;) {
    try {
      await create(database, admin, options);
      return;
    } catch (error) {
      const passing: (number | undefined)[] = [Code.UNAVAILABLE, Code.ABORTED, Code.DEADLINE_EXCEEDED];
      // Another process changes the schema at this moment.
      const busy = codeOf(error) === Code.FAILED_PRECONDITION && /schema/i.test(detailsOf(error));
      if (!(busy || passing.includes(codeOf(error))) || Date.now() + pauseMs > deadlineMs) {
        throw failureOf(error, database.where, 'read');
      }
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

async function create(database: Database, admin: () => AdminClients, options: SpannerOptions): Promise<void> {
  let version = await versionThere(database, options);
  if (version === undefined) {
    const { instances, databases } = admin();
    try {
      if (options.create) await createDatabase(instances, databases, options);
      const [operation] = await databases.updateDatabaseDdl({ database: database.path, statements: tables });
      await operation.promise();
    } finally {
      await Promise.all([instances.close(), databases.close()]);
    }
    // Last: its row says that all the others are there.
    await database.commit([insert('plinth_schema_version', { one: 1, version: schemaVersion })]).catch((error) => {
      if (codeOf(error) !== Code.ALREADY_EXISTS) throw error;
    });
    version = await versionThere(database, options);
  }
  if (version !== schemaVersion) {
    throw new Error(
      `the database has schema version ${version}, this plinth knows version ${schemaVersion}: use the plinth that wrote it`,
    );
  }
}

/** Undefined: the tables are not there, or not all of them. */
async function versionThere(database: Database, { create }: SpannerOptions): Promise<number | undefined> {
  try {
    const request = { table: 'plinth_schema_version', columns: ['version'], keys: [[1]] };
    const [row] = await database.read(request);
    return row && Number(row[0]?.stringValue);
  } catch (error) {
    const missing = (error as Error).message;
    if (/Table not found/i.test(missing)) return undefined;
    if (create && /(Database|Instance) (not found|does not exist)/i.test(missing)) return undefined;
    throw error;
  }
}

async function createDatabase(
  instances: v1.InstanceAdminClient,
  databases: v1.DatabaseAdminClient,
  { project, instance, database, emulator }: SpannerOptions,
): Promise<void> {
  const parent = `projects/${project}`;
  if (emulator) {
    const config = `${parent}/instanceConfigs/emulator-config`;
    const request = { parent, instanceId: instance, instance: { config, displayName: instance, nodeCount: 1 } };
    await unlessThere(
      instances.createInstance(request as protos.google.spanner.admin.instance.v1.ICreateInstanceRequest),
    );
  }
  const createStatement = `CREATE DATABASE \`${database}\``;
  await unlessThere(databases.createDatabase({ parent: `${parent}/instances/${instance}`, createStatement }));
}

/** Waits for what was begun; it is no failure that it was there before. */
async function unlessThere(begun: Promise<readonly [{ promise(): Promise<unknown> }, ...unknown[]]>): Promise<void> {
  try {
    const [operation] = await begun;
    await operation.promise();
  } catch (error) {
    if (codeOf(error) !== Code.ALREADY_EXISTS || missingResource(error) !== undefined) throw error;
  }
}
