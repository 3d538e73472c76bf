/**
 * Makes compactions physical, in the background: brings what became final into the image, cuts the log off before the slot of
 * the compacted revision, and then drops unreadable versions from the index. (That slot stays: a watch may start at the
 * compacted revision and wants its events.) The logical effect does not wait for any of this.
 *
 * It walks the index in key order, in chunks, so it is coalesced by itself (one row a key, however often the key changed) and
 * writes rows in the order in which the image keeps them. Interrupted at any point it is harmless and starts again.
 *
 * Replicas that share a log do this work once. Who began last has the fence; the others wait until the image covers their
 * compaction too, and only then drop anything: a deletion forgotten before its row is gone for good would bring the key back
 * with the next checkpoint. For the same reason a replica that is late writes nothing into an image that is ahead of it.
 */

import { type Checkpoint, checkpointBytesMax, checkpointRowsMax, Fenced, type ImageChange } from '../registry/image.ts';
import { BackendError } from '../registry/log.ts';
import type { KeyEntry } from './key-entry.ts';
import { decodeKeyValue } from './key-value.ts';
import type { Change } from './records.ts';
import { type Replica, saveState } from './replica.ts';
import type { Key } from './requests.ts';
import type { State } from './state.ts';
import type { Version } from './version.ts';

/** Keys looked at before the event loop gets a turn. */
const keysPerStep = 2000;
const retryPauseMs = 1000;
/** How long another replica may take to finish the checkpoint that it took over, at first; twice as long each time. */
const fencedPatienceMs = 30_000;

export interface CompactorObserver {
  /** A run that ended: rows written, milliseconds. */
  compacted(revision: number, rows: number, milliseconds: number): void;
  warn(message: string): void;
}

export class Compactor {
  readonly #replica: Replica;
  readonly #observer: CompactorObserver;
  readonly #now: () => number;
  readonly #fatal: (error: unknown) => void;
  /** The revision up to which rows are in the image, as far as this process knows. */
  #written: number;
  /** What was pruned last: a state, and the revision that it was compacted to. */
  #pruned: { readonly state: State | undefined; readonly revision: number } = { state: undefined, revision: -1 };
  #running: Promise<void> | undefined;
  #closed = false;
  /** Another replica works on a checkpoint: it is left alone until then. */
  #leftAloneUntilMs = 0;
  #patienceMs = fencedPatienceMs;
  #endPause: () => void = () => {};

  constructor(replica: Replica, observer: CompactorObserver, now: () => number, fatal: (error: unknown) => void) {
    this.#replica = replica;
    this.#observer = observer;
    this.#now = now;
    this.#fatal = fatal;
    this.#written = replica.imageRevision;
  }

