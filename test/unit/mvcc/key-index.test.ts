import t from 'tap';
import type { KeyEntry } from '../../../src/mvcc/key-entry.ts';
import { KeyIndex } from '../../../src/mvcc/key-index.ts';
import { notLoaded } from '../../../src/mvcc/segment.ts';
import { Selector } from '../../../src/mvcc/selection.ts';
import { Version } from '../../../src/mvcc/version.ts';
import { Random } from '../../support/random.ts';
import { range } from './requests.ts';

/** `version` 0: a deletion. */
const at = (modRevision: number, version: number) => new Version(modRevision, 2, version, 0n, notLoaded, 0, 0);

function revisions(entry: KeyEntry | undefined): string {
  if (entry === undefined) return '';
  return entry
    .versions()
    .map(({ modRevision, deleted }) => `${modRevision}${deleted ? '†' : ''}`)
    .join(' ');
}

/** put[2] put[5] del[6] put[8]: the example of key-index.ts. */
function example(): KeyIndex {
  const index = new KeyIndex();
  for (const version of [at(2, 1), at(5, 2), at(6, 0), at(8, 1)]) index.add('k', version);
  return index;
}

t.test('the worked example', async (t) => {
  const entry = example().get('k');
  t.equal(revisions(entry), '2 5 6† 8');
  const seen = (revision: number) => entry?.at(revision)?.modRevision;
  t.strictSame([1, 2, 4, 5, 6, 7, 8, 9].map(seen), [undefined, 2, 2, 5, 6, 6, 8, 8]);
  t.equal(entry?.at(7)?.deleted, true);
  for (const [revision, kept] of [
    [1, '2 5 6† 8'],
    [2, '2 5 6† 8'],
    [4, '2 5 6† 8'],
    [5, '5 6† 8'],
    [6, '6† 8'],
    [7, '8'],
    [8, '8'],
    [9, '8'],
  ] as const) {
    const index = example();
    index.compact(index.get('k') as KeyEntry, revision);
    t.equal(revisions(index.get('k')), kept, `compact(${revision})`);
    t.equal(index.versions, kept.split(' ').length);
  }
});

t.test('a deleted key goes with the compaction after its deletion', async (t) => {
  const index = new KeyIndex();
  index.add('k', at(2, 1));
  index.add('k', at(3, 0));
  t.strictSame([index.liveKeys, index.keys, index.versions], [0, 1, 2]);
  index.compact(index.get('k') as KeyEntry, 3);
  t.equal(revisions(index.get('k')), '3†', 'exactly at the compacted revision it stays');
  index.compact(index.get('k') as KeyEntry, 4);
  t.strictSame([index.get('k'), index.keys, index.versions], [undefined, 0, 0]);
});

t.test('a deletion that the image does not have yet stays', async (t) => {
  const index = example();
  index.compact(index.get('k') as KeyEntry, 7, 5);
  t.equal(revisions(index.get('k')), '6† 8');
  index.add('gone', at(9, 1));
  index.add('gone', at(10, 0));
  index.compact(index.get('gone') as KeyEntry, 12, 9);
  t.equal(revisions(index.get('gone')), '10†');
  index.compact(index.get('gone') as KeyEntry, 12, 10);
  t.equal(index.get('gone'), undefined);
});

t.test('versions come in order', async (t) => {
  const index = example();
  t.throws(() => index.add('k', at(7, 2)), /version 7 of a key added after 8/);
});

t.test('what a range selects, in steps of any size, at any readable revision', async (t) => {
  const random = new Random(7);
  const index = new KeyIndex();
  /** Live keys by revision. */
  const history: Map<string, number>[] = [new Map(), new Map()];
  for (let revision = 2; revision < 400; revision++) {
    const key = `k${random.integer(0, 60)}`;
    const now = new Map(history[revision - 1]);
    const live = now.has(key);
    if (live && random.chance(0.4)) {
      now.delete(key);
      index.add(key, at(revision, 0));
    } else {
      now.set(key, revision);
      index.add(key, at(revision, 1));
    }
    history.push(now);
  }
  let compacted = 1;
  for (let round = 0; round < 400; round++) {
    if (round % 40 === 0) {
      compacted = Math.min(compacted + random.integer(0, 40), 398);
      const entries: KeyEntry[] = [];
      index.forEach('', undefined, (entry) => entries.push(entry) > 0);
      for (const entry of entries) index.compact(entry, compacted);
    }
    const latest = random.chance(0.3);
    const revision = latest ? 399 : random.integer(compacted, 399);
    const [from, end] = [`k${random.integer(0, 60)}`, random.pick(['', '\0', 'k3', `k${random.integer(0, 60)}`])];
    const limit = random.pick([0, 0, 1, 3, 100]);
    const countOnly = random.chance(0.2);
    const expected = [...(history[revision] as Map<string, number>)]
      .filter(([key]) => (end === '' ? key === from : key >= from && (end === '\0' || key < end)))
      .sort(([a], [b]) => (a < b ? -1 : 1));
    const selector = new Selector(index, range(from, end), revision, revision === 399, limit, countOnly);
    const steps = random.pick([1, 2, 7, Number.POSITIVE_INFINITY]);
    while (!selector.step(steps));
    const { keys, versions, count } = selector.selection;
    t.equal(count, expected.length, `count at ${revision}`);
    const shown = countOnly ? [] : expected.slice(0, limit === 0 ? undefined : limit);
    t.strictSame(
      keys.map((key, i) => [key, versions[i]?.modRevision]),
      shown,
    );
  }
});
