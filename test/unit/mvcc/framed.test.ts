import t from 'tap';
import { framed, framedKeysMin, unframed } from '../../../src/mvcc/framed.ts';
import { Segment } from '../../../src/mvcc/segment.ts';
import { ValueCache } from '../../../src/mvcc/values.ts';
import { Version } from '../../../src/mvcc/version.ts';
import { Random } from '../../support/random.ts';

/** Versions of which each has a segment of its own, with a few bytes before the value. */
function scattered(cache: ValueCache, sizes: readonly number[]): Version[] {
  return sizes.map((size, i) => put(cache, i, size));
}

let lastRevision = 1;

function put(cache: ValueCache, key: number, size: number, before?: Version): Version {
  const segment = new Segment(Buffer.alloc(3 + size, key % 251));
  const version = new Version(++lastRevision, 2, 1, 0n, segment, 3, size);
  cache.supersede(before, version);
  cache.add(segment);
  return version;
}

function isRight(versions: readonly Version[], bytes: readonly Uint8Array[]): boolean {
  return (
    bytes.length === versions.length &&
    bytes.every((value, key) => value.length === versions[key]?.length && value.every((byte) => byte === key % 251))
  );
}

t.test('scattered values are put together once, and are one piece from then on', async (t) => {
  const cache = new ValueCache(1_000_000);
  const versions = scattered(
    cache,
    Array.from({ length: 100 }, (_, i) => i * 3),
  );
  const first = framed(cache, versions, 100);
  t.ok(first && isRight(versions, unframed(first)));
  const second = framed(cache, versions, 100);
  t.equal(second?.pieces.length, 1);
  t.equal(second?.pieces[0]?.buffer, first?.pieces[0]?.buffer, 'nothing is copied');
  const part = framed(cache, versions.slice(10), 30);
  t.equal(part?.pieces.length, 1);
  t.ok(part && unframed(part).every((value, i) => value.length === (10 + i) * 3));
});

t.test('a key that is written is a piece of its own, many are put together anew', async (t) => {
  const cache = new ValueCache(1_000_000);
  const versions = scattered(cache, Array.from<number>({ length: 100 }).fill(50));
  framed(cache, versions, 100);
  versions[40] = put(cache, 40, 70, versions[40]);
  const one = framed(cache, versions, 100);
  t.equal(one?.pieces.length, 3);
  t.ok(one && isRight(versions, unframed(one)));
  for (const key of [0, 10, 20, 30, 50, 60, 99]) versions[key] = put(cache, key, 60, versions[key]);
  const many = framed(cache, versions, 100);
  t.equal(many?.pieces.length, 1);
  t.ok(many && isRight(versions, unframed(many)));
});

t.test('long lists have segments of about a mebibyte', async (t) => {
  const cache = new ValueCache(100_000_000);
  const versions = scattered(cache, [...Array.from<number>({ length: 40 }).fill(100_000), 3_000_000, 5]);
  const found = framed(cache, versions, versions.length);
  t.ok(found && isRight(versions, unframed(found)));
  t.strictSame(
    found?.pieces.map(({ length }) => length > 1024 * 1024),
    [false, false, false, false, true, false],
  );
});

t.test('a value that is not in memory', async (t) => {
  const cache = new ValueCache(1_000_000);
  const versions = scattered(cache, Array.from<number>({ length: 50 }).fill(10));
  (versions[20] as Version).segment.bytes = undefined;
  t.equal(framed(cache, versions, 50), undefined);
  t.ok(framed(cache, versions, 20));
});

t.test('always the right bytes, in a cache of any size, however keys are written and listed', async (t) => {
  const random = new Random(7);
  for (const bytesMax of [0, 10_000, 200_000, 10_000_000]) {
    const cache = new ValueCache(bytesMax);
    const versions = scattered(
      cache,
      Array.from({ length: 300 }, () => random.integer(0, 300)),
    );
    let listed = 0;
    for (let round = 0; round < 500; round++) {
      for (let i = random.integer(0, 20); i > 0; i--) {
        const key = random.integer(0, 299);
        versions[key] = put(cache, key, random.integer(0, 300), versions[key]);
      }
      const count = random.integer(framedKeysMin, 300);
      const found = framed(cache, versions, count);
      if (found === undefined) {
        // As the store does: what is missing is loaded.
        versions.forEach((version, key) => {
          if (version.segment.bytes === undefined) cache.put(version, Buffer.alloc(version.length, key % 251));
        });
        continue;
      }
      listed++;
      if (!isRight(versions.slice(0, count), unframed(found))) t.fail(`other bytes in round ${round}`);
      if (cache.bytes > Math.max(bytesMax, 300 * 304 + 256 * 1024 + 400)) t.fail(`${cache.bytes} bytes`);
    }
    t.ok(bytesMax < 10_000_000 || listed === 500, `${listed} lists of a cache of ${bytesMax}`);
  }
});
