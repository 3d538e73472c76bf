/**
 * The log's language: a batch is a header and records, one after the other. What is not a key is a record too, so that every
 * replica agrees on it; only a `revision` takes a revision.
 *
 *   batch    = format (1 byte, 1)  base revision (varint: the revision before the batch)  record*
 *   record   = kind (1 byte)  fields
 *   revision = change* 0         change = length + 1 (varint)  mvccpb.KeyValue
 *   ids are 8 bytes big-endian, numbers varints
 *
 * A change holds the KeyValue just as clients get it (a deletion: key and mod_revision only), so bytes are copied, never
 * encoded again. A kind or format that this version does not know stops the replica: skipping it would make replicas differ.
 */

import { varintSize, writeVarint } from '../proto/wire.ts';
import { decodeKeyValue, type KeyValueHead, keyValueSize, writeKeyValue } from './key-value.ts';
import type { Key } from './requests.ts';
import { Segment } from './segment.ts';
import { Version } from './version.ts';

export interface Change {
  readonly key: Key;
  readonly version: Version;
}

/** All changes of one client request. */
export interface RevisionRecord {
  readonly kind: 'revision';
  readonly revision: number;
  readonly changes: readonly Change[];
}

export type LogRecord =
  | RevisionRecord
  /** Slot 0. */
  | { readonly kind: 'genesis'; readonly clusterId: bigint }
  | { readonly kind: 'leaseGrant'; readonly id: bigint; readonly ttlSeconds: number }
  | { readonly kind: 'leaseKeepAlive'; readonly id: bigint }
  /** The lease only: the keys it takes along are a revision of the same batch. */
  | { readonly kind: 'leaseRevoke'; readonly id: bigint }
  | { readonly kind: 'compact'; readonly revision: number }
  | { readonly kind: 'alarm'; readonly memberId: bigint; readonly alarm: number; readonly active: boolean }
  /** From here on only what a replica forwards in this epoch is executed (see forwarder.ts). */
  | { readonly kind: 'epoch'; readonly replica: bigint; readonly epoch: number }
  /** What follows was asked for by this replica, under this number. */
  | { readonly kind: 'forwarded'; readonly replica: bigint; readonly sequence: number };

const format = 1;
const Kind = {
  genesis: 1,
  revision: 2,
  leaseGrant: 3,
  leaseKeepAlive: 4,
  leaseRevoke: 5,
  compact: 6,
  alarm: 7,
  epoch: 8,
  forwarded: 9,
} as const;

/** Writes one batch. What was written can be taken back to a mark, so that a refused request leaves no trace. */
export class BatchWriter {
  /** The bytes so far, and after `seal` the whole batch: versions made here point into it. */
  readonly segment: Segment;
  #buffer: Buffer;
  #length = 0;

