/**
 * The index: every key with the versions of it that can still be read. Point look-ups go through a map, ranges through the
 * tree. A version knows where its encoded KeyValue is, if that is in memory (values.ts).
 *
 * Worked example for one key, revisions in brackets, † for a deletion:
 *
 *   put[2] put[5] del[6] put[8]        versions: 2, 5, 6†, 8
 *   at(4) → 2   at(6) → 6† (no value)   at(9) → 8
 *   compact(5) keeps 5, 6†, 8           (5 is readable: a range at the compacted revision is allowed)
 *   compact(6) keeps 6†, 8              (a tombstone exactly at the compacted revision stays)
 *   compact(7) keeps 8                  (6† is below it and goes)
 */

import { KeyTree } from './key-tree.ts';
import type { Key } from './requests.ts';
import type { Segment } from './values.ts';

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

export class KeyEntry {
  readonly key: Key;
  latest: Version;
  /** Older versions, ascending. Most keys have none, so it is made when needed. */
  older: Version[] | undefined;

  constructor(key: Key, latest: Version) {
    this.key = key;
    this.latest = latest;
  }

  /** The version that a read at `revision` sees, perhaps a deletion; undefined if the key did not exist yet. */
  at(revision: number): Version | undefined {
    if (this.latest.modRevision <= revision) return this.latest;
    const { older } = this;
    if (older === undefined) return undefined;
    let low = 0;
    let high = older.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((older[middle] as Version).modRevision <= revision) low = middle + 1;
      else high = middle;
    }
    return older[low - 1];
  }
}

export class KeyIndex {
  readonly #entries = new Map<Key, KeyEntry>();
  readonly #tree = new KeyTree<KeyEntry>((entry) => entry.latest.version > 0);
  #versions = 0;

  /** Keys that have a value now. */
  get liveKeys(): number {
    return this.#tree.live;
  }

  /** Keys that have any version, also deleted ones that are not compacted yet. */
  get keys(): number {
    return this.#entries.size;
  }

  get versions(): number {
    return this.#versions;
  }

  get(key: Key): KeyEntry | undefined {
    return this.#entries.get(key);
  }

  /** Adds the newest version of a key; returns the one that was the newest before. */
  add(key: Key, version: Version): Version | undefined {
    this.#versions++;
    const entry = this.#entries.get(key);
    if (entry === undefined) {
      const created = new KeyEntry(key, version);
      this.#entries.set(key, created);
      this.#tree.insert(created);
      return undefined;
    }
    const before = entry.latest;
    if (version.modRevision < before.modRevision) {
      throw new Error(`version ${version.modRevision} of a key added after ${before.modRevision}`);
    }
    if (entry.older === undefined) entry.older = [before];
    else entry.older.push(before);
    entry.latest = version;
    if (before.version > 0 !== version.version > 0) this.#tree.adjustLive(key, version.version > 0 ? 1 : -1);
    return before;
  }

  /** Live keys in [from, to) now; `to` undefined: to the end. */
  countLive(from: Key, to: Key | undefined): number {
    return this.#tree.countLive(from, to);
  }

  /** See KeyTree.forEach: also visits keys that are deleted now. */
  forEach(from: Key, to: Key | undefined, visit: (entry: KeyEntry) => boolean): boolean {
    return this.#tree.forEach(from, to, visit);
  }

  /**
   * Drops what a compaction to `revision` makes unreadable of one key; see the example above. Deletions later than
   * `deletionsThrough` stay, because the image still has the row.
   */
  compact(entry: KeyEntry, revision: number, deletionsThrough = revision): void {
    const { older, latest } = entry;
    const goes = ({ deleted, modRevision }: Version) =>
      deleted && modRevision < revision && modRevision <= deletionsThrough;
    if (latest.modRevision <= revision) {
      this.#versions -= older?.length ?? 0;
      entry.older = undefined;
      if (goes(latest)) {
        this.#versions--;
        this.#entries.delete(entry.key);
        this.#tree.remove(entry.key);
      }
      return;
    }
    if (older === undefined) return;
    let keep = 0;
    while (keep < older.length && (older[keep] as Version).modRevision <= revision) keep++;
    // older[keep - 1] is what a read at `revision` sees: it goes only if it is a deletion below.
    const seen = older[keep - 1];
    if (seen !== undefined && !goes(seen)) keep--;
    this.#versions -= keep;
    if (keep === older.length) entry.older = undefined;
    else if (keep > 0) entry.older = older.slice(keep);
  }
}
