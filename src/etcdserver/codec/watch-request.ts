/** Decodes WatchRequest. */
import type { KeyRange } from '../../mvcc/requests.ts';
import { Reader } from '../../proto/wire.ts';

export interface WatchCreateRequest extends KeyRange {
  readonly kind: 'create';
  /** 0: from now on. Below 0: refused. */
  readonly startRevision: number;
  readonly progressNotify: boolean;
  readonly noPut: boolean;
  readonly noDelete: boolean;
  readonly prevKv: boolean;
  /** Signed, 64 bits. 0n: chosen by the server. */
  readonly watchId: bigint;
  readonly fragment: boolean;
}

export interface WatchCancelRequest {
  readonly kind: 'cancel';
  readonly watchId: bigint;
}

export interface WatchProgressRequest {
  readonly kind: 'progress';
}

/** undefined: an empty oneof. */
export type WatchRequest = WatchCreateRequest | WatchCancelRequest | WatchProgressRequest | undefined;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export function decodeWatchRequest(data: Uint8Array): WatchRequest {
  const reader = new Reader(data);
  let request: WatchRequest;
  while (!reader.done()) {
    const tag = reader.tag();
    if (tag !== 0x0a && tag !== 0x12 && tag !== 0x1a) {
      reader.skip(tag);
      continue;
    }
    const outer = reader.enter();
    if (tag === 0x0a) {
      request = request?.kind === 'create' ? request : emptyCreate();
      readCreate(reader, request);
    } else if (tag === 0x12) {
      request = request?.kind === 'cancel' ? request : { kind: 'cancel', watchId: 0n };
      readCancel(reader, request);
    } else {
      request = { kind: 'progress' };
      while (!reader.done()) reader.skip(reader.tag());
    }
    reader.leave(outer);
  }
  return request;
}

function emptyCreate(): Mutable<WatchCreateRequest> {
  return {
    kind: 'create',
    key: '',
    rangeEnd: '',
    startRevision: 0,
    progressNotify: false,
    noPut: false,
    noDelete: false,
    prevKv: false,
    watchId: 0n,
    fragment: false,
  };
}

function readCreate(reader: Reader, into: Mutable<WatchCreateRequest>): void {
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
        into.startRevision = reader.int64();
        break;
      case 0x20:
        into.progressNotify = reader.bool();
        break;
      case 0x28:
        addFilter(into, reader.int32());
        break;
      case 0x2a: {
        // Packed: all filters in one field, as proto3 writers do.
        const outer = reader.enter();
        while (!reader.done()) addFilter(into, reader.int32());
        reader.leave(outer);
        break;
      }
      case 0x30:
        into.prevKv = reader.bool();
        break;
      case 0x38:
        into.watchId = reader.int64BigInt();
        break;
      case 0x40:
        into.fragment = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
}

/** Filters that etcd does not know filter nothing. */
function addFilter(into: Mutable<WatchCreateRequest>, filter: number): void {
  if (filter === 0) into.noPut = true;
  else if (filter === 1) into.noDelete = true;
}

function readCancel(reader: Reader, into: Mutable<WatchCancelRequest>): void {
  while (!reader.done()) {
    const tag = reader.tag();
    if (tag === 0x08) into.watchId = reader.int64BigInt();
    else reader.skip(tag);
  }
}
