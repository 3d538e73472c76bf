/** Which versions a range at a revision consists of: the part of a Range that needs the index only. */

import type { KeyIndex } from './key-index.ts';
import type { Change } from './records.ts';
import type { Key, KeyRange } from './requests.ts';
import type { Version } from './version.ts';

/** Keys and their versions, parallel, in key order. */
export interface Selection {
  keys: Key[];
  versions: Version[];
  /** Keys in the range at that revision, whatever the limit was. */
  count: number;
}

/** The same as pairs. */
export function itemsOf({ keys, versions }: Selection): Change[] {
  return keys.map((key, i) => ({ key, version: versions[i] as Version }));
}

/** The exclusive upper end of a range; undefined: none. */
export function upperEnd(range: KeyRange): Key | undefined {
  if (range.rangeEnd === '') return `${range.key}\0`;
  return range.rangeEnd === '\0' ? undefined : range.rangeEnd;
}

/**
 * Walks a range in steps, so that a large one does not hold up the event loop: writes may happen between steps, since what a
 * read at `revision` sees does not change (until a compaction passes it, which the caller has to check).
 */
export class Selector {
  readonly selection: Selection = { keys: [], versions: [], count: 0 };
  readonly #index: KeyIndex;
  readonly #revision: number;
  readonly #limit: number;
  readonly #to: Key | undefined;
  #from: Key | undefined;
  /** The count is known beforehand: for the newest revision the tree knows it. */
  readonly #counted: boolean;

  /**
   * @param latest whether `revision` is the newest one of the index
   * @param limit 0: none
   */
  constructor(index: KeyIndex, range: KeyRange, revision: number, latest: boolean, limit: number, countOnly: boolean) {
    this.#index = index;
    this.#revision = revision;
    this.#limit = countOnly ? -1 : limit;
    this.#from = range.key;
    this.#to = upperEnd(range);
    this.#counted = latest && range.rangeEnd !== '';
    if (range.rangeEnd === '') this.#single(range.key);
    else if (this.#to !== undefined && this.#to <= range.key) this.#from = undefined;
    else if (this.#counted) {
      this.selection.count = index.countLive(range.key, this.#to);
      if (countOnly || this.selection.count === 0) this.#from = undefined;
    }
  }

  #single(key: Key): void {
    this.#from = undefined;
    const version = this.#index.get(key)?.at(this.#revision);
    if (version === undefined || version.deleted) return;
    this.selection.count = 1;
    if (this.#limit < 0) return;
    this.selection.keys.push(key);
    this.selection.versions.push(version);
  }

  /** Visits at most `entries` more keys; true when the selection is complete. */
  step(entries: number): boolean {
    if (this.#from === undefined) return true;
    const { keys, versions } = this.selection;
    const wanted = this.#limit === 0 ? Number.POSITIVE_INFINITY : this.#limit;
    let left = entries;
    let next: Key | undefined;
    this.#index.forEach(this.#from, this.#to, (entry) => {
      if (left-- === 0) {
        next = entry.key;
        return false;
      }
      const version = entry.at(this.#revision);
      if (version === undefined || version.deleted) return true;
      if (!this.#counted) this.selection.count++;
      if (versions.length < wanted) {
        keys.push(entry.key);
        versions.push(version);
      }
      return !this.#counted || versions.length < wanted;
    });
    this.#from = next;
    return next === undefined;
  }
}
