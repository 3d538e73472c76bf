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

import { KeyEntry } from './key-entry.ts';
import { KeyTree } from './key-tree.ts';
import type { Key } from './requests.ts';
import type { Version } from './version.ts';

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
    entry.add(version);
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
    const { latest } = entry;
    const goes = ({ deleted, modRevision }: Version) =>
      deleted && modRevision < revision && modRevision <= deletionsThrough;
    this.#versions -= entry.compact(revision, goes);
    if (latest.modRevision > revision || !goes(latest)) return;
    this.#versions--;
    this.#entries.delete(entry.key);
    this.#tree.remove(entry.key);
  }
}
