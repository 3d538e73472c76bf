/** The journal at start: it is made, or what a crash left in it goes into the table. Runs in the writer's thread. */
import { closeSync, constants, fstatSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { prepareAppend } from './append.ts';
import { decodeRecords, type JournalRecord, journalBytes, journalHalfBytes } from './journal-record.ts';
import type { Database } from './schema.ts';

/** The file gets its size before anything depends on it: growing it would make each write slower. */
export function prepareJournal(journal: string): void {
  const fd = openSync(journal, constants.O_RDWR | constants.O_CREAT, 0o600);
  try {
    const { size } = fstatSync(fd);
    if (size >= journalBytes) return;
    writeSync(fd, new Uint8Array(journalBytes - size), 0, journalBytes - size, size);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  // Its name is durable when its directory is.
  const directory = openSync(dirname(journal), 'r');
  fsyncSync(directory);
  closeSync(directory);
}

/** In one transaction of its caller. Throws if the journal is not this file's. */
export function recoverJournal(db: Database, journal: string, file: string): void {
  const bytes = readFileSync(journal);
  const halves = [decodeRecords(bytes.subarray(0, journalHalfBytes)), decodeRecords(bytes.subarray(journalHalfBytes))];
  const sequences = halves.filter((records) => records.length > 0);
  sequences.sort(([a], [b]) => a!.slot - b!.slot);
  for (const records of sequences) recoverRecords(db, records, `${journal} does not belong to ${file}`);
}

/**
 * Each half may hold slots that are in the table, new ones, or first some of those and then some of these:
 *
 *   table … 7 8   journal 6 7 8 9   slot 9 is new, and follows if slot 8 is the same batch in both
 */
function recoverRecords(db: Database, records: readonly JournalRecord[], problem: string): void {
  const [{ slot: first, keyspace }] = records as [JournalRecord];
  const newest = db.prepare('SELECT max(slot) AS slot FROM log WHERE keyspace = ?').get(keyspace) as {
    slot: number | null;
  };
  const inTable = newest.slot ?? -1;
  const following = records.filter(({ slot }) => slot >= inTable);
  if (!following.some(({ slot }) => slot > inTable)) return;
  const append = prepareAppend(db, keyspace);
  for (const { slot, id, data } of following) {
    if (append(slot - 1, id, data) === 'appended') continue;
    throw new Error(
      `${problem}: keyspace ${keyspace} goes on there at slot ${first}, and ends here at slot ${inTable}. ` +
        'If a backup was restored, move the journal out of the way: it is of what was there before',
    );
  }
}
