/**
 * Versions of one key as numbers, ascending: a revision for each, and a row for each run of versions that follow one another with the
 * same lease since the key was created. Garbage collection has nothing to follow in them.
 *
 * Worked example, put[2] put[5] put[6] del[7] put[9] packed:
 *
 *   revisions   2 5 6 7 9
 *   runs        from 0: created at 2, version 1     from 3: a deletion     from 4: created at 9, version 1
 */
import { upperBound } from './search.ts';
import { notLoaded } from './segment.ts';
import { Version } from './version.ts';

/** A run: the place of its first version, createRevision, that version's number, the lease's upper and lower half, the largest length. */
const width = 6;
const createRevisionAt = 1;
const versionAt = 2;
const upperLeaseAt = 3;
const lowerLeaseAt = 4;
const lengthAt = 5;

/** Shorter arrays are made anew instead of pushed to, which takes room for sixteen numbers more. */
const pushedFrom = 64;

export class PackedVersions {
  #revisions: number[] = [];
  #runs: number[] = [];

  get size(): number {
    return this.#revisions.length;
  }

  /** Of the newest; at least one must be there. */
  get lastRevision(): number {
    return this.#revisions[this.#revisions.length - 1] as number;
  }

  /** How many are not later than `revision`. */
  countThrough(revision: number): number {
    return upperBound(this.#revisions, 1, revision);
  }

  revision(place: number): number {
    return this.#revisions[place] as number;
  }

  /** Adds newer ones. */
  add(versions: readonly Version[]): void {
    const revisions = versions.map(({ modRevision }) => modRevision);
    for (const [i, version] of versions.entries()) this.#addToRuns(this.size + i, version);
    this.#revisions = joined(this.#revisions, revisions);
  }

  #addToRuns(place: number, { createRevision, version, lease, length }: Version): void {
    const runs = this.#runs;
    const upper = lease === 0n ? 0 : Number(lease >> 32n);
    const lower = lease === 0n ? 0 : Number(BigInt.asIntN(32, lease));
    const run = runs.length - width;
    const follows =
      run >= 0 &&
      (runs[run + versionAt] as number) > 0 &&
      runs[run + createRevisionAt] === createRevision &&
      (runs[run + versionAt] as number) + place - (runs[run] as number) === version &&
      runs[run + upperLeaseAt] === upper &&
      runs[run + lowerLeaseAt] === lower;
    if (!follows) this.#runs = joined(runs, [place, createRevision, version, upper, lower, length]);
    else if ((runs[run + lengthAt] as number) < length) runs[run + lengthAt] = length;
  }

  /** A version without its value; its length is an upper bound. */
  at(place: number): Version {
    const runs = this.#runs;
    const run = (upperBound(runs, width, place) - 1) * width;
    const first = runs[run + versionAt] as number;
    const upper = runs[run + upperLeaseAt] as number;
    const lower = runs[run + lowerLeaseAt] as number;
    const version = new Version(
      this.revision(place),
      runs[run + createRevisionAt] as number,
      first === 0 ? 0 : first + place - (runs[run] as number),
      upper === 0 && lower === 0 ? 0n : (BigInt(upper) << 32n) | BigInt.asUintN(32, BigInt(lower)),
      notLoaded,
      0,
      runs[run + lengthAt] as number,
    );
    version.superseded = true;
    return version;
  }

  all(): Version[] {
    return this.#revisions.map((_, place) => this.at(place));
  }

  /** Drops the first `count`, which are not all. */
  dropFirst(count: number): void {
    if (count === 0) return;
    const runs = this.#runs.slice((upperBound(this.#runs, width, count) - 1) * width);
    for (let run = 0; run < runs.length; run += width) runs[run] = (runs[run] as number) - count;
    this.#revisions = this.#revisions.slice(count);
    this.#runs = runs;
  }
}

function joined(numbers: number[], more: readonly number[]): number[] {
  if (numbers.length < pushedFrom) return numbers.concat(more);
  for (const number of more) numbers.push(number);
  return numbers;
}
