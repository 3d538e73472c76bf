/** Slabs: memory of values that is used again. */
import t from 'tap';
import { BatchWriter, decodeBatch } from '../../../src/mvcc/records.ts';
import { Segment } from '../../../src/mvcc/segment.ts';
import { State } from '../../../src/mvcc/state.ts';
import { ValueCache } from '../../../src/mvcc/values.ts';
import { Version } from '../../../src/mvcc/version.ts';
import { Random } from '../../support/random.ts';

const cacheBytes = 4 * 1024 * 1024;
const slabBytes = cacheBytes / 64;

/** A batch of one value, filled with the number of its revision. */
function batchOf(revision: number, size: number): { segment: Segment; version: Version } {
  const segment = new Segment(Buffer.alloc(size, revision % 251));
  return { segment, version: new Version(revision, revision, 1, 0n, segment, 0, size) };
}

/** Applies a batch as State does. */
function apply(cache: ValueCache, before: Version | undefined, revision: number, size: number): Version {
  const { segment, version } = batchOf(revision, size);
  const placed = cache.place(segment);
  version.segment = placed.segment;
  version.offset += placed.shift;
  cache.supersede(before, version);
  if (placed.segment === segment) cache.add(segment);
  return version;
}

const isRight = (bytes: Buffer | undefined, revision: number, size: number): boolean =>
  bytes?.length === size && bytes.every((byte) => byte === revision % 251);

t.test('batches share slabs, whose memory is used again', async (t) => {
  const cache = new ValueCache(cacheBytes);
  const memories = new Set<ArrayBufferLike>();
  let live: Version | undefined;
  for (let revision = 1; revision <= 20_000; revision++) {
    live = apply(cache, live, revision, 500);
    const bytes = live.segment.bytes as Buffer;
    if (bytes.length !== slabBytes) t.fail(`a segment of ${bytes.length} bytes`);
    memories.add(bytes.buffer);
    if (!isRight(cache.get(live), revision, 500)) t.fail(`the value of revision ${revision}`);
  }
  // A quarter of the cache may be stale, one slab is filled, two are free.
  t.ok(memories.size <= 64 / 4 + 3, `${memories.size} slabs for what would fill ${(20_000 * 500) / slabBytes}`);
  t.ok(cache.bytes <= cacheBytes / 4 + 2 * (slabBytes + 200), `${cache.bytes} bytes`);
});

t.test('a batch that is large for a slab keeps its own memory', async (t) => {
  const cache = new ValueCache(cacheBytes);
  const { segment } = batchOf(1, slabBytes / 4 + 1);
  t.same(cache.place(segment), { segment, shift: 0 });
  const version = apply(cache, undefined, 2, slabBytes / 4 + 1);
  t.equal(cache.get(version)?.buffer, version.segment.bytes?.buffer, 'read as a view');
  t.notOk(version.segment.reused);
});

t.test('what was read stays as it is when its slab is used again', async (t) => {
  const cache = new ValueCache(cacheBytes);
  let live = apply(cache, undefined, 1, 300);
  const held = new Map<number, Buffer>();
  for (let revision = 2; revision <= 10_000; revision++) {
    live = apply(cache, live, revision, 300);
    if (revision % 100 === 0) held.set(revision, cache.get(live) as Buffer);
  }
  for (const [revision, bytes] of held) if (!isRight(bytes, revision, 300)) t.fail(`revision ${revision}`);
  t.equal(held.size, 100);
});

t.test('memory is not used again before the next batch', async (t) => {
  const cache = new ValueCache(cacheBytes);
  const first = apply(cache, undefined, 1, 300);
  const view = (first.segment.bytes as Buffer).subarray(first.offset, first.offset + first.length);
  // Loaded values fill the cache until that slab is dropped, and on.
  for (let revision = 2; first.segment.bytes !== undefined || revision < 50_000; revision++) {
    const { version, segment } = batchOf(revision, 300);
    cache.put(version, segment.bytes as Buffer);
  }
  t.equal(cache.get(first), undefined);
  t.ok(isRight(view, 1, 300));
});

t.test('what is live of a slab that goes is kept elsewhere, and each version knows its place', async (t) => {
  const cache = new ValueCache(cacheBytes);
  const cold: Version[] = [];
  let hot: Version | undefined;
  let revision = 0;
  // One in fifty values is never written again: slabs get stale with some live ones in them.
  for (let i = 0; i < 30_000; i++) {
    revision++;
    if (i % 50 === 0) cold.push(apply(cache, undefined, revision, 200));
    else hot = apply(cache, hot, revision, 200);
  }
  for (const version of [...cold, hot as Version]) {
    const { segment, place } = version;
    if (!isRight(cache.get(version), version.modRevision, 200)) t.fail(`revision ${version.modRevision}`);
    if (segment.live[place] !== version) t.fail(`revision ${version.modRevision} is not at its place`);
  }
  const segments = new Set([...cold, hot as Version].map(({ segment }) => segment));
  for (const segment of segments) {
    t.equal(
      segment.liveBytes,
      segment.live.reduce((sum, { length }) => sum + length, 0),
      'live bytes are those of the live versions',
    );
  }
});

t.test('a state gives the values it was given, whatever is written, deleted and read', async (t) => {
  const random = new Random(11);
  // Slabs of 4 KiB: most batches go into one, some are too large.
  const state = new State(new ValueCache(256 * 1024), -1, 1);
  const model = new Map<string, Buffer>();
  const held: { bytes: Buffer; expected: Buffer }[] = [];
  let hits = 0;
  for (let slot = 0; slot < 5000; slot++) {
    const writer = new BatchWriter(state.revision, 4096);
    const written = new Map<string, Buffer | undefined>();
    for (let revision = state.revision + 1, end = revision + random.integer(1, 4); revision < end; revision++) {
      const key = `k${random.integer(0, 300)}`;
      const before = written.has(key) ? written.get(key) : model.get(key);
      writer.beginRevision();
      if (before !== undefined && random.chance(0.2)) {
        writer.change({ key, createRevision: 0, modRevision: revision, version: 0, lease: 0n }, undefined);
        written.set(key, undefined);
      } else {
        const value = Buffer.alloc(random.pick([0, 10, 200, 900]), revision % 251);
        writer.change({ key, createRevision: revision, modRevision: revision, version: 1, lease: 0n }, value);
        written.set(key, value);
      }
      writer.endRevision();
    }
    state.apply(slot, decodeBatch(writer.seal()), 0);
    for (const [key, value] of written) {
      if (value === undefined) model.delete(key);
      else model.set(key, value);
    }
    for (let read = 0; read < 5; read++) {
      const key = `k${random.integer(0, 300)}`;
      const version = state.index.get(key)?.latest;
      const expected = model.get(key);
      if (version === undefined || version.deleted) {
        if (expected !== undefined) t.fail(`${key} is missing, slot ${slot}`);
        continue;
      }
      const bytes = state.cache.get(version);
      if (bytes === undefined) continue;
      hits++;
      if (!bytes.includes(expected as Buffer) || !bytes.includes(key)) t.fail(`the value of ${key}, slot ${slot}`);
      held.push({ bytes, expected: Buffer.from(bytes) });
    }
  }
  t.ok(hits > 15_000, `${hits} reads found their value in memory`);
  t.ok(
    held.every(({ bytes, expected }) => bytes.equals(expected)),
    'what was read has stayed as it was',
  );
});
