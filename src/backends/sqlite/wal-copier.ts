/**
 * The connection that copies committed pages from the write-ahead log into the database, in a thread of its own: that is
 * where the time of a WAL checkpoint goes, and it holds up neither commits nor readers.
 */
import { openDatabase } from './schema.ts';
import type { ThreadSettings } from './writer.ts';

export interface WalPages {
  /** In the write-ahead log since it last started over. */
  readonly log: number;
  /** Of these, already in the database. */
  readonly checkpointed: number;
}

export function openWalCopier({ file }: ThreadSettings) {
  const db = openDatabase(file);
  return {
    copy(): WalPages {
      const { log, checkpointed } = db.prepare('PRAGMA wal_checkpoint(PASSIVE)').get() as WalPages;
      return { log, checkpointed };
    },

    close(): void {
      db.close();
    },
  };
}

export type WalCopier = ReturnType<typeof openWalCopier>;
