/** A snapshot: everything is read as it was at one moment, which the service keeps readable for an hour at least. */
import type { ImageMark, ImageRowHead, Snapshot } from '../../registry/image.ts';
import { BackendError, type Batch } from '../../registry/log.ts';
import type { Database, Row, Timestamp } from './client.ts';
import { batchOf, logColumns, slotsAfter } from './log.ts';
import { headColumns, headOf } from './rows.ts';
import { keyBytesIndexed } from './schema.ts';
import { bytesOf, keyOf, numberOf, textOf } from './values.ts';

const chunkRowsMax = 2000;

export function markOf(rows: readonly Row[]): ImageMark {
  const [row] = rows;
  return row === undefined ? { slot: -1, revision: 0 } : { slot: numberOf(row[0]), revision: numberOf(row[1]) };
}

export async function openScan(database: Database, keyspace: string): Promise<Snapshot> {
  const rows: Row[] = [];
  let at: Timestamp | undefined;
  for await (const chunk of database.stream({
    table: 'plinth_mark',
    columns: ['slot', 'revision'],
    keys: [[keyspace]],
  })) {
    at ??= chunk.readAt;
    rows.push(...chunk.rows);
  }
  if (at === undefined) throw new BackendError('failed', `spanner: a read without a timestamp (${database.where})`);
  const mark = markOf(rows);
  const range = { startClosed: keyOf([keyspace]), endClosed: keyOf([keyspace]) };
  const records = await database.read({ table: 'plinth_record', columns: ['name', 'data'], range, at });
  return {
    mark,
    records: records.map(([name, data]) => ({ name: textOf(name), data: bytesOf(data) })),
    rows: heads(database, keyspace, at),
    batches: batches(database, keyspace, mark.slot, at),
  };
}

async function* heads(database: Database, keyspace: string, at: Timestamp): AsyncGenerator<ImageRowHead[]> {
  const range = { startClosed: keyOf([keyspace]), endClosed: keyOf([keyspace]) };
  /** Long keys that begin with the same bytes are stored in the order of their digests. */
  let alike: ImageRowHead[] = [];
  for await (const { rows } of database.stream({ table: 'plinth_image', columns: headColumns, range, at })) {
    const ready: ImageRowHead[] = [];
    for (const row of rows.map(headOf)) {
      if (alike.length > 0 && !beginAlike(alike[0] as ImageRowHead, row)) {
        ready.push(...alike.sort((a, b) => Buffer.compare(a.key, b.key)));
        alike = [];
      }
      if (row.key.length >= keyBytesIndexed) alike.push(row);
      else ready.push(row);
    }
    for (let start = 0; start < ready.length; start += chunkRowsMax) yield ready.slice(start, start + chunkRowsMax);
  }
  if (alike.length > 0) yield alike.sort((a, b) => Buffer.compare(a.key, b.key));
}

function beginAlike(a: ImageRowHead, b: ImageRowHead): boolean {
  return Buffer.compare(a.key.subarray(0, keyBytesIndexed), b.key.subarray(0, keyBytesIndexed)) === 0;
}

async function* batches(database: Database, keyspace: string, after: number, at: Timestamp): AsyncGenerator<Batch[]> {
  const range = slotsAfter(keyspace, after);
  for await (const { rows } of database.stream({ table: 'plinth_log', columns: logColumns, range, at })) {
    if (rows.length > 0) yield rows.map(batchOf);
  }
}
