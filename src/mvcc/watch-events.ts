/** From changes in the log to events of a watch: filters, previous values, bytes. */
import type { WatchEvent } from './event-block.ts';
import type { Change } from './records.ts';
import type { EncodedKeyValue } from './requests.ts';
import type { State } from './state.ts';
import type { Version } from './version.ts';
import type { WatchFilter } from './watcher.ts';

export type PendingEvent = Change;

/** Those of `changes` (all within the range of the watch) that its filters let through. */
export function pendingEvents(filter: WatchFilter, changes: readonly Change[]): readonly PendingEvent[] {
  if (!filter.noPut && !filter.noDelete) return changes;
  return changes.filter(({ version }) => !(version.deleted ? filter.noDelete : filter.noPut));
}

/**
 * What each key had before its event, by the event's version. As in etcd it is what a read at the revision before would see:
 * so a creation has none, and neither has an event exactly at the compacted revision.
 */
export function prevVersions(state: State, events: readonly PendingEvent[]): Map<Version, Change> {
  const previous = new Map<Version, Change>();
  for (const { key, version } of events) {
    const { modRevision, createRevision } = version;
    if (createRevision === modRevision || modRevision - 1 < state.compactedRevision) continue;
    const before = state.index.get(key)?.at(modRevision - 1);
    if (before !== undefined && !before.deleted) previous.set(version, { key, version: before });
  }
  return previous;
}

/** undefined if `kvOf` does not have one of the values. */
export function toEvents(
  pending: readonly PendingEvent[],
  previous: ReadonlyMap<Version, Change> | undefined,
  kvOf: (item: Change) => EncodedKeyValue | undefined,
): WatchEvent[] | undefined {
  const events: WatchEvent[] = [];
  for (const item of pending) {
    const kv = kvOf(item);
    const before = previous?.get(item.version);
    const prevKv = before === undefined ? undefined : kvOf(before);
    if (kv === undefined || (before !== undefined && prevKv === undefined)) return undefined;
    events.push({ deleted: item.version.deleted, kv, prevKv });
  }
  return events;
}
