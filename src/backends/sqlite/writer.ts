/**
 * The one connection that writes, in a thread of its own. Everything here is short: a bounded part of the journal, of a checkpoint or of
 * a truncation, so that an append that comes here waits for one part at most.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { Fenced, type ImageMark, type NamedRecord } from '../../registry/image.ts';
import { BackendError } from '../../registry/log.ts';
import { prepareAppend } from './append.ts';
import { decodeRecords } from './journal-record.ts';
import { prepareJournal, recoverJournal } from './journal-recovery.ts';
import { Unpacker } from './rows.ts';
import { busyTimeoutMs, createSchema, openDatabase, prepareFile, transaction } from './schema.ts';

/** In one step of a truncation: about 10 ms, since a commit that frees pages moves as many from the end of the file. */
const truncateRowsMax = 500;
const truncateBytesMax = 512 * 1024;
/** How long a commit may wait for short reads to leave the write-ahead log before it starts over. */
const restartTimeoutMs = 50;

export interface ThreadSettings {
  readonly file: string;
  readonly journal: string;
  readonly keyspace: string;
}

export function openWriter({ file, journal, keyspace }: ThreadSettings) {
  const db = openDatabase(file);
  prepareFile(db);
  createSchema(db);
  db.prepare('INSERT INTO mark (keyspace, slot, revision, fence) VALUES (?, -1, 0, 0) ON CONFLICT DO NOTHING').run(
    keyspace,
  );

  const idAt = db.prepare('SELECT id FROM log WHERE keyspace = ? AND slot = ?');
  const newestSlot = db.prepare('SELECT slot FROM log WHERE keyspace = ? ORDER BY slot DESC LIMIT 1');
  const oldest = db.prepare(`SELECT slot, length(data) AS bytes FROM log WHERE keyspace = ? AND slot <= ?
    ORDER BY slot LIMIT ${truncateRowsMax}`);
  const deleteThrough = db.prepare('DELETE FROM log WHERE keyspace = ? AND slot <= ?');
  const readMark = db.prepare('SELECT slot, fence FROM mark WHERE keyspace = ?');
  const newFence = db.prepare('UPDATE mark SET fence = fence + 1 WHERE keyspace = ?');
  const moveMark = db.prepare('UPDATE mark SET slot = ?2, revision = ?3 WHERE keyspace = ?1');
  const upsert = db.prepare(`INSERT INTO image (keyspace, key, create_revision, mod_revision, version, lease, value)
    VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET create_revision = excluded.create_revision,
    mod_revision = excluded.mod_revision, version = excluded.version, lease = excluded.lease, value = excluded.value`);
  const deleteRow = db.prepare('DELETE FROM image WHERE keyspace = ? AND key = ?');
  const deleteRecords = db.prepare('DELETE FROM record WHERE keyspace = ?');
  const insertRecord = db.prepare('INSERT INTO record (keyspace, name, data) VALUES (?, ?, ?)');

  const markNow = () => readMark.get(keyspace) as { slot: number; fence: number };
  const newest = () => (newestSlot.get(keyspace) as { slot: number } | undefined)?.slot ?? -1;
  const fenced = (fence: number, work: () => void) =>
    transaction(db, () => {
      if (markNow().fence !== fence) throw new Fenced('a newer checkpoint has begun');
      work();
    });

  const append = prepareAppend(db, keyspace);

  let journalFd: number | undefined;
  /** One for all parts: what is left of each would only be collected much later. */
  let part = Buffer.alloc(0);

  return {
    /** Once, before anything is appended: what a crash left in the journal goes into the table. The slot after the newest. */
    recover(): number {
      prepareJournal(journal);
      transaction(db, () => recoverJournal(db, journal, file));
      return newest() + 1;
    },

    /** The records that stand in this part of the journal. Moving them again is harmless. */
    moveRecords(at: number, end: number): void {
      journalFd ??= openSync(journal, 'r');
      if (part.length < end - at) part = Buffer.allocUnsafeSlow(end - at);
      const bytes = part.subarray(0, end - at);
      readSync(journalFd, bytes, 0, bytes.length, at);
      const records = decodeRecords(bytes);
      if (records.at(-1)?.end !== bytes.length) throw new BackendError('failed', `sqlite: ${journal} is damaged`);
      transaction(db, () => {
        for (const { slot, id, data } of records) {
          const outcome = append(slot - 1, id, data);
          if (outcome !== 'appended')
            throw new BackendError('failed', `sqlite: slot ${slot} of ${journal}: ${outcome}`);
        }
      });
    },

    append,

    nextSlot: (): number => newest() + 1,

    /** Drops the first part of what is to go; true: all of it is gone. */
    truncate(through: number): boolean {
      return transaction(db, () => {
        if (through >= newest()) throw new BackendError('failed', `truncate through ${through}: the newest slot stays`);
        const { slot } = markNow();
        if (through > slot)
          throw new BackendError('failed', `truncate through ${through}: the image only covers ${slot}`);
        let last = -1;
        let bytes = 0;
        for (const row of oldest.all(keyspace, through) as { slot: number; bytes: number }[]) {
          bytes += row.bytes;
          if (last >= 0 && bytes > truncateBytesMax) break;
          last = row.slot;
        }
        if (last < 0) return true;
        deleteThrough.run(keyspace, last);
        return last === through;
      });
    },

    begin(): number {
      return transaction(db, () => {
        newFence.run(keyspace);
        return markNow().fence;
      });
    },

    write(fence: number, changes: Uint8Array): void {
      fenced(fence, () => {
        for (const change of new Unpacker(changes).rest((unpacker) => unpacker.change())) {
          if ('deleted' in change) deleteRow.run(keyspace, change.key);
          else {
            const { key, createRevision, modRevision, version, lease, value } = change;
            upsert.run(keyspace, key, createRevision, modRevision, version, lease, value);
          }
        }
      });
    },

    finish(fence: number, mark: ImageMark, records: readonly NamedRecord[]): void {
      fenced(fence, () => {
        const { slot } = markNow();
        if (mark.slot < slot || (mark.slot > slot && !idAt.get(keyspace, mark.slot))) {
          throw new BackendError('failed', `the image cannot go from slot ${slot} to slot ${mark.slot}`);
        }
        moveMark.run(keyspace, mark.slot, mark.revision);
        deleteRecords.run(keyspace);
        for (const { name, data } of records) insertRecord.run(keyspace, name, data);
      });
    },

    /**
     * Lets the write-ahead log start over from its beginning. Its pages are in the database already, but for the last few
     * (wal.ts sees to that), so this is one short wait for the disk. False: somebody reads an old state from it.
     */
    restartWal(truncate: boolean): boolean {
      db.exec(`PRAGMA busy_timeout = ${restartTimeoutMs}`);
      try {
        const row = db.prepare(`PRAGMA wal_checkpoint(${truncate ? 'TRUNCATE' : 'RESTART'})`).get() as { busy: number };
        return row.busy === 0;
      } finally {
        db.exec(`PRAGMA busy_timeout = ${busyTimeoutMs}`);
      }
    },

    close(): void {
      if (journalFd !== undefined) closeSync(journalFd);
      db.close();
    },
  };
}

export type Writer = ReturnType<typeof openWriter>;
