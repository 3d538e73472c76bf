/**
 * Decodes the requests of the KV service. Merging follows proto3: the last of several values of a field wins, repeated occurrences of
 * a message field are merged, another member of a oneof replaces the one before.
 */
import { StoreError } from '../../mvcc/errors.ts';
import {
  type Compare,
  CompareTarget,
  type DeleteRangeRequest,
  newRange,
  type PutRequest,
  type RangeRequest,
  type RequestOp,
  type TxnRequest,
} from '../../mvcc/requests.ts';
import { Reader } from '../../proto/wire.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * Txns inside Txns beyond which a request is refused here with "too many operations". Each level uses up at least one of
 * --max-txn-ops, so deeper ones are refused anyway, but only after all of it was decoded; this bounds the stack.
 */
const txnDepthMax = 1000;

const noBytes: Buffer = Buffer.alloc(0);

export function decodeRangeRequest(data: Uint8Array): RangeRequest {
  const request = emptyRange();
  readRange(new Reader(data), request);
  return request;
}

/** `value` is a view into `data`. */
export function decodePutRequest(data: Uint8Array): PutRequest {
  const request = emptyPut();
  readPut(new Reader(data), request);
  return request;
}

export function decodeDeleteRangeRequest(data: Uint8Array): DeleteRangeRequest {
  const request = emptyDeleteRange();
  readDeleteRange(new Reader(data), request);
  return request;
}

/** Values are views into `data`. Throws TooManyOps for Txns nested deeper than `txnDepthMax`. */
export function decodeTxnRequest(data: Uint8Array): TxnRequest {
  const request = emptyTxn();
  readTxn(new Reader(data), request, 1);
  return request;
}

export function decodeCompactionRequest(data: Uint8Array): { revision: number; physical: boolean } {
  const reader = new Reader(data);
  const request = { revision: 0, physical: false };
  while (!reader.done()) {
    const tag = reader.tag();
    if (tag === 0x08) request.revision = reader.int64();
    else if (tag === 0x10) request.physical = reader.bool();
    else reader.skip(tag);
  }
  return request;
}

function emptyRange(): Mutable<RangeRequest> {
  return newRange('');
}

function readRange(reader: Reader, into: Mutable<RangeRequest>): void {
  while (!reader.done()) {
    const tag = reader.tag();
    switch (tag) {
      case 0x0a:
        into.key = reader.latin1();
        break;
      case 0x12:
        into.rangeEnd = reader.latin1();
        break;
      case 0x18:
        into.limit = reader.int64();
        break;
      case 0x20:
        into.revision = reader.int64();
        break;
      case 0x28:
        into.sortOrder = reader.int32();
        break;
      case 0x30:
        into.sortTarget = reader.int32();
        break;
      case 0x38:
        into.serializable = reader.bool();
        break;
      case 0x40:
        into.keysOnly = reader.bool();
        break;
      case 0x48:
        into.countOnly = reader.bool();
        break;
      case 0x50:
        into.minModRevision = reader.int64();
        break;
      case 0x58:
        into.maxModRevision = reader.int64();
        break;
      case 0x60:
        into.minCreateRevision = reader.int64();
        break;
      case 0x68:
        into.maxCreateRevision = reader.int64();
        break;
      default:
        reader.skip(tag);
    }
  }
}

function emptyPut(): Mutable<PutRequest> {
  return { kind: 'put', key: '', value: noBytes, lease: 0n, prevKv: false, ignoreValue: false, ignoreLease: false };
}

