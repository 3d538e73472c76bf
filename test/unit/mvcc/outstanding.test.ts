import fc from 'fast-check';
import t from 'tap';
import { Outstanding } from '../../../src/mvcc/outstanding.ts';

t.test('requests have consecutive numbers and are taken once', async (t) => {
  const outstanding = new Outstanding<string>();
  t.equal(outstanding.next, 1);
  for (const item of ['a', 'b', 'c']) outstanding.add(item);
  t.equal(outstanding.next, 4);
  t.equal(outstanding.take(2), 'b');
  t.equal(outstanding.take(2), undefined);
  t.equal(outstanding.get(3), 'c');
  t.same(outstanding.entries(), [
    [1, 'a'],
    [3, 'c'],
  ]);
  t.equal(outstanding.size, 2);
  for (const never of [0, -1, 4, 1.5]) t.equal(outstanding.take(never), undefined, `${never} was never sent`);
});

t.test('in any order of answers it has what a map would have', async (t) => {
  // With more under way than are answered at once, the begin is given back many times.
  const steps = fc.array(fc.record({ sent: fc.nat(700), answered: fc.array(fc.nat(2000), { maxLength: 700 }) }), {
    maxLength: 12,
  });
  fc.assert(
    fc.property(steps, (rounds) => {
      const outstanding = new Outstanding<number>();
      const expected = new Map<number, number>();
      for (const { sent, answered } of rounds) {
        for (let i = 0; i < sent; i++) {
          expected.set(outstanding.next, i);
          outstanding.add(i);
        }
        for (const back of answered) {
          const number = outstanding.next - back;
          if (outstanding.take(number) !== expected.get(number)) return false;
          expected.delete(number);
        }
        // All but the newest are answered sooner or later.
        for (const [number] of [...expected].slice(0, -100)) {
          if (outstanding.take(number) !== expected.get(number)) return false;
          expected.delete(number);
        }
        if (outstanding.size !== expected.size) return false;
      }
      t.same(outstanding.entries(), [...expected]);
      return true;
    }),
  );
});
