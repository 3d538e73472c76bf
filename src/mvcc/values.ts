/**
 * The value cache: encoded KeyValues in memory, bounded by bytes. It works in segments (the blob of a batch, what was loaded
 * together, or what was listed together), not in single values: a version points into a segment, a segment is dropped as a whole, oldest
 * first, and what is still being read is copied to a young segment before its own grows too old. So a cached value costs no object
 * of its own and nothing is copied when a batch is applied.
 *
 * Segments of which little is live any more (the newest version of its key) go sooner: of those only the last few megabytes stay, for
 * events that are about to be sent and readers that are a little behind. What is live of one that goes is copied to a young segment. So
 * memory follows the data, not the writes, and values that are not written stay while others are.
 */
import type { Version } from './version.ts';

export class Segment {
  /** undefined: dropped, or not loaded. */
  bytes: Buffer | undefined;
  /** Each KeyValue stands behind its field head, as in a RangeResponse: neighbours can be sent as they are (see framed.ts). */
  readonly framed: boolean;
  /** Where the segment stands in the order of all bytes ever added: tells its age. Infinite if it is not in the cache. */
  position = Number.POSITIVE_INFINITY;
  /** Of KeyValues that are the newest of their keys and are here. */
  liveBytes = 0;
  /** Those, as far as they are looked after. */
  readonly live: Version[] = [];
  /** Among those of which little is live. */
  stale = false;

  constructor(bytes: Buffer | undefined, framed = false) {
    this.bytes = bytes;
    this.framed = framed;
  }
}

/** What a segment costs beside its bytes, roughly: so that many tiny ones are not free. */
const segmentOverheadBytes = 200;
/** A segment is stale once less than this part of it is live … */
const staleShare = 1 / 4;
/** … and of such segments so much stays, or this part of the cache if that is less. */
const staleBytesMax = 4 * 1024 * 1024;
const staleCacheShare = 1 / 4;
/** So many live versions of a segment are looked after: a version that leaves is searched for among them. */
const liveVersionsMax = 1000;
/** Dropped segments are taken out of the list when they are so many, and half of it. */
const droppedMax = 1024;

/** Values read out of an old segment are gathered in segments of this size. */
const refreshSegmentBytes = 256 * 1024;

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
  #refresh: Segment | undefined;
  #refreshUsed = 0;
  /** In the order in which they became stale, from #firstStale on. */
  #stale: Segment[] = [];
  #firstStale = 0;
  #staleBytes = 0;
  #trimming = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#staleBytesMax = Math.min(staleBytesMax, maxBytes * staleCacheShare);
  }

  get bytes(): number {
    return this.#bytes;
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
    segment.bytes = undefined;
  }

  /** The version is the newest of its key now; `before` was. Its segment need not be in the cache yet. */
  supersede(before: Version | undefined, version: Version): void {
    if (!version.deleted) enter(version);
    if (before === undefined || before.deleted) return;
    this.#leave(before, true);
    before.superseded = true;
  }

  /**
   * The version needs its place no more. `rescues`: others may change theirs. Who reads may have the places of several versions at hand,
   * which then must stay.
   */
  #leave(version: Version, rescues = false): void {
    const { segment } = version;
    segment.liveBytes -= version.length;
    const { live } = segment;
    const place = live.indexOf(version);
    if (place >= 0) {
      const last = live.pop()!;
      if (last !== version) live[place] = last;
    }
    // What is not in the cache yet is looked at when it is added; what is being filled, when it is full.
    if (segment.position !== Number.POSITIVE_INFINITY && segment !== this.#refresh) this.#look(segment, rescues);
  }

  #look(segment: Segment, rescues = false): void {
    if (segment.stale || segment.bytes === undefined) return;
    if (segment === this.#refresh || segment.liveBytes >= segment.bytes.length * staleShare) return;
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

  /** The encoded KeyValue of a version, or undefined if it must be loaded. */
  get(version: Version): Buffer | undefined {
    const { segment } = version;
    const { bytes } = segment;
    if (bytes === undefined) return undefined;
    const end = version.offset + version.length;
    const value = bytes.subarray(version.offset, end);
    if (this.isOld(segment)) this.#copy(version, bytes, version.offset, end);
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
    if (!version.superseded) enter(version);
  }

  #copy(version: Version, from: Buffer, start: number, end: number): void {
    const length = end - start;
    if (length > refreshSegmentBytes / 4) {
      const segment = new Segment(Buffer.from(from.subarray(start, end)));
      this.move(version, segment, 0, length);
      this.add(segment);
      return;
    }
    let refresh = this.#refresh;
    let full: Segment | undefined;
    if (refresh?.bytes === undefined || this.#refreshUsed + length > refreshSegmentBytes) {
      full = refresh;
      refresh = new Segment(Buffer.allocUnsafeSlow(refreshSegmentBytes));
      this.#refresh = refresh;
      this.#refreshUsed = 0;
      this.add(refresh);
    }
    // The place is taken first: where the version leaves, others may be rescued.
    const offset = this.#refreshUsed;
    this.#refreshUsed += length;
    from.copy(refresh.bytes as Buffer, offset, start, end);
    this.move(version, refresh, offset, length);
    if (full !== undefined) this.#look(full);
  }
}

/** Counts a version where it is. */
function enter(version: Version): void {
  const { segment } = version;
  segment.liveBytes += version.length;
  if (segment.live.length < liveVersionsMax) segment.live.push(version);
}

const costOf = ({ bytes }: Segment): number => (bytes as Buffer).length + segmentOverheadBytes;

/** The segment of versions whose value is only in the image so far. */
export const notLoaded = new Segment(undefined);
