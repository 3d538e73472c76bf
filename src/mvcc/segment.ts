/** Bytes that versions point into, which the value cache keeps or drops as a whole (values.ts). */
import type { Version } from './version.ts';

export class Segment {
  /** undefined: dropped, or not loaded. */
  bytes: Buffer | undefined;
  /** Each KeyValue stands behind its field head, as in a RangeResponse: neighbours can be sent as they are (see framed.ts). */
  readonly framed: boolean;
  /** Its memory will hold other values once it is dropped: what is read must be copied out of it. */
  readonly reused: boolean;
  /** Where the segment stands in the order of all bytes ever added: tells its age. Infinite if it is not in the cache. */
  position = Number.POSITIVE_INFINITY;
  /** Of KeyValues that are the newest of their keys and are here. */
  liveBytes = 0;
  /** Those; each knows its place in this list. */
  readonly live: Version[] = [];
  /** Among those of which little is live. */
  stale = false;

  constructor(bytes: Buffer | undefined, { framed = false, reused = false } = {}) {
    this.bytes = bytes;
    this.framed = framed;
    this.reused = reused;
  }

  /** The version points here, and is the newest of its key. */
  enter(version: Version): void {
    this.liveBytes += version.length;
    version.place = this.live.length;
    this.live.push(version);
  }

  /** It is that no more, or will point elsewhere. */
  leave(version: Version): void {
    if (version.place < 0) return;
    this.liveBytes -= version.length;
    const last = this.live.pop() as Version;
    if (last !== version) {
      last.place = version.place;
      this.live[version.place] = last;
    }
    version.place = -1;
  }
}

/** The segment of versions whose value is only in the image so far. */
export const notLoaded = new Segment(undefined);
