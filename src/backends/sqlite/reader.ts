/**
 * The connections that read, in a thread of their own: reading never waits for a commit, nor a commit for reading. Each scan
 * has a connection of its own, whose read transaction is its snapshot; everything else reads the newest state. Every call
 * answers a bounded amount, so that a lookup waits for one chunk of a scan at most.
 */
import { statSync } from 'node:fs';
import type { ImageMark, NamedRecord, StorageSize } from '../../registry/image.ts';
import { BackendError } from '../../registry/log.ts';
import { Packer } from './rows.ts';
import { type Database, openDatabase } from './schema.ts';
import type { ThreadSettings } from './writer.ts';

const scansMax = 4;
const chunkRowsMax = 2000;
const chunkBytesMax = 1024 * 1024;

type LogRow = [slot: bigint, id: string, data: Uint8Array];
type HeadRow = [key: Uint8Array, createRevision: bigint, modRevision: bigint, version: bigint, lease: bigint];

/** Rows as arrays with bigints: a lease needs all 64 bits. */
function prepare(db: Database, sql: string) {
  const statement = db.prepare(sql);
  statement.setReturnArrays(true);
  statement.setReadBigInts(true);
  return statement;
}

const selectLog = 'SELECT slot, id, data FROM log WHERE keyspace = ? AND';
const selectMark = 'SELECT slot, revision FROM mark WHERE keyspace = ?';
const selectHead = 'SELECT key, create_revision, mod_revision, version, lease';

function packHead(packer: Packer, [key, createRevision, modRevision, version, lease]: HeadRow): void {
  packer.head({
    key,
    createRevision: Number(createRevision),
    modRevision: Number(modRevision),
    version: Number(version),
    lease,
  });
}

export function openReader({ file, keyspace }: ThreadSettings) {
  const db = openDatabase(file);
  const after = prepare(db, `${selectLog} slot > ? ORDER BY slot LIMIT ?`);
  const atSlot = prepare(db, `${selectLog} slot = ?`);
  const atKey = prepare(db, `${selectHead}, value FROM image WHERE keyspace = ? AND key = ?`);
  const markNow = db.prepare(selectMark);
  const scans = new Map<number, ReturnType<typeof openScan>>();

  function openScan() {
    const snapshot = openDatabase(file);
    snapshot.exec('BEGIN');
    const rows = prepare(snapshot, `${selectHead} FROM image WHERE keyspace = ? AND key > ? ORDER BY key LIMIT ?`);
    const batches = prepare(snapshot, `${selectLog} slot > ? ORDER BY slot LIMIT ?`);
    let key = new Uint8Array();
    return {
      end() {
        // A connection that is closed lives on, with its read transaction, until its statements are garbage.
        snapshot.exec('ROLLBACK');
        snapshot.close();
      },
      // The first statement is what fixes the state that the transaction sees.
      mark: snapshot.prepare(selectMark).get(keyspace) as ImageMark,
      records: snapshot.prepare('SELECT name, data FROM record WHERE keyspace = ?').all(keyspace) as NamedRecord[],
      rows(): Uint8Array {
        const packer = new Packer();
        for (const row of rows.iterate(keyspace, key, chunkRowsMax) as Iterable<HeadRow>) {
          packHead(packer, row);
          key = new Uint8Array(row[0]);
          if (packer.size > chunkBytesMax) break;
        }
        return packer.finish();
      },
      batches: (slot: number) => pack(batches.iterate(keyspace, slot, chunkRowsMax), chunkBytesMax),
    };
  }

  function pack(rows: Iterable<LogRow>, bytesMax: number): Uint8Array {
    const packer = new Packer();
    let bytes = 0;
    for (const [slot, id, data] of rows) {
      bytes += data.byteLength;
      if (packer.size > 0 && bytes > bytesMax) break;
      packer.batch({ slot: Number(slot), id, data });
    }
    return packer.finish();
  }

  function scanOf(id: number) {
    const scan = scans.get(id);
    if (!scan)
      throw new BackendError('failed', 'the snapshot was given up: it kept the write-ahead log from being emptied');
    return scan;
  }

  /** Answers for as many as fit in one answer: their number first, then what was found. */
  function found<Key>(keys: readonly Key[], add: (packer: Packer, key: Key) => void): Uint8Array {
    const packer = new Packer();
    packer.number(0);
    let taken = 0;
    for (const key of keys) {
      add(packer, key);
      taken++;
      if (packer.size > chunkBytesMax) break;
    }
    const bytes = packer.finish();
    new DataView(bytes.buffer).setFloat64(0, taken);
    return bytes;
  }

  return {
    read: (slot: number, batches: number, bytes: number) => pack(after.iterate(keyspace, slot, batches), bytes),

    loadSlots: (slots: readonly number[]) =>
      found(slots, (packer, asked) => {
        const row = atSlot.get(keyspace, asked) as LogRow | undefined;
        if (row) packer.batch({ slot: Number(row[0]), id: row[1], data: row[2] });
      }),

    /** Keys as binary strings: they are cheaper to hand over. */
    loadKeys: (keys: readonly string[]) =>
      found(keys, (packer, key) => {
        const row = atKey.get(keyspace, Buffer.from(key, 'latin1')) as [...HeadRow, Uint8Array] | undefined;
        if (!row) return;
        const [bytes, createRevision, modRevision, version, lease, value] = row;
        packHead(packer, [bytes, createRevision, modRevision, version, lease]);
        packer.bytes(value);
      }),

    mark: (): ImageMark => ({ ...(markNow.get(keyspace) as ImageMark) }),

    size(): StorageSize {
      const [pages] = prepare(db, 'PRAGMA page_count').get() as [bigint];
      const [free] = prepare(db, 'PRAGMA freelist_count').get() as [bigint];
      const [pageBytes] = prepare(db, 'PRAGMA page_size').get() as [bigint];
      const inUse = Number((pages - free) * pageBytes);
      // Without the write-ahead log, as etcd counts: it empties itself. Pages that are only there so far do count.
      return { total: Math.max(statSync(file).size, Number(pages * pageBytes)), inUse };
    },

    beginScan(id: number): { mark: ImageMark; records: readonly NamedRecord[] } {
      if (scans.size >= scansMax) throw new BackendError('failed', `${scansMax} snapshots are being read already`);
      const scan = openScan();
      scans.set(id, scan);
      return { mark: { ...scan.mark }, records: scan.records.map((record) => ({ ...record })) };
    },

    /** Empty: the end. */
    scanRows: (id: number) => scanOf(id).rows(),
    scanBatches: (id: number, slot: number) => scanOf(id).batches(slot),

    endScan(id: number): void {
      scans.get(id)?.end();
      scans.delete(id);
    },

    /** The number of scans that were ended. */
    endAllScans(): number {
      const { size } = scans;
      for (const scan of scans.values()) scan.end();
      scans.clear();
      return size;
    },

    close(): void {
      this.endAllScans();
      db.close();
    },
  };
}

export type Reader = ReturnType<typeof openReader>;
