import t from 'tap';
import { KeyTree } from '../../../src/mvcc/key-tree.ts';
import { Random } from '../../support/random.ts';

interface Entry {
  readonly key: string;
  live: boolean;
}

/** The same as the tree, as an array in key order. */
class SortedArray {
  entries: Entry[] = [];

  insert(entry: Entry): void {
    this.entries.push(entry);
    this.entries.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  within(from: string, to: string | undefined): Entry[] {
    return this.entries.filter(({ key }) => key >= from && (to === undefined || key < to));
  }
}

const bytes = (random: Random) =>
  String.fromCharCode(...Array.from({ length: random.integer(1, 3) }, () => random.pick([0, 97, 98, 99, 255])));

function walked(tree: KeyTree<Entry>, from: string, to: string | undefined): string[] {
  const keys: string[] = [];
  tree.forEach(from, to, ({ key }) => keys.push(key) > 0);
  return keys;
}

for (const seed of [1, 2, 3, 4, 5]) {
  t.test(`against a sorted array, seed ${seed}`, async (t) => {
    const random = new Random(seed);
    const tree = new KeyTree<Entry>(({ live }) => live);
    const array = new SortedArray();
    const byKey = new Map<string, Entry>();
    // Grows, then shrinks to nothing, then grows again: many splits and emptied nodes.
    for (let step = 0; step < 3000; step++) {
      const shrinking = step > 1200 && step < 2200;
      const key = random.chance(0.5) ? bytes(random) : `k${random.integer(0, 2000)}`;
      const entry = byKey.get(key);
      if (entry === undefined && !shrinking) {
        const added = { key, live: random.chance(0.7) };
        byKey.set(key, added);
        array.insert(added);
        tree.insert(added);
      } else if (random.chance(0.3) && entry !== undefined) {
        entry.live = !entry.live;
        tree.adjustLive(key, entry.live ? 1 : -1);
      } else if (shrinking && byKey.size > 0) {
        const gone = random.pick(array.entries);
        if (gone.live) {
          gone.live = false;
          tree.adjustLive(gone.key, -1);
        }
        tree.remove(gone.key);
        byKey.delete(gone.key);
        array.entries.splice(array.entries.indexOf(gone), 1);
      }
      if (step % 7 !== 0) continue;
      const from = random.chance(0.1) ? '' : bytes(random);
      const to = random.chance(0.2) ? undefined : random.chance(0.5) ? bytes(random) : `k${random.integer(0, 2000)}`;
      const expected = to !== undefined && to <= from ? [] : array.within(from, to);
      const found = tree.countLive(from, to);
      const live = expected.filter(({ live }) => live).length;
      if (found !== live) t.equal(found, live, `count of [${from}, ${to}) at step ${step}`);
      if (tree.live !== array.entries.filter(({ live }) => live).length) t.fail(`count of all at step ${step}`);
      if (to !== undefined && to <= from) continue;
      const keys = walked(tree, from, to);
      if (keys.join('\n') !== expected.map(({ key }) => key).join('\n'))
        t.fail(`walk of [${from}, ${to}) at step ${step}`);
    }
    t.strictSame(
      walked(tree, '', undefined),
      array.entries.map(({ key }) => key),
    );
  });
}

t.test('keys in rising and in falling order', async (t) => {
  for (const direction of [1, -1]) {
    const tree = new KeyTree<Entry>(({ live }) => live);
    const keys = Array.from({ length: 10_000 }, (_, i) => String(i).padStart(6, '0'));
    for (const key of direction === 1 ? keys : keys.toReversed()) tree.insert({ key, live: true });
    t.strictSame(walked(tree, '', undefined), keys);
    t.equal(tree.countLive('001000', '002000'), 1000);
    t.equal(tree.countLive('009999', undefined), 1);
    t.equal(tree.countLive('x', undefined), 0);
    for (const key of keys) {
      tree.adjustLive(key, -1);
      tree.remove(key);
    }
    t.equal(tree.live, 0);
    t.strictSame(walked(tree, '', undefined), []);
  }
});

t.test('a walk ends where the visitor says so', async (t) => {
  const tree = new KeyTree<Entry>(() => true);
  for (let i = 0; i < 500; i++) tree.insert({ key: String(i).padStart(3, '0'), live: true });
  const seen: string[] = [];
  const complete = tree.forEach('100', undefined, ({ key }) => {
    seen.push(key);
    return key !== '200';
  });
  t.equal(complete, false);
  t.equal(seen.length, 101);
  t.equal(
    tree.forEach('100', '100', () => t.fail('nothing is in an empty range')),
    true,
  );
});

t.test('removing what is not there is a broken invariant', async (t) => {
  const tree = new KeyTree<Entry>(() => true);
  tree.insert({ key: 'a', live: true });
  t.throws(() => tree.remove('b'), /not in the tree/);
});
