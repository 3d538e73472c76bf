/**
 * Which slot holds which revision, for the slots that the log still has. Slots without a revision (a lease granted, a
 * keep-alive) take part too.
 */
import { upperBound } from './search.ts';

export class SlotIndex {
  /** The slot of firstRevisions[0]. */
  #firstSlot: number;
  /** Per slot the first revision that it assigned, or would have. */
  #firstRevisions: number[] = [];
  #lastRevision: number;

  /** @param nextSlot the slot to be added first  @param revision the last revision before it */
  constructor(nextSlot: number, revision: number) {
    this.#firstSlot = nextSlot;
    this.#lastRevision = revision;
  }

  /** The slot that will be added next. */
  get nextSlot(): number {
    return this.#firstSlot + this.#firstRevisions.length;
  }

  get firstSlot(): number {
    return this.#firstSlot;
  }

  /** Adds the next slot with the revisions up to `lastRevision` (the last one before, if it has none). */
  add(lastRevision: number): void {
    this.#firstRevisions.push(this.#lastRevision + 1);
    this.#lastRevision = lastRevision;
  }

  /** The slot that holds `revision`; undefined if the log no longer has it, or not yet. */
  slotOf(revision: number): number | undefined {
    const first = this.#firstRevisions;
    if (first.length === 0 || revision < (first[0] as number) || revision > this.#lastRevision) return undefined;
    return this.#firstSlot + upperBound(first, 1, revision) - 1;
  }

  /** The last revision of everything up to and including `slot`, which must be in the index or just before it. */
  lastRevisionOf(slot: number): number {
    const next = this.#firstRevisions[slot + 1 - this.#firstSlot];
    return next === undefined ? this.#lastRevision : next - 1;
  }

  /** Forgets the slots up to and including `through`. */
  truncate(through: number): void {
    const count = through + 1 - this.#firstSlot;
    if (count <= 0) return;
    if (count > this.#firstRevisions.length)
      throw new Error(`truncating through slot ${through}, which is not there yet`);
    this.#firstRevisions = this.#firstRevisions.slice(count);
    this.#firstSlot += count;
  }
}
