/**
 * mvccpb.KeyValue as bytes, by hand: it is written once per put and copied from then on. Fields in number order, zero
 * fields left out, as Go marshals it.
 *
 *   1 key (bytes)  2 create_revision  3 mod_revision  4 version (varints)  5 value (bytes)  6 lease (varint, 64 bits)
 */
import { varintSize, writeVarint } from '../proto/wire.ts';
import type { Key } from './requests.ts';

/** What the index keeps of a KeyValue; the value stays in its bytes. */
export interface KeyValueHead {
  readonly key: Key;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly lease: bigint;
}

/** The bytes of a key as a Key. */
export function keyOf(bytes: Uint8Array): Key {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function leaseSize(lease: bigint): number {
  if (lease < 0n) return 10;
  let size = 1;
  for (let rest = lease >> 7n; rest > 0n; rest >>= 7n) size++;
  return size;
}

function writeLease(to: Uint8Array, at: number, lease: bigint): number {
  let rest = BigInt.asUintN(64, lease);
  let position = at;
  for (; rest >= 0x80n; rest >>= 7n) to[position++] = Number(rest & 0x7fn) | 0x80;
  to[position++] = Number(rest);
  return position;
}

export function keyValueSize(head: KeyValueHead, valueLength: number): number {
  const keyLength = head.key.length;
  let size = 1 + varintSize(keyLength) + keyLength;
  if (head.createRevision > 0) size += 1 + varintSize(head.createRevision);
  if (head.modRevision > 0) size += 1 + varintSize(head.modRevision);
  if (head.version > 0) size += 1 + varintSize(head.version);
  if (valueLength > 0) size += 1 + varintSize(valueLength) + valueLength;
  if (head.lease !== 0n) size += 1 + leaseSize(head.lease);
  return size;
}

/** Writes a KeyValue at a position with room for `keyValueSize` bytes; returns the position after it. */
export function writeKeyValue(to: Buffer, at: number, head: KeyValueHead, value: Uint8Array | undefined): number {
  let position = at;
  to[position++] = 0x0a;
  position = writeVarint(to, position, head.key.length);
  position += to.write(head.key, position, 'latin1');
  if (head.createRevision > 0) {
    to[position++] = 0x10;
    position = writeVarint(to, position, head.createRevision);
  }
  if (head.modRevision > 0) {
    to[position++] = 0x18;
    position = writeVarint(to, position, head.modRevision);
  }
  if (head.version > 0) {
    to[position++] = 0x20;
    position = writeVarint(to, position, head.version);
  }
  if (value !== undefined && value.length > 0) {
    to[position++] = 0x2a;
    position = writeVarint(to, position, value.length);
    to.set(value, position);
    position += value.length;
  }
  if (head.lease !== 0n) {
    to[position++] = 0x30;
    position = writeLease(to, position, head.lease);
  }
  return position;
}

export function encodeKeyValue(head: KeyValueHead, value: Uint8Array | undefined): Buffer {
  const bytes = Buffer.allocUnsafe(keyValueSize(head, value?.length ?? 0));
  writeKeyValue(bytes, 0, head, value);
  return bytes;
}

interface DecodedKeyValue extends KeyValueHead {
  /** A view of the bytes given. */
  readonly value: Uint8Array;
}

/** Reads bytes that `writeKeyValue` wrote: trusted, from memory or the log. Throws on anything else. */
export function decodeKeyValue(bytes: Buffer, start = 0, end = bytes.length): DecodedKeyValue {
  let key = '';
  let createRevision = 0;
  let modRevision = 0;
  let version = 0;
  let lease = 0n;
  let value = noBytes;
  let at = start;
  while (at < end) {
    const tag = bytes[at++];
    if (tag === 0x30) {
      let shift = 0n;
      let byte: number;
      do {
        byte = bytes[at++] ?? 0;
        lease |= BigInt(byte & 0x7f) << shift;
        shift += 7n;
      } while (byte >= 0x80);
      lease = BigInt.asIntN(64, lease);
      continue;
    }
    let number = 0;
    let factor = 1;
    let byte: number;
    do {
      byte = bytes[at++] ?? 0;
      number += (byte & 0x7f) * factor;
      factor *= 0x80;
    } while (byte >= 0x80);
    if (tag === 0x0a) {
      key = bytes.toString('latin1', at, at + number);
      at += number;
    } else if (tag === 0x10) createRevision = number;
    else if (tag === 0x18) modRevision = number;
    else if (tag === 0x20) version = number;
    else if (tag === 0x2a) {
      value = bytes.subarray(at, at + number);
      at += number;
    } else throw new Error(`KeyValue with unknown field tag ${tag}`);
  }
  if (at !== end) throw new Error(`KeyValue ends at ${at} instead of ${end}`);
  return { key, createRevision, modRevision, version, lease, value };
}

const noBytes: Uint8Array = Buffer.alloc(0);
