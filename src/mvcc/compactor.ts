/**
 * Makes compactions physical, in the background: brings what became final into the image, drops unreadable versions from the
 * index, and cuts the log off before the slot of the compacted revision. (That slot stays: a watch may start at the compacted
 * revision and wants its events.) The logical effect does not wait for any of this.
 *
 * It walks the index in key order, in chunks, so it is coalesced by itself (one row a key, however often the key changed) and
 * writes rows in the order in which the image keeps them. Interrupted at any point it is harmless and starts again.
 */

import { type Checkpoint, checkpointBytesMax, checkpointRowsMax, Fenced, type ImageChange } from '../registry/image.ts';
import { BackendError } from '../registry/log.ts';
import type { KeyEntry, Version } from './key-index.ts';
import { decodeKeyValue } from './key-value.ts';
import type { Change } from './records.ts';
import { type Replica, saveState } from './replica.ts';
import type { Key } from './requests.ts';
import type { State } from './state.ts';

/** Keys looked at before the event loop gets a turn. */
const keysPerStep = 2000;
const retryPauseMs = 1000;

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

  constructor(replica: Replica, observer: CompactorObserver, now: () => number, fatal: (error: unknown) => void) {
    this.#replica = replica;
    this.#observer = observer;
    this.#now = now;
    this.#fatal = fatal;
    this.#written = replica.imageRevision;
  }

  /** Called after every batch: starts if there is a new compaction. */
  noticed(): void {
    const { state } = this.#replica;
    if (state.compactedRevision > this.#pruned.revision || state !== this.#pruned.state) {
      if (state.compactedRevision >= 0) void this.wake();
    }
  }

  /** Starts, unless it runs already, until nothing is left of the newest compaction. */
  wake(): Promise<void> {
    this.#running ??= this.#run()
      .catch(this.#fatal)
      .finally(() => {
        this.#running = undefined;
      });
    return this.#running;
  }

  /** Resolves when the compaction to `revision` has been made physical (or the compactor is closed). */
  async finished(revision: number): Promise<void> {
    while (!this.#closed && this.#pruned.revision < revision) await this.wake();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      const { state } = this.#replica;
      const revision = state.compactedRevision;
      if (revision < 0 || (this.#pruned.state === state && revision <= this.#pruned.revision)) return;
      try {
        await this.#compact(state, revision);
      } catch (error) {
        if (!(error instanceof BackendError)) throw error;
        this.#observer.warn(`compaction to revision ${revision} will be tried again: ${error.message}`);
        await new Promise((resolve) => setTimeout(resolve, retryPauseMs));
      }
    }
  }

  async #compact(state: State, revision: number): Promise<void> {
    const startedAtMs = this.#now();
    let checkpoint: Checkpoint | undefined = await this.#replica.storage.image.begin();
    let rows = 0;
    let from: Key | undefined = '';
    while (from !== undefined) {
      if (this.#closed || this.#replica.state !== state) return;
      const step = this.#collect(state, from, revision);
      if (checkpoint !== undefined && step.changed.length > 0) {
        checkpoint = await this.#write(checkpoint, state, step.changed);
        rows += step.changed.length;
      } else await new Promise((resolve) => setImmediate(resolve));
      for (const entry of step.entries) state.index.compact(entry, revision);
      from = step.next;
    }
    if (checkpoint !== undefined) await this.#finish(checkpoint, state, revision);
    this.#pruned = { state, revision };
    this.#observer.compacted(revision, rows, this.#now() - startedAtMs);
  }

  /** The next keys from `from` on, and those of them whose row must change. */
  #collect(
    state: State,
    from: Key,
    revision: number,
  ): { entries: KeyEntry[]; changed: Change[]; next: Key | undefined } {
    const entries: KeyEntry[] = [];
    const changed: Change[] = [];
    let bytes = 0;
    let next: Key | undefined;
    state.index.forEach(from, undefined, (entry) => {
      const full = changed.length >= checkpointRowsMax || bytes >= checkpointBytesMax / 2;
      if (full || entries.length >= keysPerStep) {
        next = entry.key;
        return false;
      }
      entries.push(entry);
      const version = entry.at(revision);
      if (version !== undefined && version.modRevision > this.#written) {
        changed.push({ key: entry.key, version });
        bytes += version.length;
      }
      return true;
    });
    return { entries, changed, next };
  }

  /** Writes rows; undefined if another replica has taken over the checkpoint. */
  async #write(checkpoint: Checkpoint, state: State, changed: readonly Change[]): Promise<Checkpoint | undefined> {
    const pinned = new Map<Version, Buffer>();
    const live = changed.filter(({ version }) => !version.deleted);
    await this.#replica.pin(state, live, pinned);
    // A value is gone: another replica has compacted further and writes these rows itself.
    if (live.some(({ version }) => !pinned.has(version))) return undefined;
    const changes = changed.map(({ key, version }): ImageChange => {
      const keyBytes = Buffer.from(key, 'latin1');
      if (version.deleted) return { key: keyBytes, deleted: true };
      const { createRevision, modRevision, lease } = version;
      const { value } = decodeKeyValue(pinned.get(version) as Buffer);
      return { key: keyBytes, createRevision, modRevision, version: version.version, lease, value };
    });
    try {
      await checkpoint.write(changes);
      return checkpoint;
    } catch (error) {
      if (error instanceof Fenced) return undefined;
      throw error;
    }
  }

  async #finish(checkpoint: Checkpoint, state: State, revision: number): Promise<void> {
    const slot = (state.slots.slotOf(revision) ?? state.slots.firstSlot) - 1;
    const mark = { slot, revision: state.slots.lastRevisionOf(slot) };
    try {
      if (slot >= 0) await checkpoint.finish(mark, [saveState(state)]);
    } catch (error) {
      if (error instanceof Fenced) return;
      throw error;
    }
    this.#written = revision;
    if (slot < 0) return;
    await this.#replica.storage.log.truncate(slot);
    state.slots.truncate(slot);
  }
}