  /** Called after every batch: starts if there is a new compaction. */
  noticed(): void {
    if (this.#behind()) void this.wake();
  }

  #behind(): boolean {
    const { state } = this.#replica;
    const { compactedRevision } = state;
    return compactedRevision >= 0 && (this.#pruned.state !== state || compactedRevision > this.#pruned.revision);
  }

  /** Starts, unless it runs already, until nothing is left of the newest compaction. */
  wake(): Promise<void> {
    this.#running ??= this.#run();
    return this.#running;
  }

  /** Resolves when the compaction to `revision` has been made physical (or the compactor is closed). */
  async finished(revision: number): Promise<void> {
    while (!this.#closed && this.#pruned.revision < revision) await this.wake();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#endPause();
    await this.#running;
  }

  async #run(): Promise<void> {
    // What woke it goes first.
    await new Promise((resolve) => setImmediate(resolve));
    try {
      while (!this.#closed && this.#behind()) {
        const { state } = this.#replica;
        if (!(await this.#tryCompact(state, state.compactedRevision))) await this.#pause();
      }
    } catch (error) {
      this.#fatal(error);
    } finally {
      this.#running = undefined;
    }
  }

  #pause(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, retryPauseMs);
      this.#endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** False: to be tried again after a while. */
  async #tryCompact(state: State, revision: number): Promise<boolean> {
    try {
      return await this.#compact(state, revision);
    } catch (error) {
      if (error instanceof Fenced) {
        // At random, so that replicas do not take the fence from each other forever.
        this.#leftAloneUntilMs = this.#now() + this.#patienceMs * (1 + Math.random());
        this.#patienceMs *= 2;
        return false;
      }
      if (!(error instanceof BackendError)) throw error;
      this.#observer.warn(`compaction to revision ${revision} will be tried again: ${error.message}`);
      return false;
    }
  }

  async #compact(state: State, revision: number): Promise<boolean> {
    const startedAtMs = this.#now();
    const { log, image } = this.#replica.storage;
    const slot = (state.slots.slotOf(revision) ?? state.slots.firstSlot) - 1;
    let rows = 0;
    let covered = await this.#covered(slot);
    if (covered === undefined) {
      if (this.#now() < this.#leftAloneUntilMs) return false;
      const checkpoint = await image.begin();
      // Only now nobody else can move the mark.
      covered = await this.#covered(slot);
      if (covered === undefined) {
        const written = await this.#write(checkpoint, state, revision);
        if (written === undefined) return true;
        rows = written;
        const mark = { slot, revision: state.slots.lastRevisionOf(slot) };
        if (slot >= 0) await checkpoint.finish(mark, [saveState(state)]);
        covered = revision;
      }
    }
    this.#written = Math.max(this.#written, covered);
    this.#leftAloneUntilMs = 0;
    this.#patienceMs = fencedPatienceMs;
    if (slot >= 0) await log.truncate(slot);
    state.slots.truncate(slot);
    if (!(await this.#prune(state, revision, covered))) return true;
    this.#pruned = { state, revision };
    this.#observer.compacted(revision, rows, this.#now() - startedAtMs);
    return true;
  }

  /** The revision that the image stands for, if another replica has brought its mark to `slot` or further. */
  async #covered(slot: number): Promise<number | undefined> {
    if (this.#replica.storage.log.exclusive) return undefined;
    const mark = await this.#replica.storage.image.mark();
    return mark.slot >= 0 && mark.slot >= slot ? mark.revision : undefined;
  }

  /** Writes the rows that changed; undefined if the state was replaced or has moved on meanwhile. */
  async #write(checkpoint: Checkpoint, state: State, revision: number): Promise<number | undefined> {
    let rows = 0;
    let from: Key | undefined = '';
    while (from !== undefined) {
      if (this.#closed || this.#replica.state !== state) return undefined;
      const step = this.#collect(state, from, revision);
      if (step.changed.length > 0) {
        const changes = await this.#rows(state, step.changed);
        if (changes === undefined) return undefined;
        await checkpoint.write(changes);
        rows += changes.length;
      } else await new Promise((resolve) => setImmediate(resolve));
      from = step.next;
    }
    return this.#replica.state === state ? rows : undefined;
  }

  /** The next changes from `from` on whose rows are not in the image. */
  #collect(state: State, from: Key, revision: number): { changed: Change[]; next: Key | undefined } {
    const changed: Change[] = [];
    let keys = 0;
    let bytes = 0;
    let next: Key | undefined;
    state.index.forEach(from, undefined, (entry) => {
      const full = changed.length >= checkpointRowsMax || bytes >= checkpointBytesMax / 2;
      if (full || keys >= keysPerStep) {
        next = entry.key;
        return false;
      }
      keys++;
      const version = entry.at(revision);
      if (version !== undefined && version.modRevision > this.#written) {
        changed.push({ key: entry.key, version });
        bytes += version.length;
      }
      return true;
    });
    return { changed, next };
  }

  /** undefined if a value is gone: another replica has compacted further and writes these rows itself. */
  async #rows(state: State, changed: readonly Change[]): Promise<ImageChange[] | undefined> {
    const pinned = new Map<Version, Buffer>();
    const live = changed.filter(({ version }) => !version.deleted);
    await this.#replica.pin(state, live, pinned);
    if (live.some(({ version }) => !pinned.has(version))) return undefined;
    return changed.map(({ key, version }): ImageChange => {
      const keyBytes = Buffer.from(key, 'latin1');
      if (version.deleted) return { key: keyBytes, deleted: true };
      const { createRevision, modRevision, lease } = version;
      const { value } = decodeKeyValue(pinned.get(version) as Buffer);
      return { key: keyBytes, createRevision, modRevision, version: version.version, lease, value };
    });
  }

  /** Drops what can no longer be read from the index. False: the state was replaced meanwhile. */
  async #prune(state: State, revision: number, covered: number): Promise<boolean> {
    let from: Key | undefined = '';
    while (from !== undefined) {
      if (this.#closed || this.#replica.state !== state) return false;
      const entries: KeyEntry[] = [];
      let next: Key | undefined;
      state.index.forEach(from, undefined, (entry) => {
        if (entries.length >= keysPerStep) {
          next = entry.key;
          return false;
        }
        entries.push(entry);
        return true;
      });
      for (const entry of entries) state.index.compact(entry, revision, covered);
      from = next;
      await new Promise((resolve) => setImmediate(resolve));
    }
    return true;
  }
}
