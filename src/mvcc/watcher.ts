/** One watch of a client, and the group of watches that see exactly the same events. */
import type { EventBlock } from './event-block.ts';
import { endOfKeys } from './interval-tree.ts';
import type { Key, KeyRange } from './requests.ts';
import { upperEnd } from './selection.ts';

/** Where a hub sends what it has for a watcher: a client's stream. */
export interface WatchSink {
  /** False: enough is queued for this client; the hub sends nothing until `drained` resolves. */
  readonly writable: boolean;
  drained(): Promise<void>;
  /** `revision`: the store's, for the header. Never called for a watcher that was cancelled. */
  events(watcher: Watcher, block: EventBlock, revision: number): void;
  /** The watcher's next event was compacted away; the hub has forgotten the watcher. */
  compacted(watcher: Watcher, compactedRevision: number): void;
}

/** What decides which events a watch sees. */
export interface WatchFilter extends KeyRange {
  readonly noPut: boolean;
  readonly noDelete: boolean;
  readonly prevKv: boolean;
}

/**
 * - `synced`: has everything up to the store's revision, gets events as they are applied.
 * - `unsynced`: behind (it started in the past, or its client is slow); catches up from the log from `next` on.
 * - `future`: starts at `next`, a revision that the store has not reached.
 * - `ended`: cancelled.
 */
export type WatcherState = 'synced' | 'unsynced' | 'future' | 'ended';

export class Watcher {
  /** Unique on its stream; signed 64 bits. */
  readonly id: bigint;
  readonly sink: WatchSink;
  readonly group: WatchGroup;
  /** As the client asked; 0: from now on. */
  readonly startRevision: number;
  state: WatcherState = 'unsynced';
  /** The first revision that it has not been offered yet; of no meaning while synced. */
  next: number;

  constructor(id: bigint, sink: WatchSink, group: WatchGroup, startRevision: number, next: number) {
    this.id = id;
    this.sink = sink;
    this.group = group;
    this.startRevision = startRevision;
    this.next = next;
  }
}

export class WatchGroup {
  readonly filter: WatchFilter;
  readonly name: string;
  readonly from: Key;
  readonly to: Key;
  readonly synced = new Set<Watcher>();
  readonly future = new Set<Watcher>();
  /** All watchers, whatever their state. */
  size = 0;

  constructor(filter: WatchFilter, name: string) {
    this.filter = filter;
    this.name = name;
    this.from = filter.key;
    this.to = upperEnd(filter) ?? endOfKeys;
  }

  contains(key: Key): boolean {
    return key >= this.from && key < this.to;
  }
}

export function groupName(filter: WatchFilter): string {
  const flags = (filter.noPut ? 1 : 0) + (filter.noDelete ? 2 : 0) + (filter.prevKv ? 4 : 0);
  return `${flags}${filter.key.length}:${filter.key}${filter.rangeEnd}`;
}
