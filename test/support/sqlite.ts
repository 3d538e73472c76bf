/** What an operator sees in plinth's SQLite file with plain SQL, while plinth runs. */
import path from 'node:path';
import { DatabaseSync } from '@photostructure/sqlite';
import type { ImageRow, Server } from './server.ts';

/** The row of a key in the image, undefined while no checkpoint has brought it there. */
export function sqliteRow(server: Server, key: string): ImageRow | undefined {
  const database = new DatabaseSync(path.join(server.dataDirectory, 'data', 'plinth.db'), { readOnly: true });
  try {
    const row = database.prepare('SELECT value, mod_revision FROM image WHERE key = CAST(? AS BLOB)').get(key) as
      | { value: Uint8Array; mod_revision: number }
      | undefined;
    return row && { value: Buffer.from(row.value), modRevision: row.mod_revision };
  } finally {
    database.close();
  }
}
