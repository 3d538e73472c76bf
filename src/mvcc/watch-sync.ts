/**
 * Catching up: watchers that are behind are read forward from the log together, the furthest behind first, until they reach
 * the store's revision and are handed back to the hub. Only those take part whose client can take more.
 */
import { BackendError } from '../registry/log.ts';
import { EventBlock } from './event-block.ts';
import { type Change, decodeBatch, type RevisionRecord } from './records.ts';
import type { Replica } from './replica.ts';
import type { Version } from './version.ts';
import { pendingEvents, prevVersions, toEvents } from './watch-events.ts';
import type { Watcher, WatchSink } from './watcher.ts';

/** One response to a watcher that catches up has at most this many revisions (as in etcd) … */
const revisionsPerRound = 1000;
/** … and is cut at the end of a revision once it has about this many bytes of log. */
const bytesPerRound = 1024 * 1024;
/** Kept in memory for watchers that are only a little behind: so many revisions, with so many changes in all. */
const recentRevisionsMax = 4096;
const recentChangesMax = 64 * 1024;
const retryPauseMs = 200;

export class WatchSync {
  readonly #replica: Replica;
  readonly #synced: (watcher: Watcher) => void;
  readonly #cancel: (watcher: Watcher) => void;
  readonly #fatal: (error: unknown) => void;
  readonly #watchers = new Set<Watcher>();
  readonly #waiting = new Set<WatchSink>();
  #recent: RevisionRecord[] = [];
  #recentChanges = 0;
  #running = false;
  #closed = false;

  constructor(
    replica: Replica,
    synced: (watcher: Watcher) => void,
    cancel: (watcher: Watcher) => void,
    fatal: (error: unknown) => void,
  ) {
    this.#replica = replica;
    this.#synced = synced;
    this.#cancel = cancel;
    this.#fatal = fatal;
  }

  get size(): number {
    return this.#watchers.size;
  }

  add(watcher: Watcher): void {
    this.#watchers.add(watcher);
    this.#wake();
  }

  delete(watcher: Watcher): void {
    this.#watchers.delete(watcher);
  }

  close(): void {
    this.#closed = true;
  }

