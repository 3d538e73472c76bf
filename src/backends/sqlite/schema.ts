/** The file as this version of plinth writes it: how a connection is opened, and the tables. Runs in the worker threads. */
import { DatabaseSync, type DatabaseSyncInstance } from '@photostructure/sqlite';
import { pageBytes } from './options.ts';

export type Database = DatabaseSyncInstance;

/** Goes up when an older plinth would be misled: version 1 knew of no journal, and would not look there for the newest slots. */
export const schemaVersion = 2;

/**
 * The write-ahead log is cut to this size when it starts over. Above the size it has between two checkpoints (wal.ts):
 * writing over a file that has its size makes fdatasync cheaper than growing it.
 */
const walBytesKept = 64 * 1024 * 1024;

/** Another program (an operator's SQL shell) may hold the file for a moment. */
export const busyTimeoutMs = 5000;

const tables = `
  CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL);

  -- Append-only, cut off from the front. A rowid table: its rows are large, and a page of a WITHOUT ROWID table would
  -- keep a quarter of each row only.
  CREATE TABLE IF NOT EXISTS log (
    keyspace TEXT NOT NULL,
    slot INTEGER NOT NULL,
    id TEXT NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (keyspace, slot)
  );

  -- In key order on disk, for a start that reads all of it; the value last, so that reading the rest passes it by.
  CREATE TABLE IF NOT EXISTS image (
    keyspace TEXT NOT NULL,
    key BLOB NOT NULL,
    create_revision INTEGER NOT NULL,
    mod_revision INTEGER NOT NULL,
    version INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (keyspace, key)
  ) WITHOUT ROWID;

  CREATE TABLE IF NOT EXISTS record (
    keyspace TEXT NOT NULL,
    name TEXT NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (keyspace, name)
  ) WITHOUT ROWID;

  -- Where the image of a keyspace stands, and the number of its newest checkpoint.
  CREATE TABLE IF NOT EXISTS mark (
    keyspace TEXT PRIMARY KEY,
    slot INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    fence INTEGER NOT NULL
  ) WITHOUT ROWID;
`;

/**
 * Makes the file what it is, through the connection that creates its tables. Page size and auto_vacuum take effect on an
 * empty file only, and before the journal mode; setting them takes the write lock, so readers do not.
 *
 * auto_vacuum FULL, not INCREMENTAL: rows are freed in bounded steps, so each commit moves a bounded number of pages, and no
 * list of free pages builds up that a later vacuum would have to search.
 */
export function prepareFile(db: Database): void {
  db.exec(`PRAGMA page_size = ${pageBytes}; PRAGMA auto_vacuum = FULL; PRAGMA journal_mode = WAL;
    PRAGMA journal_size_limit = ${walBytesKept}`);
}

/**
 * Settings of every connection. The caller keeps the handle: a DatabaseSync that is only reachable through its statements
 * is closed under them.
 */
export function openDatabase(file: string, lockTimeoutMs = busyTimeoutMs): Database {
  const db = new DatabaseSync(file, { timeout: lockTimeoutMs });
  db.exec('PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -8192');
  return db;
}

/** Creates the tables where they are missing; refuses a file that is not plinth's, or that a newer plinth wrote. */
export function createSchema(db: Database): void {
  transaction(db, () => {
    const names = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all() as { name: string }[];
    if (names.length > 0 && !names.some(({ name }) => name === 'schema_version')) {
      throw new Error('the file is an SQLite database, but not one of plinth');
    }
    db.exec(tables);
    const row = db.prepare('SELECT version FROM schema_version').get() as { version: number } | undefined;
    if (!row) db.prepare('INSERT INTO schema_version (version) VALUES (?)').run(schemaVersion);
    else if (row.version < schemaVersion) db.prepare('UPDATE schema_version SET version = ?').run(schemaVersion);
    else if (row.version > schemaVersion) {
      throw new Error(
        `the file has schema version ${row.version}, this plinth knows version ${schemaVersion}: use the plinth that wrote it`,
      );
    }
  });
}

/** All of `work` or nothing. IMMEDIATE: the write lock is taken at the start, so nothing read in `work` is stale. */
export function transaction<T>(db: Database, work: () => T): T {
  db.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    db.exec('COMMIT');
    return result;
  } catch (error) {
    // SQLite has rolled back by itself after some errors (disk full, I/O).
    if (db.isTransaction) db.exec('ROLLBACK');
    throw error;
  }
}
