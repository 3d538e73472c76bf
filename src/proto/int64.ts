/**
 * 64-bit fields of generated messages: protobufjs decodes them to `Long` (typed `number | Long`) and encodes either. A bigint
 * would be written as 0 without complaint, which the types forbid; ids pass through here.
 */
import type { Long } from 'protobufjs';

/** A 64-bit id that is signed on the wire (leases, watches). */
export function signed(value: number | Long): bigint {
  return typeof value === 'number' ? BigInt(value) : (BigInt(value.high | 0) << 32n) | BigInt(value.low >>> 0);
}

/** A 64-bit id that is unsigned on the wire (clusters, members). */
export function unsigned(value: number | Long): bigint {
  return BigInt.asUintN(64, signed(value));
}

/** For an id field of a generated message; keeps the low 64 bits. */
export function long(value: bigint): Long {
  return {
    low: Number(BigInt.asIntN(32, value)),
    high: Number(BigInt.asIntN(32, value >> 32n)),
    unsigned: false,
  };
}

/** A revision, count or number of seconds: beyond the safe integers, the nearest of them. */
export function safeNumber(value: number | Long): number {
  const wide = typeof value === 'number' ? value : value.high * 2 ** 32 + (value.low >>> 0);
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, wide));
}
