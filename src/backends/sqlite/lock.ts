/**
 * One plinth per data directory: an SQLite lock on an empty file of its own, held as long as the storage is open. The
 * operating system frees it with the process, however that ends. Not on the database itself, whose three connections
 * could not live with it; and held in the main thread, so that it outlives a worker that died.
 */
import { existsSync } from 'node:fs';

/** Opening and locking an empty file: microseconds, once. */
export async function lockDirectory(file: string, dataDir: string): Promise<() => void> {
  const { DatabaseSync } = await import('@photostructure/sqlite');
  const db = new DatabaseSync(file);
  try {
    db.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (error) {
    db.close();
    if ((error as { errcode?: number }).errcode !== 5 || !existsSync(file)) throw error;
    throw new Error(`data directory ${dataDir} is in use by another plinth: stop it, or choose another --data-dir`);
  }
  return () => db.close();
}
