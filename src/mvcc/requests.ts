/** What the store is asked and what it answers, free of protobuf and gRPC. Field meanings are those of etcd's kv.proto. */

import type { Framed } from './framed.ts';

/**
 * A key as a binary string: one char (code 0 to 255) per byte, so that string order is byte order. Made by
 * `buffer.toString('latin1')`, turned back by `Buffer.from(key, 'latin1')`. Short, hashable and quick to compare.
 */
export type Key = string;

/** `rangeEnd` as on the wire: '' is the single key, '\0' everything from `key` on, else [key, rangeEnd). */
export interface KeyRange {
  readonly key: Key;
  readonly rangeEnd: Key;
}

export const SortOrder = { NONE: 0, ASCEND: 1, DESCEND: 2 } as const;
export const SortTarget = { KEY: 0, VERSION: 1, CREATE: 2, MOD: 3, VALUE: 4 } as const;
export const CompareResult = { EQUAL: 0, GREATER: 1, LESS: 2, NOT_EQUAL: 3 } as const;
export const CompareTarget = { VERSION: 0, CREATE: 1, MOD: 2, VALUE: 3, LEASE: 4 } as const;

export interface RangeRequest extends KeyRange {
  readonly kind: 'range';
  readonly limit: number;
  readonly revision: number;
  /** Enums stay numbers: a client may send any. */
  readonly sortOrder: number;
  readonly sortTarget: number;
  readonly serializable: boolean;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  readonly minModRevision: number;
  readonly maxModRevision: number;
  readonly minCreateRevision: number;
  readonly maxCreateRevision: number;
}

/** Every option as it is when a client does not set it. All ranges are made here, so that they have one shape, which V8 reads fast. */
export function newRange(key: Key): RangeRequest {
  return {
    kind: 'range',
    key,
    rangeEnd: '',
    limit: 0,
    revision: 0,
    sortOrder: SortOrder.NONE,
    sortTarget: SortTarget.KEY,
    serializable: false,
    keysOnly: false,
    countOnly: false,
    minModRevision: 0,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
  };
}

export interface PutRequest {
  readonly kind: 'put';
  readonly key: Key;
  readonly value: Uint8Array;
  /** 0n: none. A signed 64-bit number. */
  readonly lease: bigint;
  readonly prevKv: boolean;
  readonly ignoreValue: boolean;
  readonly ignoreLease: boolean;
}

export interface DeleteRangeRequest extends KeyRange {
  readonly kind: 'deleteRange';
  readonly prevKv: boolean;
}

/** Only the member that belongs to `target` counts; the others are zero. A missing target_union is zero as well. */
export interface Compare extends KeyRange {
  readonly result: number;
  readonly target: number;
  /** VERSION, CREATE, MOD */
  readonly number: number;
  /** VALUE */
  readonly value: Uint8Array;
  /** LEASE */
  readonly lease: bigint;
}

/** undefined: a RequestOp whose oneof is empty (validated as "key not found", as etcd does). */
export type RequestOp = RangeRequest | PutRequest | DeleteRangeRequest | TxnRequest | undefined;

export interface TxnRequest {
  readonly kind: 'txn';
  readonly compare: readonly Compare[];
  readonly success: readonly RequestOp[];
  readonly failure: readonly RequestOp[];
}

/** An encoded mvccpb.KeyValue, shared: never changed. */
export type EncodedKeyValue = Uint8Array;

export interface RangeResult {
  readonly kind: 'range';
  /** `kvs` in the bytes of the response, if they are there. */
  readonly framed?: Framed | undefined;
  /** For the header: the store's current revision (inside a txn: the revision that this op saw). */
  readonly revision: number;
  readonly kvs: readonly EncodedKeyValue[];
  readonly more: boolean;
  readonly count: number;
}

export interface PutResult {
  readonly kind: 'put';
  readonly revision: number;
  readonly prevKv: EncodedKeyValue | undefined;
}

export interface DeleteRangeResult {
  readonly kind: 'deleteRange';
  readonly revision: number;
  readonly deleted: number;
  readonly prevKvs: readonly EncodedKeyValue[];
}

export interface TxnResult {
  readonly kind: 'txn';
  readonly revision: number;
  readonly succeeded: boolean;
  readonly responses: readonly OpResult[];
}

export type OpResult = RangeResult | PutResult | DeleteRangeResult | TxnResult;
