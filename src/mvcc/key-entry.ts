/**
 * A key with the versions of it that can still be read. The newest and those whose values are in memory are objects, for readers and
 * watchers; what is older is kept as numbers, which are smaller and which garbage collection does not follow: a key that is written
 * often has hundreds of versions between two compactions.
 */
import { PackedVersions } from './packed-versions.ts';
import type { Key } from './requests.ts';
import type { Version } from './version.ts';

/** So many versions at least are packed at once, and a quarter of those that are objects. */
const packedAtOnce = 8;

export class KeyEntry {
  readonly key: Key;
  latest: Version;
  /**
   * Older versions, ascending; made when needed, since most keys have none. At the begin may stand some that are packed as well:
   * somebody has read them.
   */
  #recent: Version[] | undefined;
  /** The oldest versions. undefined: none. */
  #packed: PackedVersions | undefined;

  constructor(key: Key, latest: Version) {
    this.key = key;
    this.latest = latest;
  }

  /** Every version, ascending. Those that are packed are made anew. */
  versions(): Version[] {
    const recent = this.#recent ?? [];
    return [...(this.#packed?.all() ?? []), ...recent.slice(this.#packedToo(recent)), this.latest];
  }

  /**
   * The version that a read at `revision` sees, perhaps a deletion; undefined if the key did not exist yet. It stays the same object
   * while its value is in memory, or until the key is written.
   */
  at(revision: number): Version | undefined {
    if (this.latest.modRevision <= revision) return this.latest;
    const recent = this.#recent;
    if (recent === undefined) return undefined;
    const count = countThrough(recent, revision);
    const found = recent[count - 1];
    const packed = this.#packed;
    if (packed === undefined || (found !== undefined && found.modRevision > packed.lastRevision)) return found;
    const place = packed.countThrough(revision) - 1;
    if (place < 0 || found?.modRevision === packed.revision(place)) return found;
    const version = packed.at(place);
    recent.splice(count, 0, version);
    return version;
  }

  /** Adds the newest version. */
  add(version: Version): void {
    const before = this.latest;
    if (version.modRevision < before.modRevision) {
      throw new Error(`version ${version.modRevision} of a key added after ${before.modRevision}`);
    }
    this.latest = version;
    const recent = this.#recent;
    if (recent === undefined) {
      this.#recent = [before];
      return;
    }
    recent.push(before);
    const probe = recent[packedAtOnce + (recent.length >>> 2)];
    if (probe !== undefined && probe.segment.bytes === undefined) this.#pack(recent);
  }

  /** Packs the oldest versions, up to the first whose value is in memory. */
  #pack(recent: Version[]): void {
    const first = this.#packedToo(recent);
    let end = first;
    while (end < recent.length && recent[end]?.segment.bytes === undefined) end++;
    // What one revision did to the key stays together.
    while (end > first && recent[end - 1]?.modRevision === (recent[end] ?? this.latest).modRevision) end--;
    if (end === 0) return;
    this.#packed ??= new PackedVersions();
    this.#packed.add(recent.slice(first, end));
    const read = recent.slice(0, first).filter(({ segment }) => segment.bytes !== undefined);
    this.#recent = read.concat(recent.slice(end));
  }

  /** How many of the recent versions are packed as well. */
  #packedToo(recent: readonly Version[]): number {
    return this.#packed === undefined ? 0 : countThrough(recent, this.#packed.lastRevision);
  }

  /**
   * Drops the versions, except the newest, that a compaction to `revision` makes unreadable, and returns how many. What a read at
   * `revision` sees is dropped if it `goes`.
   */
  compact(revision: number, goes: (version: Version) => boolean): number {
    const recent = this.#recent;
    if (recent === undefined) return 0;
    const packed = this.#packed;
    const packedToo = this.#packedToo(recent);
    const size = packed?.size ?? 0;
    if (this.latest.modRevision <= revision) {
      this.#recent = undefined;
      this.#packed = undefined;
      return size + recent.length - packedToo;
    }
    let count = countThrough(recent, revision);
    if (packed === undefined || count > packedToo) {
      // What is seen is not packed.
      if (count > 0 && !goes(recent[count - 1] as Version)) count--;
      this.#packed = undefined;
      this.#recent = count === recent.length ? undefined : recent.slice(count);
      return size + Math.max(count - packedToo, 0);
    }
    let dropped = packed.countThrough(revision);
    if (dropped > 0 && !goes(packed.at(dropped - 1))) dropped--;
    if (dropped === size) this.#packed = undefined;
    else packed.dropFirst(dropped);
    this.#recent = recent.slice(count);
    return dropped;
  }
}

/** How many of these are not later than `revision`. */
function countThrough(versions: readonly Version[], revision: number): number {
  let low = 0;
  let high = versions.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((versions[middle] as Version).modRevision <= revision) low = middle + 1;
    else high = middle;
  }
  return low;
}
