/** One version of a key, and where its encoded KeyValue is while that is in memory (values.ts). */
import type { Segment } from './segment.ts';

export class Version {
  readonly modRevision: number;
  readonly createRevision: number;
  /** 0: the key was deleted at modRevision. */
  readonly version: number;
  /** Signed 64 bits; 0n: none. */
  readonly lease: bigint;
  /** Holds the encoded KeyValue at `offset`, `length` bytes long, while `segment.bytes` is there. */
  segment: Segment;
  offset: number;
  length: number;
  /** Among the live versions of the segment; -1: it is not one of them. */
  place = -1;
  /** There is a newer version of the key. */
  superseded = false;

  constructor(
    modRevision: number,
    createRevision: number,
    version: number,
    lease: bigint,
    segment: Segment,
    offset: number,
    length: number,
  ) {
    this.modRevision = modRevision;
    this.createRevision = createRevision;
    this.version = version;
    this.lease = lease;
    this.segment = segment;
    this.offset = offset;
    this.length = length;
  }

  get deleted(): boolean {
    return this.version === 0;
  }
}

/** Whether two objects stand for the same version of a key. A transaction may put a key and delete it in one revision. */
export const isSameVersion = (a: Version, b: Version | undefined): boolean =>
  a.modRevision === b?.modRevision && a.version === b.version;
