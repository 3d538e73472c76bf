/**
 * The hub: knows every watcher of this replica and gives each what the log brings, in order and once. Live events come from
 * `applied`; who is behind is served by watch-sync.ts from the log. A slow client costs a position in the log, no queue.
 */
import { EventBlock } from './event-block.ts';
import { IntervalTree } from './interval-tree.ts';
import type { Change, RevisionRecord } from './records.ts';
import type { Replica } from './replica.ts';
import type { Key } from './requests.ts';
import { firstRevision } from './state.ts';
import { type PendingEvent, pendingEvents, prevVersions, toEvents } from './watch-events.ts';
import { WatchSync } from './watch-sync.ts';
import { groupName, Watcher, type WatchFilter, WatchGroup, type WatchSink } from './watcher.ts';

export class WatchHub {
  readonly #replica: Replica;
  readonly #groups = new Map<string, WatchGroup>();
  /** Groups of single keys by key; the others are in the tree. */
  readonly #exact = new Map<Key, Set<WatchGroup>>();
  readonly #ranges = new IntervalTree<WatchGroup>();
  readonly #sync: WatchSync;
  /** The last revision that synced watchers were given. */
  #revision: number;
  #watchers = 0;
  /** Kept by the streams: open ones, and events sent since the start. */
  readonly counts = { streams: 0, events: 0 };

