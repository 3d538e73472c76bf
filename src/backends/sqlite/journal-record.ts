/**
 * What the journal (journal.ts) says of one batch, and how its records are found again after a crash.
 *
 *   byte   0  CRC-32 of all that follows
 *          4  length of the data
 *          8  slot, an 8-byte float
 *         16  length of the id
 *         17  length of the keyspace's name
 *         18  id, keyspace, data
 *
 * Records stand one behind the other from the begin of each half of the file. Those of one half have consecutive slots of one keyspace,
 * so what is left of earlier and longer use ends the sequence: its slots are lower, or it does not begin where a record ends.
 *
 *   slots 7 8 9 written over slots 1 2 3 4, which were of the same length:  7 8 9 | 4   ends after 9
 */
import * as zlib from 'node:zlib';
import type { Batch } from '../../registry/log.ts';

/** Two halves: while one is moved into the table, the other takes what comes. */
export const journalHalfBytes = 4 * 1024 * 1024;
export const journalBytes = 2 * journalHalfBytes;

const fixedBytes = 18;
/** Of a batch that goes through the journal: for a longer one the table costs little more. */
export const journalDataBytesMax = 256 * 1024;
/** With an id and a name of a keyspace of 64 characters. */
export const recordBytesMax = fixedBytes + 64 + 64 + journalDataBytesMax;

/** Stands where no record begins: zeros have another checksum. */
export const noRecord = new Uint8Array(fixedBytes);

export interface JournalRecord extends Batch {
  readonly keyspace: string;
  /** Where the next one begins. */
  readonly end: number;
}

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

export function crc32ByTable(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ crcTable[(crc ^ byte) & 0xff]!;
  return ~crc >>> 0;
}

/** Node has it from 20.15 on. */
const crc32 = (zlib as { crc32?: (data: Uint8Array) => number }).crc32 ?? crc32ByTable;

/** Writes the record to the begin of `into`, which has room for `recordBytesMax`; its length. */
export function encodeRecord(into: Buffer, keyspace: string, { slot, id, data }: Batch): number {
  const dataAt = fixedBytes + id.length + keyspace.length;
  const end = dataAt + data.byteLength;
  into.writeUInt32LE(data.byteLength, 4);
  into.writeDoubleLE(slot, 8);
  into.writeUInt8(id.length, 16);
  into.writeUInt8(keyspace.length, 17);
  into.write(id, fixedBytes, 'latin1');
  into.write(keyspace, fixedBytes + id.length, 'latin1');
  into.set(data, dataAt);
  into.writeUInt32LE(crc32(into.subarray(4, end)), 0);
  return end;
}

/** The record that begins there; undefined: none does that is whole. Its data is a view. */
export function decodeRecord(bytes: Buffer, at: number): JournalRecord | undefined {
  if (at + fixedBytes > bytes.length) return undefined;
  const idAt = at + fixedBytes;
  const keyspaceAt = idAt + bytes.readUInt8(at + 16);
  const dataAt = keyspaceAt + bytes.readUInt8(at + 17);
  const end = dataAt + bytes.readUInt32LE(at + 4);
  if (end > bytes.length || bytes.readUInt32LE(at) !== crc32(bytes.subarray(at + 4, end))) return undefined;
  return {
    slot: bytes.readDoubleLE(at + 8),
    id: bytes.toString('latin1', idAt, keyspaceAt),
    keyspace: bytes.toString('latin1', keyspaceAt, dataAt),
    data: bytes.subarray(dataAt, end),
    end,
  };
}

/** The records from `at` on, as far as each follows the one before. */
export function decodeRecords(bytes: Buffer, at = 0): JournalRecord[] {
  const records: JournalRecord[] = [];
  for (let record = decodeRecord(bytes, at); record; record = decodeRecord(bytes, record.end)) {
    const before = records.at(-1);
    if (before && (record.slot !== before.slot + 1 || record.keyspace !== before.keyspace)) break;
    records.push(record);
  }
  return records;
}