  /** Keeps the newest revisions at hand. */
  remember(revisions: readonly RevisionRecord[]): void {
    for (const record of revisions) {
      this.#recent.push(record);
      this.#recentChanges += record.changes.length;
    }
    if (this.#recent.length <= 2 * recentRevisionsMax && this.#recentChanges <= 2 * recentChangesMax) return;
    let first = Math.max(this.#recent.length - recentRevisionsMax, 0);
    let changes = 0;
    for (let i = this.#recent.length - 1; i >= first; i--) {
      changes += (this.#recent[i] as RevisionRecord).changes.length;
      if (changes > recentChangesMax) first = i + 1;
    }
    this.#recent = this.#recent.slice(first);
    this.#recentChanges = this.#recent.reduce((sum, record) => sum + record.changes.length, 0);
  }

  forget(): void {
    if (this.#recent.length > 0) this.#recent = [];
    this.#recentChanges = 0;
  }

  #wake(): void {
    if (this.#running) return;
    this.#running = true;
    // Not at once: what caused this has its own answer to send first.
    setImmediate(() => {
      this.#run().catch(this.#fatal);
    });
  }

  async #run(): Promise<void> {
    try {
      let nearsTurn = true;
      for (let ready = this.#ready(); ready.length > 0; ready = this.#ready()) {
        // They take turns, so that who is far behind does not hold up those who are only a little behind.
        const oldest = this.#recent[0]?.revision ?? Number.POSITIVE_INFINITY;
        const near = ready.filter(({ next }) => next >= oldest);
        const far = ready.filter(({ next }) => next < oldest);
        await this.#round(far.length === 0 || (near.length > 0 && nearsTurn) ? near : far);
        nearsTurn = !nearsTurn;
      }
    } finally {
      this.#running = false;
    }
  }

  /** The watchers that can be served now. Whoever is behind the compacted revision is cancelled, as etcd does. */
  #ready(): Watcher[] {
    const ready: Watcher[] = [];
    if (this.#closed) return ready;
    const { compactedRevision } = this.#replica.state;
    for (const watcher of this.#watchers) {
      if (watcher.next < compactedRevision) {
        this.#cancel(watcher);
        watcher.sink.compacted(watcher, compactedRevision);
      } else if (watcher.sink.writable) ready.push(watcher);
      else this.#wakeWhenDrained(watcher.sink);
    }
    return ready;
  }

  #wakeWhenDrained(sink: WatchSink): void {
    if (this.#waiting.has(sink)) return;
    this.#waiting.add(sink);
    void sink.drained().then(() => {
      this.#waiting.delete(sink);
      this.#wake();
    });
  }

  async #round(ready: readonly Watcher[]): Promise<void> {
    const first = ready.reduce((min, { next }) => Math.min(min, next), Number.POSITIVE_INFINITY);
    let records: readonly RevisionRecord[];
    const served: Map<string, { watchers: Watcher[]; events: EventBlock | 'none' | 'gone' }> = new Map();
    try {
      records = await this.#read(first);
      const last = records.at(-1)?.revision ?? 0;
      for (const watcher of ready) {
        if (watcher.state !== 'unsynced' || watcher.next > last) continue;
        const share = `${watcher.next} ${watcher.group.name}`;
        const same = served.get(share);
        if (same !== undefined) same.watchers.push(watcher);
        else served.set(share, { watchers: [watcher], events: await this.#events(watcher, records) });
      }
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      // The database is out of reach: watchers wait, they lose nothing.
      await new Promise((resolve) => setTimeout(resolve, retryPauseMs));
      return;
    }
    const next = (records.at(-1)?.revision ?? 0) + 1;
    for (const { watchers, events } of served.values()) {
      for (const watcher of watchers) this.#deliver(watcher, events, next);
    }
    for (const watcher of ready) this.#handOver(watcher);
  }

  #deliver(watcher: Watcher, events: EventBlock | 'none' | 'gone', next: number): void {
    if (watcher.state !== 'unsynced' || watcher.next < this.#replica.state.compactedRevision) return;
    if (events === 'gone') return;
    if (events !== 'none') {
      if (!watcher.sink.writable) return;
      watcher.sink.events(watcher, events, this.#replica.state.revision);
    }
    watcher.next = next;
  }

  #handOver(watcher: Watcher): void {
    if (watcher.state !== 'unsynced' || watcher.next <= this.#replica.state.revision) return;
    this.#watchers.delete(watcher);
    this.#synced(watcher);
  }

  /** The events for one watcher; `none` in these revisions, or a value was `gone`. */
  async #events(watcher: Watcher, records: readonly RevisionRecord[]): Promise<EventBlock | 'none' | 'gone'> {
    const { group, next } = watcher;
    const changes: Change[] = [];
    for (const record of records) {
      if (record.revision < next) continue;
      for (const change of record.changes) if (group.contains(change.key)) changes.push(change);
    }
    const pending = pendingEvents(group.filter, changes);
    if (pending.length === 0) return 'none';
    const { state } = this.#replica;
    const previous = group.filter.prevKv ? prevVersions(state, pending) : undefined;
    const pinned = new Map<Version, Buffer>();
    const missing = [...pending, ...(previous?.values() ?? [])].filter(({ version }) => {
      const bytes = state.cache.get(version);
      if (bytes !== undefined) pinned.set(version, bytes);
      return bytes === undefined;
    });
    if (missing.length > 0) await this.#replica.pin(state, missing, pinned);
    const events = toEvents(pending, previous, ({ version }) => pinned.get(version));
    // Gone meanwhile: the compaction that took it has been applied by now, and the next round sees what that means.
    return events === undefined ? 'gone' : new EventBlock(events);
  }

  /** Revisions from `first` on, dense, at least one unless the store has none. */
  async #read(first: number): Promise<readonly RevisionRecord[]> {
    const { state } = this.#replica;
    if (first > state.revision) return [];
    const oldest = this.#recent[0]?.revision;
    if (oldest !== undefined && oldest <= first) {
      return cut(this.#recent.slice(first - oldest, first - oldest + revisionsPerRound));
    }
    const slot = state.slots.slotOf(first);
    if (slot === undefined) throw new Error(`revision ${first} is neither compacted nor in the log`);
    const batches = await this.#replica.storage.log.read(slot - 1, { batches: 256, bytes: bytesPerRound });
    if (batches[0]?.slot !== slot) {
      await this.#replica.catchUp();
      return [];
    }
    const records: RevisionRecord[] = [];
    for (const { slot: at, data } of batches) {
      // Not beyond what is applied here: the index must know what was before each event.
      if (at > state.slot || records.length >= revisionsPerRound) break;
      for (const record of decodeBatch(data).records) {
        if (record.kind === 'revision' && record.revision >= first) records.push(record);
      }
    }
    return records.slice(0, revisionsPerRound);
  }
}

/** Cuts at the end of a revision once there are enough bytes. */
function cut(records: RevisionRecord[]): RevisionRecord[] {
  let bytes = 0;
  const enough = records.findIndex(({ changes }) => {
    for (const { version } of changes) bytes += version.length;
    return bytes >= bytesPerRound;
  });
  return enough < 0 ? records : records.slice(0, enough + 1);
}