  constructor(replica: Replica, fatal: (error: unknown) => void) {
    this.#replica = replica;
    this.#revision = replica.state.revision;
    this.#sync = new WatchSync(
      replica,
      (watcher) => this.#becomeSynced(watcher),
      (watcher) => this.cancel(watcher),
      fatal,
    );
  }

  get watchers(): number {
    return this.#watchers;
  }

  get slowWatchers(): number {
    return this.#sync.size;
  }

  /**
   * Adds a watcher. `startRevision` 0: from the next revision on. Events come only after this call has returned, so the caller
   * can announce the watch first.
   */
  watch(id: bigint, filter: WatchFilter, startRevision: number, sink: WatchSink): Watcher {
    const group = this.#group(filter);
    const { revision: head, compactedRevision } = this.#replica.state;
    // Nothing ever happened at the first revision: it is that of an empty store. It can be compacted all the same.
    const empty = startRevision === firstRevision && compactedRevision <= firstRevision;
    const next = startRevision === 0 ? head + 1 : empty ? firstRevision + 1 : startRevision;
    const watcher = new Watcher(id, sink, group, startRevision, next);
    group.size++;
    this.#watchers++;
    if (watcher.next <= head) this.#becomeUnsynced(watcher, watcher.next);
    else if (watcher.next === head + 1) this.#becomeSynced(watcher);
    else {
      watcher.state = 'future';
      group.future.add(watcher);
    }
    return watcher;
  }

  /** Forgets a watcher; nothing is sent for it any more. */
  cancel(watcher: Watcher): void {
    if (watcher.state === 'ended') return;
    this.#sync.delete(watcher);
    watcher.group.synced.delete(watcher);
    watcher.group.future.delete(watcher);
    watcher.state = 'ended';
    this.#watchers--;
    if (--watcher.group.size === 0) this.#dropGroup(watcher.group);
  }

  /**
   * True if the watcher was given everything up to the store's revision, and that has reached its start: only then may its
   * stream be told of progress.
   */
  hasReached(watcher: Watcher): boolean {
    if (watcher.state === 'future' && watcher.next <= this.#revision) {
      // Nothing in its range happened since the store reached its start: it would have been moved.
      this.#becomeSynced(watcher);
    }
    return watcher.state === 'synced' && watcher.startRevision <= this.#revision;
  }

  #group(filter: WatchFilter): WatchGroup {
    const name = groupName(filter);
    let group = this.#groups.get(name);
    if (group !== undefined) return group;
    group = new WatchGroup(filter, name);
    this.#groups.set(name, group);
    if (filter.rangeEnd !== '') this.#ranges.insert(group.from, group.to, group);
    else {
      const others = this.#exact.get(filter.key);
      if (others === undefined) this.#exact.set(filter.key, new Set([group]));
      else others.add(group);
    }
    return group;
  }

  #dropGroup(group: WatchGroup): void {
    this.#groups.delete(group.name);
    if (group.filter.rangeEnd !== '') {
      this.#ranges.remove(group.from, group.to, group);
      return;
    }
    const others = this.#exact.get(group.from) as Set<WatchGroup>;
    others.delete(group);
    if (others.size === 0) this.#exact.delete(group.from);
  }

  #becomeSynced(watcher: Watcher): void {
    watcher.group.future.delete(watcher);
    watcher.state = 'synced';
    watcher.group.synced.add(watcher);
  }

  #becomeUnsynced(watcher: Watcher, next: number): void {
    watcher.group.synced.delete(watcher);
    watcher.group.future.delete(watcher);
    watcher.state = 'unsynced';
    watcher.next = next;
    this.#sync.add(watcher);
  }

  /** Gives watchers the revisions of a batch that was just applied. */
  applied(revisions: readonly RevisionRecord[]): void {
    const first = revisions[0]?.revision;
    if (first === undefined) return;
    // A watcher that comes later finds what it missed in the log.
    if (this.#watchers > 0) this.#sync.remember(revisions);
    else this.#sync.forget();
    if (this.#groups.size > 0) {
      for (const [group, changes] of this.#touched(revisions)) this.#deliver(group, changes, first);
    }
    this.#revision = (revisions.at(-1) as RevisionRecord).revision;
  }

  /** The groups that see anything of these revisions, with the changes in their range. */
  #touched(revisions: readonly RevisionRecord[]): Map<WatchGroup, Change[]> {
    const touched = new Map<WatchGroup, Change[]>();
    for (const { changes } of revisions) {
      for (const change of changes) {
        const add = (group: WatchGroup) => {
          const seen = touched.get(group);
          if (seen === undefined) touched.set(group, [change]);
          else seen.push(change);
        };
        if (this.#exact.size > 0) for (const group of this.#exact.get(change.key) ?? []) add(group);
        this.#ranges.stab(change.key, add);
      }
    }
    return touched;
  }

  /** @param first the first revision of the batch that brought these changes */
  #deliver(group: WatchGroup, changes: readonly Change[], first: number): void {
    const head = this.#replica.state.revision;
    for (const watcher of group.future) {
      // Nothing in its range happened before this batch, or it would have been moved then.
      if (watcher.next <= head) this.#becomeUnsynced(watcher, Math.max(watcher.next, first));
    }
    if (group.synced.size === 0) return;
    const pending = pendingEvents(group.filter, changes);
    if (pending.length === 0) return;
    const block = this.#block(group, pending);
    for (const watcher of group.synced) {
      if (block === undefined || !watcher.sink.writable) this.#becomeUnsynced(watcher, first);
      else watcher.sink.events(watcher, block, head);
    }
  }

  /** undefined: some value is not in memory, so that these events must take the way through the log. */
  #block(group: WatchGroup, pending: readonly PendingEvent[]): EventBlock | undefined {
    const { state } = this.#replica;
    const previous = group.filter.prevKv ? prevVersions(state, pending) : undefined;
    const events = toEvents(pending, previous, (item) => state.cache.get(item.version));
    return events === undefined ? undefined : new EventBlock(events);
  }

  /** Nobody is served any more. */
  close(): void {
    this.#sync.close();
  }

  /** The state was replaced by a newer one: whoever was up to date is behind now. */
  rebuilt(): void {
    const next = this.#revision + 1;
    this.#revision = this.#replica.state.revision;
    this.#sync.forget();
    if (this.#revision < next) return;
    for (const group of this.#groups.values()) {
      for (const watcher of group.synced) this.#becomeUnsynced(watcher, next);
      for (const watcher of group.future) {
        if (watcher.next <= this.#revision) this.#becomeUnsynced(watcher, watcher.next);
      }
    }
  }
}