function readPut(reader: Reader, into: Mutable<PutRequest>): void {
  while (!reader.done()) {
    const tag = reader.tag();
    switch (tag) {
      case 0x0a:
        into.key = reader.latin1();
        break;
      case 0x12:
        into.value = reader.bytes();
        break;
      case 0x18:
        into.lease = reader.int64BigInt();
        break;
      case 0x20:
        into.prevKv = reader.bool();
        break;
      case 0x28:
        into.ignoreValue = reader.bool();
        break;
      case 0x30:
        into.ignoreLease = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
}

function emptyDeleteRange(): Mutable<DeleteRangeRequest> {
  return { kind: 'deleteRange', key: '', rangeEnd: '', prevKv: false };
}

function readDeleteRange(reader: Reader, into: Mutable<DeleteRangeRequest>): void {
  while (!reader.done()) {
    const tag = reader.tag();
    if (tag === 0x0a) into.key = reader.latin1();
    else if (tag === 0x12) into.rangeEnd = reader.latin1();
    else if (tag === 0x18) into.prevKv = reader.bool();
    else reader.skip(tag);
  }
}

interface TxnBuilder {
  kind: 'txn';
  compare: Compare[];
  success: RequestOp[];
  failure: RequestOp[];
}

function emptyTxn(): TxnBuilder {
  return { kind: 'txn', compare: [], success: [], failure: [] };
}

function readTxn(reader: Reader, into: TxnBuilder, depth: number): void {
  if (depth > txnDepthMax) throw new StoreError('TooManyOps');
  while (!reader.done()) {
    const tag = reader.tag();
    if (tag === 0x0a) into.compare.push(readCompare(reader));
    else if (tag === 0x12) into.success.push(readOp(reader, depth));
    else if (tag === 0x1a) into.failure.push(readOp(reader, depth));
    else reader.skip(tag);
  }
}

function readOp(reader: Reader, depth: number): RequestOp {
  const outer = reader.enter();
  let op: RequestOp;
  while (!reader.done()) {
    const tag = reader.tag();
    if (tag !== 0x0a && tag !== 0x12 && tag !== 0x1a && tag !== 0x22) {
      reader.skip(tag);
      continue;
    }
    const end = reader.enter();
    if (tag === 0x0a) {
      op = op?.kind === 'range' ? op : emptyRange();
      readRange(reader, op);
    } else if (tag === 0x12) {
      op = op?.kind === 'put' ? op : emptyPut();
      readPut(reader, op);
    } else if (tag === 0x1a) {
      op = op?.kind === 'deleteRange' ? op : emptyDeleteRange();
      readDeleteRange(reader, op);
    } else {
      // Every Txn in this tree was made by emptyTxn.
      const txn: TxnBuilder = op?.kind === 'txn' ? (op as TxnBuilder) : emptyTxn();
      readTxn(reader, txn, depth + 1);
      op = txn;
    }
    reader.leave(end);
  }
  reader.leave(outer);
  return op;
}

/** Which member of `target_union` belongs to a target, by the tag of the member. */
const numberTags = new Map<number, number>([
  [CompareTarget.VERSION, 0x20],
  [CompareTarget.CREATE, 0x28],
  [CompareTarget.MOD, 0x30],
]);
const valueTag = 0x3a;
const leaseTag = 0x40;

function readCompare(reader: Reader): Compare {
  const outer = reader.enter();
  let key = '';
  let rangeEnd = '';
  let result = 0;
  let target = 0;
  // The member of the oneof that came last.
  let member = 0;
  let number = 0;
  let value: Buffer = noBytes;
  let lease = 0n;
  while (!reader.done()) {
    const tag = reader.tag();
    switch (tag) {
      case 0x08:
        result = reader.int32();
        break;
      case 0x10:
        target = reader.int32();
        break;
      case 0x1a:
        key = reader.latin1();
        break;
      case 0x20:
      case 0x28:
      case 0x30:
        number = reader.int64();
        member = tag;
        break;
      case valueTag:
        value = reader.bytes();
        member = tag;
        break;
      case leaseTag:
        lease = reader.int64BigInt();
        member = tag;
        break;
      // Field 64: its tag has two bytes.
      case 0x202:
        rangeEnd = reader.latin1();
        break;
      default:
        reader.skip(tag);
    }
  }
  reader.leave(outer);
  return {
    key,
    rangeEnd,
    result,
    target,
    number: member !== 0 && numberTags.get(target) === member ? number : 0,
    value: target === CompareTarget.VALUE && member === valueTag ? value : noBytes,
    lease: target === CompareTarget.LEASE && member === leaseTag ? lease : 0n,
  };
}
