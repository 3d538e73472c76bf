import t from 'tap';
import { notLoaded, Segment } from '../../../src/mvcc/segment.ts';
import { ValueCache } from '../../../src/mvcc/values.ts';
import { Version } from '../../../src/mvcc/version.ts';
import { Random } from '../../support/random.ts';

const overheadBytes = 200;

/** A segment of `count` values of `size` bytes, each filled with its number, and the versions that point into it. */
function filled(first: number, count: number, size: number): { segment: Segment; versions: Version[] } {
  const bytes = Buffer.alloc(count * size);
  const segment = new Segment(bytes);
  const versions = Array.from({ length: count }, (_, i) => {
    bytes.fill((first + i) % 251, i * size, (i + 1) * size);
    return new Version(first + i, first + i, 1, 0n, segment, i * size, size);
  });
  for (const version of versions) segment.enter(version);
  return { segment, versions };
}

function isRight(version: Version, bytes: Buffer, size: number): boolean {
  return bytes.length === size && bytes.every((byte) => byte === version.modRevision % 251);
}

t.test('holds no more than its bound, drops the oldest first', async (t) => {
  const cache = new ValueCache(100_000);
  const all: Version[] = [];
  for (let i = 0; i < 300; i++) {
    const { segment, versions } = filled(i, 1, 1000);
    cache.add(segment);
    all.push(...versions);
    t.ok(cache.bytes <= 100_000);
  }
  const held = all.map(({ segment }) => segment.bytes !== undefined);
  const expected = Math.floor(100_000 / (1000 + overheadBytes));
  t.equal(held.filter(Boolean).length, expected);
  t.ok(held.slice(-expected).every(Boolean));
});

t.test('many tiny segments are not free', async (t) => {
  const cache = new ValueCache(100_000);
  for (let i = 0; i < 5000; i++) cache.add(filled(i, 1, 1).segment);
  t.ok(cache.bytes <= 100_000);
  t.ok(cache.bytes > 90_000);
});

t.test('the newest segment stays, whatever its size', async (t) => {
  const cache = new ValueCache(10);
  const { segment, versions } = filled(1, 1, 5000);
  cache.add(segment);
  t.ok(cache.get(versions[0] as Version));
  cache.add(filled(2, 1, 5000).segment);
  t.equal(cache.get(versions[0] as Version), undefined);
});

t.test('what is read stays, what is not read goes', async (t) => {
  const cache = new ValueCache(2_000_000);
  const { segment, versions } = filled(0, 100, 1000);
  cache.add(segment);
  const [hot, cold] = [versions[1] as Version, versions[2] as Version];
  for (let i = 0; i < 6000; i++) {
    cache.add(filled(1000 + i, 1, 1000).segment);
    const bytes = cache.get(hot);
    if (bytes === undefined || !isRight(hot, bytes, 1000)) t.fail(`the value that is always read, after ${i} more`);
    if (cache.bytes > 2_000_000) t.fail(`${cache.bytes} bytes`);
  }
  t.equal(cache.get(cold), undefined);
});

t.test('never another value, however it is added, read and dropped', async (t) => {
  const random = new Random(5);
  const cache = new ValueCache(1_500_000);
  const all: { version: Version; size: number }[] = [];
  let hits = 0;
  for (let i = 0; i < 2000; i++) {
    const size = random.pick([1, 10, 500, 5000, 100_000]);
    const { segment, versions } = filled(i * 10, random.integer(1, 5), size);
    cache.add(segment);
    for (const version of versions) all.push({ version, size });
    for (let read = 0; read < 4; read++) {
      const { version, size } = all[Math.max(0, all.length - 1 - random.integer(0, 300))] as (typeof all)[0];
      const bytes = cache.get(version);
      if (bytes !== undefined) hits++;
      else if (random.chance(0.5)) cache.put(version, Buffer.alloc(size, version.modRevision % 251));
      if (bytes !== undefined && !isRight(version, bytes, size)) t.fail(`value of version ${version.modRevision}`);
    }
  }
  t.ok(hits > 500);
});

t.test('bytes that somebody holds are not changed by what comes after', async (t) => {
  const cache = new ValueCache(5000);
  const version = new Version(7, 7, 1, 0n, notLoaded, 0, 0);
  t.equal(cache.get(version), undefined);
  cache.put(version, Buffer.alloc(100, 7));
  const held = cache.get(version) as Buffer;
  for (let i = 0; i < 1000; i++) {
    const other = new Version(i, i, 1, 0n, notLoaded, 0, 0);
    cache.put(other, Buffer.alloc(1000, 1));
    cache.add(filled(i, 1, 1000).segment);
  }
  t.ok(isRight(version, held, 100));
});

t.test('of segments with little that is live only the last few stay', async (t) => {
  const cache = new ValueCache(1_000_000);
  const { segment: base, versions: cold } = filled(0, 100, 1000);
  cache.add(base);
  const all: Version[] = [];
  for (let i = 0; i < 2000; i++) {
    const { segment, versions } = filled(1000 + i, 1, 1000);
    const version = versions[0] as Version;
    segment.leave(version);
    cache.supersede(all.at(-1), version);
    cache.add(segment);
    all.push(version);
    if (cache.get(version) === undefined) t.fail(`the newest value, after ${i} others`);
    if (i > 0 && cache.get(all[i - 1] as Version) === undefined) t.fail(`the one before, after ${i} others`);
  }
  t.ok(cache.bytes <= 100_200 + 250_000 + 2400, `${cache.bytes} bytes: what is live, and a quarter of the bound`);
  t.ok(
    cold.every((version) => cache.get(version) !== undefined),
    'what is old and live has stayed',
  );
});

t.test('a value that is not written stays while all around it are', async (t) => {
  const cache = new ValueCache(1_000_000);
  const keys = 400;
  const live: Version[] = [];
  // Each batch writes 20 keys. The first key of all is written once, the others again and again.
  for (let batch = 0; batch < 2000; batch++) {
    const segment = new Segment(Buffer.alloc(20 * 100, batch % 251));
    for (let i = 0; i < 20; i++) {
      const key = (batch * 20 + i) % keys;
      if (key === 0 && batch > 0) continue;
      const version = new Version(batch, batch, 1, 0n, segment, i * 100, 100);
      cache.supersede(live[key], version);
      live[key] = version;
    }
    cache.add(segment);
    if (live.some((version) => cache.get(version) === undefined)) t.fail(`a live value was dropped, batch ${batch}`);
  }
  t.ok(isRight(live[0] as Version, cache.get(live[0] as Version) as Buffer, 100), 'and it is that value');
  t.ok(cache.bytes <= 600_000, `${cache.bytes} bytes: what is live, what is stale, and a segment for what was copied`);
});

t.test('a segment without any value that is live counts as such at once', async (t) => {
  const cache = new ValueCache(1_000_000);
  for (let i = 0; i < 2000; i++) cache.add(new Segment(Buffer.alloc(1000)));
  t.ok(cache.bytes <= 252_400, `${cache.bytes} bytes`);
});
