/**
 * HashKV: a checksum over all that can be read at or before a revision (from the compacted one on), to compare replicas. The
 * same history gives the same hash on every backend; the numbers are not etcd's, whose hash covers its own storage format.
 */
import { StoreError } from './errors.ts';
import type { Change } from './records.ts';
import type { Replica } from './replica.ts';
import type { Key } from './requests.ts';
import { isSameVersion, type Version } from './version.ts';

/** Values of so many versions are in memory at a time. */
const versionsPerStep = 500;

export interface KeyValuesHash {
  readonly hash: number;
  /** The compacted revision that it begins at. */
  readonly compactedRevision: number;
}

/** Rejects with Compacted. */
export async function hashKeyValues(replica: Replica, revision: number): Promise<KeyValuesHash> {
  for (;;) {
    const { state } = replica;
    const { compactedRevision } = state;
    if (revision < compactedRevision) throw new StoreError('Compacted');
    const hash = await hashFrom(replica, revision);
    // A compaction meanwhile has taken some of it away.
    if (replica.state === state && state.compactedRevision === compactedRevision) return { hash, compactedRevision };
  }
}

async function hashFrom(replica: Replica, revision: number): Promise<number> {
  const { state } = replica;
  const { compactedRevision } = state;
  const crc = new Crc32c();
  let from: Key | undefined = '';
  while (from !== undefined) {
    const items: Change[] = [];
    let next: Key | undefined;
    state.index.forEach(from, undefined, (entry) => {
      if (items.length >= versionsPerStep) {
        next = entry.key;
        return false;
      }
      const seen = entry.at(compactedRevision);
      for (const version of entry.versions()) {
        if (version.modRevision > revision) break;
        // What compaction has dropped, or will as soon as it gets there, must not count; nor a tombstone at its revision.
        const kept = version.modRevision > compactedRevision || (isSameVersion(version, seen) && !version.deleted);
        if (kept) items.push({ key: entry.key, version });
      }
      return true;
    });
    const pinned = new Map<Version, Buffer>();
    await replica.pin(state, items, pinned);
    if (replica.state !== state || state.compactedRevision !== compactedRevision) return 0;
    for (const { version } of items) crc.update(pinned.get(version) as Buffer);
    from = next;
  }
  return crc.value;
}

/** CRC-32 with Castagnoli's polynomial, as etcd's hashes use. */
export class Crc32c {
  #crc = 0xffffffff;

  get value(): number {
    return (this.#crc ^ 0xffffffff) >>> 0;
  }

  update(bytes: Uint8Array): void {
    let crc = this.#crc;
    for (const byte of bytes) crc = (crc >>> 8) ^ (table[(crc ^ byte) & 0xff] as number);
    this.#crc = crc;
  }
}

const table = Uint32Array.from({ length: 256 }, (_, index) => {
  let entry = index;
  for (let bit = 0; bit < 8; bit++) entry = entry & 1 ? (entry >>> 1) ^ 0x82f63b78 : entry >>> 1;
  return entry;
});
