/** SQLite storages in temporary directories, and what lies below them. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from '@photostructure/sqlite';
import type { Test } from 'tap';
import { sqlite } from '../../../../src/backends/sqlite/backend.ts';
import type { Storage } from '../../../../src/registry/backend.ts';
import { temporaryDirectory } from '../../../support/process.ts';

export interface Place {
  readonly dataDir: string;
  readonly file: string;
  readonly warnings: string[];
  /** Closed when the test ends. */
  open(keyspace?: string): Promise<Storage>;
}

export function place(t: Test): Place {
  const dataDir = temporaryDirectory('sqlite');
  const storages: Storage[] = [];
  const warnings: string[] = [];
  t.teardown(async () => {
    for (const storage of storages) await storage.close();
    await rm(dataDir, { recursive: true, force: true });
  });
  return {
    dataDir,
    file: join(dataDir, 'plinth.db'),
    warnings,
    async open(keyspace = 'default') {
      const options = new Map([['sqlite-wal-bytes-max', 64 * 1024 * 1024]]);
      const storage = await sqlite().build(options, { dataDir, keyspace, warn: (message) => warnings.push(message) });
      storages.push(storage);
      return storage;
    },
  };
}

/** One statement by another connection, as an operator would run it. */
export function query(file: string, sql: string): unknown[] {
  const db = new DatabaseSync(file);
  try {
    return db.prepare(sql).all();
  } finally {
    db.close();
  }
}
