/**
 * The value cache: encoded KeyValues in memory, bounded by bytes. It works in segments, not in single values: a version points into a
 * segment, a segment is dropped as a whole, oldest first, and what is still being read is copied to a young segment before its own grows
 * too old. So a cached value costs no object of its own.
 *
 * Most segments are slabs: what batches bring is copied behind one another into the newest, and so is what is loaded or kept one by one.
 * Their memory is used again, so that garbage collection has nothing to do with values that come and go. A batch that is large for a
 * slab, what was loaded together and what was listed together are segments of their own.
 *
 * Segments of which little is live any more (the newest version of its key) go sooner: of those only the last few megabytes stay, for
 * events that are about to be sent and readers that are a little behind. What is live of one that goes is copied to a young segment. So
 * memory follows the data, not the writes, and values that are not written stay while others are.
 */
import { Segment } from './segment.ts';
import type { Version } from './version.ts';

/** What a segment costs beside its bytes, roughly: so that many tiny ones are not free. */
const segmentOverheadBytes = 200;
/** A segment is stale once less than this part of it is live … */
const staleShare = 1 / 4;
/** … and of such segments so much stays, or this part of the cache if that is less. */
const staleBytesMax = 4 * 1024 * 1024;
const staleCacheShare = 1 / 4;
/** Dropped segments are taken out of the list when they are so many, and half of it. */
const droppedMax = 1024;

/** A slab is so large, or this part of the cache if that is less. */
const slabBytesMax = 1024 * 1024;
const slabCacheShare = 1 / 64;
/** What is larger than this part of a slab is a segment of its own. */
const slabPartMax = 1 / 4;
/** The memory of so many dropped slabs is kept for the next. */
const freeSlabsMax = 2;

/** Where a batch was placed: what began at `offset` of its own bytes is at `offset + shift` of the segment. */
export interface Placed {
  readonly segment: Segment;
  readonly shift: number;
}

