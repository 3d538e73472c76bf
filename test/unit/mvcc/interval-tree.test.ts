import t from 'tap';
import { endOfKeys, IntervalTree } from '../../../src/mvcc/interval-tree.ts';
import { Random } from '../../support/random.ts';

interface Interval {
  readonly from: string;
  readonly to: string;
}

function stabbed(tree: IntervalTree<Interval>, key: string): Set<Interval> {
  const found: Interval[] = [];
  tree.stab(key, (item) => found.push(item));
  const set = new Set(found);
  if (set.size !== found.length) throw new Error(`an interval was visited twice for ${key}`);
  return set;
}

for (const seed of [1, 2, 3]) {
  t.test(`against all intervals one by one, seed ${seed}`, async (t) => {
    const random = new Random(seed);
    const tree = new IntervalTree<Interval>();
    const all = new Set<Interval>();
    // Few letters, so that many intervals begin or end alike.
    const key = () => random.pick(['', 'a', 'b', 'c']) + random.pick(['\0', 'a', 'b', '\xff']);
    for (let step = 0; step < 4000; step++) {
      if (random.chance(step < 2500 ? 0.6 : 0.3)) {
        const from = key();
        const to = random.chance(0.2) ? endOfKeys : key();
        if (from >= to) continue;
        const interval = { from, to };
        tree.insert(from, to, interval);
        all.add(interval);
      } else if (all.size > 0) {
        const gone = random.pick([...all]);
        tree.remove(gone.from, gone.to, gone);
        all.delete(gone);
      }
      if (tree.size !== all.size) t.equal(tree.size, all.size);
      const at = key();
      const expected = [...all].filter(({ from, to }) => from <= at && at < to);
      const found = stabbed(tree, at);
      if (found.size !== expected.length || expected.some((interval) => !found.has(interval))) {
        t.fail(`${found.size} of ${expected.length} intervals for ${JSON.stringify(at)} at step ${step}`);
      }
    }
    for (const { from, to } of all) t.ok(from < to);
  });
}

t.test('removing what is not there is a broken invariant', async (t) => {
  const tree = new IntervalTree<string>();
  tree.insert('a', 'c', 'one');
  t.throws(() => tree.remove('a', 'b', 'one'), /not in the tree/);
  t.throws(() => tree.remove('a', 'c', 'two'), /not in the tree/);
  tree.remove('a', 'c', 'one');
  t.equal(tree.size, 0);
});
