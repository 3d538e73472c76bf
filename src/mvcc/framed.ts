/**
 * KeyValues as they stand in a RangeResponse, one behind the other, each behind its field head (tag and length):
 *
 *     12 <length> KeyValue  12 <length> KeyValue  …
 *
 * A list is answered from such bytes as they are. The first time its values are scattered over the slabs of the cache: they are
 * copied together, and stay together in the cache. When it is asked for again it is one piece, or a few if keys were written meanwhile,
 * of which nothing is copied. When it has come apart too much, it is put together anew.
 *
 * Worked example: a, b and c were listed together; then b was put. The next list is [a] [b] [c]: a and c out of the segment of the
 * list, b out of a slab, where no field head stands before it, so that it is copied behind one.
 */
import { varintSize, writeVarint } from '../proto/wire.ts';
import { Segment } from './segment.ts';
import type { ValueCache } from './values.ts';
import type { Version } from './version.ts';

export interface Framed {
  readonly pieces: readonly Uint8Array[];
  readonly count: number;
}

/** Field 2, length-delimited: RangeResponse.kvs. */
const tag = 0x12;
/** For so few nothing is gained. */
export const framedKeysMin = 16;
/** Values are put together anew when they would come in more pieces than this part of them. */
const piecesShare = 1 / 8;
/** What is put together has segments of this size, or of one value that is larger. */
const segmentBytes = 1024 * 1024;

const headSize = (length: number): number => 1 + varintSize(length);

/** The first `count` of these versions. undefined: a value is not in memory. */
export function framed(cache: ValueCache, versions: readonly Version[], count: number): Framed | undefined {
  return runs(cache, versions, count) ?? together(cache, versions, count);
}

/** undefined: too many pieces, or a value is not in memory. */
function runs(cache: ValueCache, versions: readonly Version[], count: number): Framed | undefined {
  const piecesMax = Math.max(1, count * piecesShare);
  const pieces: Uint8Array[] = [];
  for (let i = 0; i < count; ) {
    const { segment, offset, length } = versions[i] as Version;
    const { bytes } = segment;
    if (bytes === undefined || pieces.length >= piecesMax || cache.isOld(segment)) return undefined;
    let end = offset + length;
    i++;
    if (!segment.framed) {
      pieces.push(copyOf(bytes, offset, length));
      continue;
    }
    for (; i < count; i++) {
      const next = versions[i] as Version;
      if (next.segment !== segment || next.offset !== end + headSize(next.length)) break;
      end = next.offset + next.length;
    }
    pieces.push(bytes.subarray(offset - headSize(length), end));
  }
  return { pieces, count };
}

function copyOf(bytes: Buffer, offset: number, length: number): Buffer {
  const copy = Buffer.allocUnsafe(headSize(length) + length);
  copy[0] = tag;
  bytes.copy(copy, writeVarint(copy, 1, length), offset, offset + length);
  return copy;
}

/** Copies the values together. */
function together(cache: ValueCache, versions: readonly Version[], count: number): Framed | undefined {
  // Held here, since what is put together may drive from the cache what comes next.
  const sources: Buffer[] = [];
  for (let i = 0; i < count; i++) {
    const { bytes } = (versions[i] as Version).segment;
    if (bytes === undefined) return undefined;
    sources.push(bytes);
  }
  const pieces: Buffer[] = [];
  for (let first = 0; first < count; ) {
    let size = 0;
    let end = first;
    for (; end < count; end++) {
      const { length } = versions[end] as Version;
      if (size > 0 && size + headSize(length) + length > segmentBytes) break;
      size += headSize(length) + length;
    }
    pieces.push(bytesOf(cache, versions, sources, first, end, size));
    first = end;
  }
  return { pieces, count };
}

/** Moves the versions from `first` up to `end` to a segment of their own, of `size` bytes. */
function bytesOf(
  cache: ValueCache,
  versions: readonly Version[],
  sources: readonly Buffer[],
  first: number,
  end: number,
  size: number,
): Buffer {
  const bytes = Buffer.allocUnsafeSlow(size);
  const segment = new Segment(bytes, { framed: true });
  let at = 0;
  for (let i = first; i < end; i++) {
    const version = versions[i] as Version;
    const { offset, length } = version;
    bytes[at] = tag;
    at = writeVarint(bytes, at + 1, length);
    (sources[i] as Buffer).copy(bytes, at, offset, offset + length);
    cache.move(version, segment, at, length);
    at += length;
  }
  cache.add(segment);
  return bytes;
}

/** The KeyValues one by one, as views. */
export function unframed({ pieces }: Framed): Uint8Array[] {
  const keyValues: Uint8Array[] = [];
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; ) {
      let length = 0;
      let factor = 1;
      let byte: number;
      do {
        byte = piece[++at] as number;
        length += (byte & 0x7f) * factor;
        factor *= 0x80;
      } while (byte >= 0x80);
      keyValues.push(piece.subarray(at + 1, at + 1 + length));
      at += 1 + length;
    }
  }
  return keyValues;
}
