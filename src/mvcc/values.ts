/**
 * The value cache: encoded KeyValues in memory, bounded by bytes. It works in segments (the blob of a batch, or what was
 * loaded together), not in single values: a version points into a segment, a segment is dropped as a whole, oldest first,
 * and what is still being read is copied to a young segment before its own grows too old. So a cached value costs no object
 * of its own and nothing is copied when a batch is applied.
 */
import type { Version } from './key-index.ts';

export class Segment {
  /** undefined: dropped, or not loaded. */
  bytes: Buffer | undefined;
  /** Where the segment stands in the order of all bytes ever added: tells its age. Infinite if it is not in the cache. */
  position = Number.POSITIVE_INFINITY;

  constructor(bytes: Buffer | undefined) {
    this.bytes = bytes;
  }
}

/** What a segment costs beside its bytes, roughly: so that many tiny ones are not free. */
const segmentOverheadBytes = 200;

/** Values read out of an old segment are gathered in segments of this size. */
const refreshSegmentBytes = 256 * 1024;

export class ValueCache {
  readonly #maxBytes: number;
  /** Oldest first from #first on; the part before is dropped. */
  #segments: Segment[] = [];
  #first = 0;
  #bytes = 0;
  /** All bytes ever added. */
  #position = 0;
  #refresh: Segment | undefined;
  #refreshUsed = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(segment: Segment): void {
    const cost = (segment.bytes as Buffer).length + segmentOverheadBytes;
    segment.position = this.#position;
    this.#position += cost;
    this.#bytes += cost;
    this.#segments.push(segment);
    while (this.#bytes > this.#maxBytes && this.#first < this.#segments.length - 1) {
      const oldest = this.#segments[this.#first] as Segment;
      this.#bytes -= (oldest.bytes as Buffer).length + segmentOverheadBytes;
      oldest.bytes = undefined;
      this.#first++;
    }
    if (this.#first > 1024 && this.#first * 2 > this.#segments.length) {
      this.#segments = this.#segments.slice(this.#first);
      this.#first = 0;
    }
  }

  /** The encoded KeyValue of a version, or undefined if it must be loaded. */
  get(version: Version): Buffer | undefined {
    const { segment } = version;
    const { bytes } = segment;
    if (bytes === undefined) return undefined;
    const end = version.offset + version.length;
    const value = bytes.subarray(version.offset, end);
    if (this.#position - segment.position > this.#maxBytes * 0.75) this.#copy(version, bytes, version.offset, end);
    return value;
  }

  /** Takes a loaded KeyValue into the cache. */
  put(version: Version, bytes: Buffer): void {
    this.#copy(version, bytes, 0, bytes.length);
  }

  #copy(version: Version, from: Buffer, start: number, end: number): void {
    const length = end - start;
    if (length > refreshSegmentBytes / 4) {
      version.segment = new Segment(Buffer.from(from.subarray(start, end)));
      version.offset = 0;
      version.length = length;
      this.add(version.segment);
      return;
    }
    let refresh = this.#refresh;
    if (refresh?.bytes === undefined || this.#refreshUsed + length > refreshSegmentBytes) {
      refresh = new Segment(Buffer.allocUnsafeSlow(refreshSegmentBytes));
      this.#refresh = refresh;
      this.#refreshUsed = 0;
      this.add(refresh);
    }
    from.copy(refresh.bytes as Buffer, this.#refreshUsed, start, end);
    version.segment = refresh;
    version.offset = this.#refreshUsed;
    version.length = length;
    this.#refreshUsed += length;
  }
}

/** The segment of versions whose value is only in the image so far. */
export const notLoaded = new Segment(undefined);
