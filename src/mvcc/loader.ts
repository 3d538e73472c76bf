/** Fetches values that are not in memory, from the log or (what the log no longer has) from the image. */
import type { Storage } from '../registry/backend.ts';
import { encodeKeyValue, keyOf } from './key-value.ts';
import { type Change, decodeBatch } from './records.ts';
import type { State } from './state.ts';
import type { Version } from './version.ts';

const slotsPerLoad = 64;
const rowsPerLoad = 1000;

/** The encoded KeyValues of `items`, except those that the storage no longer has. Rejects with BackendError. */
export async function loadKeyValues(
  storage: Storage,
  state: State,
  items: readonly Change[],
): Promise<Map<Version, Buffer>> {
  const found = new Map<Version, Buffer>();
  const bySlot = new Map<number, Change[]>();
  const inImage: Change[] = [];
  for (const item of items) {
    const cached = state.cache.get(item.version);
    const slot = state.slots.slotOf(item.version.modRevision);
    if (cached !== undefined) found.set(item.version, cached);
    else if (slot === undefined) inImage.push(item);
    else {
      const others = bySlot.get(slot);
      if (others === undefined) bySlot.set(slot, [item]);
      else others.push(item);
    }
  }
  const slots = [...bySlot.keys()].sort((a, b) => a - b);
  for (let i = 0; i < slots.length; i += slotsPerLoad) {
    const batches = await storage.log.load(slots.slice(i, i + slotsPerLoad));
    for (const { slot, data } of batches) takeFromBatch(state, data, bySlot.get(slot) as Change[], found);
  }
  for (const wanted of bySlot.values()) for (const item of wanted) if (!found.has(item.version)) inImage.push(item);
  for (let i = 0; i < inImage.length; i += rowsPerLoad) {
    await takeFromImage(storage, state, inImage.slice(i, i + rowsPerLoad), found);
  }
  return found;
}

function takeFromBatch(state: State, data: Uint8Array, wanted: readonly Change[], found: Map<Version, Buffer>): void {
  const { records, segment } = decodeBatch(data);
  const byRevision = new Map(wanted.map((item) => [item.version.modRevision, [] as Change[]]));
  for (const item of wanted) byRevision.get(item.version.modRevision)?.push(item);
  const bytes = segment.bytes as Buffer;
  let wantedBytes = 0;
  const places: { item: Change; offset: number; length: number }[] = [];
  for (const record of records) {
    if (record.kind !== 'revision') continue;
    for (const item of byRevision.get(record.revision) ?? []) {
      // A transaction may put a key and delete it again: one of each, in one revision.
      const change = record.changes.find(
        ({ key, version }) => key === item.key && version.version === item.version.version,
      );
      if (change === undefined) continue;
      const { offset, length } = change.version;
      places.push({ item, offset, length });
      wantedBytes += length;
    }
  }
  // A batch of which little is wanted would only crowd others out of the cache.
  const whole = wantedBytes * 2 >= bytes.length;
  for (const { item, offset, length } of places) {
    const { version } = item;
    const value = bytes.subarray(offset, offset + length);
    found.set(version, value);
    if (whole) state.cache.move(version, segment, offset, length);
    else state.cache.put(version, value);
  }
  if (whole) state.cache.add(segment);
}

async function takeFromImage(
  storage: Storage,
  state: State,
  wanted: readonly Change[],
  found: Map<Version, Buffer>,
): Promise<void> {
  const versions = new Map(wanted.map(({ key, version }) => [key, version]));
  const rows = await storage.image.load([...versions.keys()].map((key) => Buffer.from(key, 'latin1')));
  for (const row of rows) {
    const key = keyOf(row.key);
    const version = versions.get(key);
    if (version?.modRevision !== row.modRevision) continue;
    const { createRevision, modRevision, lease } = row;
    const bytes = encodeKeyValue({ key, createRevision, modRevision, version: row.version, lease }, row.value);
    found.set(version, bytes);
    state.cache.put(version, bytes);
  }
}
