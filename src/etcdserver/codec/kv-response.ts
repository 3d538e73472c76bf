/**
 * Encodes the responses of the KV service: one pass for the sizes, one that fills a buffer of exactly that size. KeyValues are
 * encoded already and copied. Fields stand in the order of their numbers and zeros are left out, as Go writes them.
 */
import type { DeleteRangeResult, OpResult, PutResult, RangeResult, TxnResult } from '../../mvcc/requests.ts';
import { lengthDelimitedSize, varintSize, Writer } from '../../proto/wire.ts';
import type { Message } from '../../transport/rpc.ts';
import { emptyHeader, type HeaderField, revisionHeader } from '../header.ts';

export function encodeRangeResponse(header: HeaderField, result: RangeResult): Message {
  if (result.framed !== undefined) return encodeFramedRange(header, result, result.framed.pieces);
  const to = new Writer(rangeSize(header, result));
  writeRange(to, header, result);
  return to.finish();
}

/** What comes before and after the KeyValues, with the bytes in which they are already. */
function encodeFramedRange(header: HeaderField, result: RangeResult, pieces: readonly Uint8Array[]): Message {
  const before = new Writer(header.size(result.revision));
  header.write(before, result.revision);
  const after = new Writer(rangeTailSize(result));
  writeRangeTail(after, result);
  return [before.finish(), ...pieces, after.finish()];
}

/** RangeStreamResponse with one piece of a range. `last` is undefined for all pieces but the last one. */
export function encodeRangeStreamResponse(header: HeaderField, kvs: RangeResult['kvs'], last?: RangeResult): Buffer {
  const size = kvsSize(kvs) + (last === undefined ? 0 : header.size(last.revision) + rangeTailSize(last));
  const to = new Writer(lengthDelimitedSize(size));
  to.header(0x0a, size);
  if (last !== undefined) header.write(to, last.revision);
  writeKvs(to, 0x12, kvs);
  if (last !== undefined) writeRangeTail(to, last);
  return to.finish();
}

export function encodePutResponse(header: HeaderField, result: PutResult): Buffer {
  const to = new Writer(putSize(header, result));
  writePut(to, header, result);
  return to.finish();
}

export function encodeDeleteRangeResponse(header: HeaderField, result: DeleteRangeResult): Buffer {
  const to = new Writer(deleteRangeSize(header, result));
  writeDeleteRange(to, header, result);
  return to.finish();
}

export function encodeCompactionResponse(header: HeaderField, revision: number): Buffer {
  const to = new Writer(header.size(revision));
  header.write(to, revision);
  return to.finish();
}

export function encodeTxnResponse(header: HeaderField, result: TxnResult): Buffer {
  const sizes: number[] = [];
  const to = new Writer(txnSize(header, result, sizes));
  writeTxn(to, header, result, sizes.values());
  return to.finish();
}

function kvsSize(kvs: RangeResult['kvs']): number {
  let size = 0;
  for (const kv of kvs) size += lengthDelimitedSize(kv.length);
  return size;
}

function writeKvs(to: Writer, tag: number, kvs: RangeResult['kvs']): void {
  for (const kv of kvs) {
    to.header(tag, kv.length);
    to.raw(kv);
  }
}

function rangeSize(header: HeaderField, result: RangeResult): number {
  return header.size(result.revision) + kvsSize(result.kvs) + rangeTailSize(result);
}

function rangeTailSize({ more, count }: RangeResult): number {
  return (more ? 2 : 0) + (count === 0 ? 0 : 1 + varintSize(count));
}

function writeRange(to: Writer, header: HeaderField, result: RangeResult): void {
  header.write(to, result.revision);
  writeKvs(to, 0x12, result.kvs);
  writeRangeTail(to, result);
}

function writeRangeTail(to: Writer, { more, count }: RangeResult): void {
  to.varintField(0x18, more ? 1 : 0);
  to.varintField(0x20, count);
}

function putSize(header: HeaderField, { revision, prevKv }: PutResult): number {
  return header.size(revision) + (prevKv === undefined ? 0 : lengthDelimitedSize(prevKv.length));
}

function writePut(to: Writer, header: HeaderField, { revision, prevKv }: PutResult): void {
  header.write(to, revision);
  if (prevKv !== undefined) writeKvs(to, 0x12, [prevKv]);
}

function deleteRangeSize(header: HeaderField, { revision, deleted, prevKvs }: DeleteRangeResult): number {
  return header.size(revision) + (deleted === 0 ? 0 : 1 + varintSize(deleted)) + kvsSize(prevKvs);
}

function writeDeleteRange(to: Writer, header: HeaderField, { revision, deleted, prevKvs }: DeleteRangeResult): void {
  header.write(to, revision);
  to.varintField(0x10, deleted);
  writeKvs(to, 0x1a, prevKvs);
}

/**
 * `sizes` gets the size of every operation's response in the order in which they are written, so that the second pass has the
 * lengths of nested messages without computing them again at each level.
 */
function txnSize(header: HeaderField, { revision, succeeded, responses }: TxnResult, sizes: number[]): number {
  let size = header.size(revision) + (succeeded ? 2 : 0);
  for (const response of responses) {
    const place = sizes.push(0) - 1;
    const bare = opSize(response, sizes);
    sizes[place] = bare;
    size += lengthDelimitedSize(lengthDelimitedSize(bare));
  }
  return size;
}

function opSize(result: OpResult, sizes: number[]): number {
  switch (result.kind) {
    case 'range':
      return rangeSize(revisionHeader, result);
    case 'put':
      return putSize(revisionHeader, result);
    case 'deleteRange':
      return deleteRangeSize(revisionHeader, result);
    case 'txn':
      return txnSize(emptyHeader, result, sizes);
  }
}

/** Tags of the members of ResponseOp. */
const opTags = { range: 0x0a, put: 0x12, deleteRange: 0x1a, txn: 0x22 } as const;

function writeTxn(to: Writer, header: HeaderField, result: TxnResult, sizes: Iterator<number>): void {
  header.write(to, result.revision);
  to.varintField(0x10, result.succeeded ? 1 : 0);
  for (const response of result.responses) {
    const size = sizes.next().value as number;
    to.header(0x1a, lengthDelimitedSize(size));
    to.header(opTags[response.kind], size);
    writeOp(to, response, sizes);
  }
}

function writeOp(to: Writer, result: OpResult, sizes: Iterator<number>): void {
  if (result.kind === 'range') writeRange(to, revisionHeader, result);
  else if (result.kind === 'put') writePut(to, revisionHeader, result);
  else if (result.kind === 'deleteRange') writeDeleteRange(to, revisionHeader, result);
  else writeTxn(to, emptyHeader, result, sizes);
}