export class ValueCache {
  readonly #maxBytes: number;
  readonly #staleBytesMax: number;
  /** Oldest first from #first on; the part before is dropped, and so are some behind. */
  #segments: Segment[] = [];
  #first = 0;
  #dropped = 0;
  #bytes = 0;
  /** All bytes ever added. */
  #position = 0;
  readonly #slabBytes: number;
  /** The slab that is being filled, and how far it is. */
  #slab: Segment | undefined;
  #slabUsed = 0;
  /** Memory of dropped slabs, which the next ones take. */
  #freeSlabs: Buffer[] = [];
  /** The same of slabs dropped lately: who is just reading them goes on. It is free when the next batch comes. */
  #droppedSlabs: Buffer[] = [];
  /** In the order in which they became stale, from #firstStale on. */
  #stale: Segment[] = [];
  #firstStale = 0;
  #staleBytes = 0;
  #trimming = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#staleBytesMax = Math.min(staleBytesMax, maxBytes * staleCacheShare);
    this.#slabBytes = Math.min(slabBytesMax, Math.ceil(maxBytes * slabCacheShare));
  }

  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Takes in the bytes of a batch, whose versions point to where this returns from then on. If that is still the batch's own segment,
   * it must be added when they are applied.
   */
  place(segment: Segment): Placed {
    this.#freeSlabs.push(...this.#droppedSlabs);
    this.#droppedSlabs = [];
    const bytes = segment.bytes as Buffer;
    if (this.#isLarge(bytes.length)) return { segment, shift: 0 };
    return this.#write(bytes, 0, bytes.length, true);
  }

  add(segment: Segment): void {
    const cost = costOf(segment);
    segment.position = this.#position;
    this.#position += cost;
    this.#bytes += cost;
    this.#segments.push(segment);
    this.#look(segment);
    while (this.#bytes > this.#maxBytes && this.#first < this.#segments.length - 1) {
      const oldest = this.#segments[this.#first++] as Segment;
      if (oldest.bytes === undefined) this.#dropped--;
      else this.#drop(oldest);
    }
    if (this.#first + this.#dropped <= droppedMax || (this.#first + this.#dropped) * 2 <= this.#segments.length) return;
    this.#segments = this.#segments.filter(({ bytes }) => bytes !== undefined);
    this.#first = 0;
    this.#dropped = 0;
  }

  #drop(segment: Segment): void {
    const cost = costOf(segment);
    this.#bytes -= cost;
    if (segment.stale) this.#staleBytes -= cost;
    if (segment.reused && this.#freeSlabs.length + this.#droppedSlabs.length < freeSlabsMax) {
      this.#droppedSlabs.push(segment.bytes as Buffer);
    }
    segment.bytes = undefined;
  }

  /** The version is the newest of its key now; `before` was. Its segment need not be in the cache yet. */
  supersede(before: Version | undefined, version: Version): void {
    if (!version.deleted) version.segment.enter(version);
    if (before === undefined) return;
    before.superseded = true;
    this.#leave(before, true);
  }

  /**
   * The version needs its place no more. `rescues`: others may change theirs. Who reads may have the places of several versions at hand,
   * which then must stay.
   */
  #leave(version: Version, rescues = false): void {
    const { segment } = version;
    segment.leave(version);
    // What is not in the cache yet is looked at when it is added; what is being filled, when it is full.
    if (segment.position !== Number.POSITIVE_INFINITY && segment !== this.#slab) this.#look(segment, rescues);
  }

  #look(segment: Segment, rescues = false): void {
    if (segment.stale || segment.bytes === undefined) return;
    if (segment === this.#slab || segment.liveBytes >= segment.bytes.length * staleShare) return;
    segment.stale = true;
    this.#stale.push(segment);
    this.#staleBytes += costOf(segment);
    // What is rescued may make others stale, which the same loop comes to.
    if (this.#trimming) return;
    this.#trimming = true;
    while (this.#staleBytes > this.#staleBytesMax && this.#firstStale < this.#stale.length - 1) {
      const oldest = this.#stale[this.#firstStale++] as Segment;
      if (oldest.bytes === undefined) continue;
      if (rescues) this.#rescue(oldest, oldest.bytes);
      // Making room for that may have dropped it.
      if (oldest.bytes === undefined) continue;
      this.#drop(oldest);
      this.#dropped++;
    }
    this.#trimming = false;
    if (this.#firstStale <= droppedMax || this.#firstStale * 2 <= this.#stale.length) return;
    this.#stale = this.#stale.slice(this.#firstStale);
    this.#firstStale = 0;
  }

  #rescue({ live }: Segment, bytes: Buffer): void {
    // Each leaves the list when it is copied.
    for (let version = live.at(-1); version !== undefined; version = live.at(-1)) {
      this.#copy(version, bytes, version.offset, version.offset + version.length);
    }
  }

  /** The encoded KeyValue of a version, or undefined if it must be loaded. It stays as it is. */
  get(version: Version): Buffer | undefined {
    const { segment, offset, length } = version;
    const { bytes } = segment;
    if (bytes === undefined) return undefined;
    let value: Buffer;
    if (segment.reused) {
      value = Buffer.allocUnsafe(length);
      bytes.copy(value, 0, offset, offset + length);
    } else value = bytes.subarray(offset, offset + length);
    if (this.isOld(segment)) this.#copy(version, bytes, offset, offset + length);
    return value;
  }

  /** What is read of it is to be copied to a younger one. */
  isOld({ position }: Segment): boolean {
    return this.#position - position > this.#maxBytes * 0.75;
  }

  /** Takes a loaded KeyValue into the cache. */
  put(version: Version, bytes: Buffer): void {
    this.#copy(version, bytes, 0, bytes.length);
  }

  /** The version is in another place from now on. */
  move(version: Version, segment: Segment, offset: number, length: number): void {
    if (!version.superseded) this.#leave(version);
    version.segment = segment;
    version.offset = offset;
    version.length = length;
    // Who reads history brings in what is not live.
    if (!version.superseded && !version.deleted) segment.enter(version);
  }

  #copy(version: Version, from: Buffer, start: number, end: number): void {
    const length = end - start;
    if (this.#isLarge(length)) {
      const segment = new Segment(Buffer.from(from.subarray(start, end)));
      this.move(version, segment, 0, length);
      this.add(segment);
      return;
    }
    const { segment, shift } = this.#write(from, start, end, false);
    this.move(version, segment, start + shift, length);
  }

  #isLarge(length: number): boolean {
    return length > this.#slabBytes * slabPartMax;
  }

  /** Copies bytes into the open slab. `rescues` as in #leave. */
  #write(from: Buffer, start: number, end: number, rescues: boolean): Placed {
    let slab = this.#slab;
    let full: Segment | undefined;
    if (slab?.bytes === undefined || this.#slabUsed + end - start > this.#slabBytes) {
      full = slab;
      slab = new Segment(this.#freeSlabs.pop() ?? Buffer.allocUnsafeSlow(this.#slabBytes), { reused: true });
      this.#slab = slab;
      this.#slabUsed = 0;
      this.add(slab);
    }
    const offset = this.#slabUsed;
    this.#slabUsed += end - start;
    from.copy(slab.bytes as Buffer, offset, start, end);
    // What is rescued now comes behind these bytes, or into the next slab.
    if (full !== undefined) this.#look(full, rescues);
    return { segment: slab, shift: offset - start };
  }
}

const costOf = ({ bytes }: Segment): number => (bytes as Buffer).length + segmentOverheadBytes;