  constructor(baseRevision: number, capacity: number) {
    // Not from Node's pool: a large batch stays in the cache for long, and would keep its neighbours there alive.
    this.#buffer = Buffer.allocUnsafeSlow(capacity + 16);
    this.segment = new Segment(this.#buffer);
    this.#buffer[0] = format;
    this.#length = writeVarint(this.#buffer, 1, baseRevision);
  }

  get length(): number {
    return this.#length;
  }

  /** Takes back what was written after `length` was this. */
  resetTo(length: number): void {
    this.#length = length;
  }

  #reserve(size: number): void {
    const needed = this.#length + size;
    if (needed <= this.#buffer.length) return;
    // The old buffer stays as it is: answers may already refer to it.
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
    this.segment.bytes = grown;
  }

  beginRevision(): void {
    this.#reserve(1);
    this.#buffer[this.#length++] = Kind.revision;
  }

  change(head: KeyValueHead, value: Uint8Array | undefined): Version {
    const size = keyValueSize(head, value?.length ?? 0);
    this.#reserve(varintSize(size + 1) + size);
    const offset = writeVarint(this.#buffer, this.#length, size + 1);
    this.#length = writeKeyValue(this.#buffer, offset, head, value);
    return new Version(
      head.modRevision,
      head.createRevision,
      head.version,
      head.lease,
      this.segment,
      offset,
      this.#length - offset,
    );
  }

  endRevision(): void {
    this.#reserve(1);
    this.#buffer[this.#length++] = 0;
  }

  /** Writes a record that is not a revision. */
  record(record: Exclude<LogRecord, RevisionRecord>): void {
    this.#reserve(32);
    const buffer = this.#buffer;
    buffer[this.#length++] = Kind[record.kind];
    switch (record.kind) {
      case 'genesis':
        this.#length = buffer.writeBigUInt64BE(record.clusterId, this.#length);
        break;
      case 'leaseGrant':
        this.#length = buffer.writeBigInt64BE(record.id, this.#length);
        this.#length = writeVarint(buffer, this.#length, record.ttlSeconds);
        break;
      case 'leaseKeepAlive':
      case 'leaseRevoke':
        this.#length = buffer.writeBigInt64BE(record.id, this.#length);
        break;
      case 'compact':
        this.#length = writeVarint(buffer, this.#length, record.revision);
        break;
      case 'alarm':
        this.#length = buffer.writeBigUInt64BE(record.memberId, this.#length);
        buffer[this.#length++] = record.alarm;
        buffer[this.#length++] = record.active ? 1 : 0;
        break;
      case 'epoch':
        this.#length = buffer.writeBigUInt64BE(record.replica, this.#length);
        this.#length = writeVarint(buffer, this.#length, record.epoch);
        break;
      case 'forwarded':
        this.#length = buffer.writeBigUInt64BE(record.replica, this.#length);
        this.#length = writeVarint(buffer, this.#length, record.sequence);
    }
  }

  /** Ends the batch: its bytes without spare room. */
  seal(): Buffer {
    const used = this.#buffer.subarray(0, this.#length);
    if (this.#length * 4 >= this.#buffer.length * 3) {
      this.segment.bytes = used;
      return used;
    }
    const sealed = Buffer.allocUnsafeSlow(this.#length);
    used.copy(sealed);
    this.segment.bytes = sealed;
    return sealed;
  }
}

export interface DecodedBatch {
  /** The revision before the batch. */
  readonly baseRevision: number;
  readonly records: readonly LogRecord[];
  /** The bytes that the versions of `records` point into. */
  readonly segment: Segment;
}

export class UnknownRecord extends Error {
  override readonly name = 'UnknownRecord';
}

/** Reads a batch. Throws UnknownRecord for what this version does not know, Error for damaged bytes. */
export function decodeBatch(data: Uint8Array): DecodedBatch {
  const buffer = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const reader = new Reader(buffer);
  const batchFormat = reader.byte();
  if (batchFormat !== format) throw new UnknownRecord(`batch of format ${batchFormat}; this version knows ${format}`);
  const baseRevision = reader.varint();
  const segment = new Segment(buffer);
  const records: LogRecord[] = [];
  let revision = baseRevision;
  while (reader.at < buffer.length) {
    const kind = reader.byte();
    switch (kind) {
      case Kind.revision:
        revision++;
        records.push({ kind: 'revision', revision, changes: readChanges(reader, revision, segment) });
        break;
      case Kind.genesis:
        records.push({ kind: 'genesis', clusterId: BigInt.asUintN(64, reader.int64()) });
        break;
      case Kind.leaseGrant:
        records.push({ kind: 'leaseGrant', id: reader.int64(), ttlSeconds: reader.varint() });
        break;
      case Kind.leaseKeepAlive:
        records.push({ kind: 'leaseKeepAlive', id: reader.int64() });
        break;
      case Kind.leaseRevoke:
        records.push({ kind: 'leaseRevoke', id: reader.int64() });
        break;
      case Kind.compact:
        records.push({ kind: 'compact', revision: reader.varint() });
        break;
      case Kind.alarm:
        records.push({
          kind: 'alarm',
          memberId: BigInt.asUintN(64, reader.int64()),
          alarm: reader.byte(),
          active: reader.byte() === 1,
        });
        break;
      case Kind.epoch:
        records.push({ kind: 'epoch', replica: BigInt.asUintN(64, reader.int64()), epoch: reader.varint() });
        break;
      case Kind.forwarded:
        records.push({ kind: 'forwarded', replica: BigInt.asUintN(64, reader.int64()), sequence: reader.varint() });
        break;
      default:
        throw new UnknownRecord(`record of kind ${kind}, which this version does not know`);
    }
  }
  return { baseRevision, records, segment };
}

function readChanges(reader: Reader, revision: number, segment: Segment): Change[] {
  const changes: Change[] = [];
  for (let size = reader.varint(); size > 0; size = reader.varint()) {
    const offset = reader.at;
    const length = size - 1;
    reader.skip(length);
    const { key, createRevision, modRevision, version, lease } = decodeKeyValue(reader.buffer, offset, offset + length);
    if (modRevision !== revision) throw new Error(`a change of revision ${modRevision} within revision ${revision}`);
    changes.push({ key, version: new Version(modRevision, createRevision, version, lease, segment, offset, length) });
  }
  return changes;
}

class Reader {
  readonly buffer: Buffer;
  at = 0;

  constructor(buffer: Buffer) {
    this.buffer = buffer;
  }

  skip(length: number): void {
    this.at += length;
    if (this.at > this.buffer.length) throw new Error('batch ends within a record');
  }

  byte(): number {
    this.skip(1);
    return this.buffer[this.at - 1] as number;
  }

  varint(): number {
    let value = 0;
    let factor = 1;
    for (;;) {
      const byte = this.byte();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) break;
      factor *= 0x80;
    }
    if (!Number.isSafeInteger(value)) throw new Error('batch with a number beyond the safe integers');
    return value;
  }

  int64(): bigint {
    this.skip(8);
    return this.buffer.readBigInt64BE(this.at - 8);
  }
}
