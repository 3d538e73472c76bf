/** The tables as this version of plinth writes them. */
import type { Client, Connections } from './connections.ts';
import { codeOf, failureOf, isConflict } from './failure.ts';

/** Goes up when a change of the tables would mislead an older plinth. */
export const schemaVersion = 1;

/**
 * A key is indexed by its first bytes, and by a digest of the rest where there is one: an entry of an index has 2,704 bytes
 * at most.
 */
export const keyBytesIndexed = 2000;

const tables = [
  `CREATE TABLE IF NOT EXISTS plinth_log (
    keyspace TEXT NOT NULL,
    slot BIGINT NOT NULL,
    id TEXT NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (keyspace, slot)
  )`,
  // key holds the whole key unless it is longer than what can be indexed; rest and rest_digest are empty then.
  `CREATE TABLE IF NOT EXISTS plinth_image (
    keyspace TEXT NOT NULL,
    key BYTEA NOT NULL,
    rest_digest BYTEA NOT NULL,
    rest BYTEA NOT NULL,
    create_revision BIGINT NOT NULL,
    mod_revision BIGINT NOT NULL,
    version BIGINT NOT NULL,
    lease BIGINT NOT NULL,
    value BYTEA NOT NULL,
    PRIMARY KEY (keyspace, key, rest_digest)
  )`,
  `CREATE TABLE IF NOT EXISTS plinth_record (
    keyspace TEXT NOT NULL,
    name TEXT NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (keyspace, name)
  )`,
  // Where the image of a keyspace stands, and the number of its newest checkpoint.
  `CREATE TABLE IF NOT EXISTS plinth_mark (
    keyspace TEXT PRIMARY KEY,
    slot BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    fence BIGINT NOT NULL
  )`,
  // The replicas of a keyspace, and when each last said that it lives.
  `CREATE TABLE IF NOT EXISTS plinth_member (
    keyspace TEXT NOT NULL,
    id TEXT NOT NULL,
    data BYTEA NOT NULL,
    seen TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (keyspace, id)
  )`,
  `CREATE TABLE IF NOT EXISTS plinth_secret (keyspace TEXT PRIMARY KEY, secret BYTEA NOT NULL)`,
  `CREATE TABLE IF NOT EXISTS plinth_schema_version (one INTEGER PRIMARY KEY, version INTEGER NOT NULL)`,
];

/** Batches are not compressed: it costs time in every commit. Some databases have no such choice, and need none. */
const storage = 'ALTER TABLE plinth_log ALTER COLUMN data SET STORAGE EXTERNAL';
const notThere = ['0A000', '42601', '42P16', '42804', 'XXUUU'];

/** The relations whose size counts. */
export const tableNames = ['plinth_log', 'plinth_image', 'plinth_record', 'plinth_mark'];

/** Two processes that create the same table at once: one of them may be told that it, or its type, exists. */
const races = ['23505', '42P07', '42710'];
const starting = '57P03';
const pauseMs = 100;

/** Creates what is missing, until `deadlineMs` (of Date.now()); refuses what another version of plinth wrote. */
export async function createSchema(connections: Connections, keyspace: string, deadlineMs: number): Promise<void> {
  for (;;) {
    let client: Client | undefined;
    try {
      client = await connections.dedicated();
      await create(client, keyspace);
      return;
    } catch (error) {
      // A connection refuses to be made with an error that is translated already.
      const again = isConflict(error) || races.includes(codeOf(error)) || codeOf(error) === starting;
      if (!again || Date.now() + pauseMs > deadlineMs) throw failureOf(error, connections.where, 'read');
    } finally {
      if (client) await connections.end(client);
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

/** Undefined: the tables are not there, or not all of them. */
async function versionThere(client: Client): Promise<number | undefined> {
  try {
    const { rows } = await client.query<{ version: number }>('SELECT version FROM plinth_schema_version WHERE one = 1');
    return rows[0] && Number(rows[0].version);
  } catch (error) {
    if (codeOf(error) === '42P01') return undefined;
    throw error;
  }
}

async function create(client: Client, keyspace: string): Promise<void> {
  let version = await versionThere(client);
  // Whoever may not create tables can use those that are there.
  if (version === undefined) {
    for (const table of tables) await client.query(table);
    await client.query(storage).catch((error: unknown) => {
      if (!notThere.includes(codeOf(error))) throw error;
    });
    // Last: its row says that all the others are there.
    await client.query('INSERT INTO plinth_schema_version (one, version) VALUES (1, $1) ON CONFLICT DO NOTHING', [
      schemaVersion,
    ]);
    version = await versionThere(client);
  }
  if (version !== schemaVersion) {
    throw new Error(
      `the database has schema version ${version}, this plinth knows version ${schemaVersion}: use the plinth that wrote it`,
    );
  }
  await client.query(
    'INSERT INTO plinth_mark (keyspace, slot, revision, fence) VALUES ($1, -1, 0, 0) ON CONFLICT DO NOTHING',
    [keyspace],
  );
}
