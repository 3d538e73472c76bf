/** The checker finds what it is there to find. */
import t from 'tap';
import { type Change, check, type Operation } from './checker.ts';

const log: Change[] = [
  { revision: 2, key: 'k', value: 'a' },
  { revision: 3, key: 'k', value: 'b' },
  { revision: 4, key: 'other', value: 'c' },
];

function operation(times: [number, number], ask: Operation['ask'], answer: Operation['answer'], key = 'k'): Operation {
  return { client: 'client', startedAt: times[0], endedAt: times[1], key, ask, answer };
}
const put = (times: [number, number], value: string, revision?: number, key = 'k') =>
  operation(times, { kind: 'put', value }, revision === undefined ? undefined : { revision }, key);
const get = (times: [number, number], value: string | undefined, revision: number, key = 'k') =>
  operation(times, { kind: 'get' }, { revision, value }, key);
const swap = (times: [number, number], value: string, expected: number, revision: number, swapped: boolean) =>
  operation(times, { kind: 'swap', value, expected }, { revision, swapped });
const never = Number.POSITIVE_INFINITY;

t.test('good histories', async (t) => {
  t.strictSame(check([put([0, 1], 'a', 2), put([2, 3], 'b', 3), get([4, 5], 'b', 4)], log), []);
  t.strictSame(check([put([0, 9], 'b', 3), put([0, 9], 'a', 2), get([1, 9], 'a', 2)], log), [], 'at the same time');
  t.strictSame(check([put([0, never], 'a'), swap([1, 2], 'b', 2, 3, true)], log), [], 'an answer that was lost');
  t.strictSame(check([put([0, never], 'lost')], log), [], 'a write that was lost with its answer');
  t.strictSame(check([swap([5, 6], 'x', 2, 4, false)], log), [], 'a compare that rightly fails');
  t.strictSame(check([get([0, 1], undefined, 1, 'other')], log), []);
});

t.test('bad histories', async (t) => {
  const bad: Record<string, [Operation[], Change[]?]> = {
    'a stale read': [[put([0, 1], 'b', 3), get([2, 3], 'a', 2)]],
    'a read that goes back': [[get([0, 1], 'b', 3), get([2, 3], 'a', 2)]],
    'a read of another value': [[get([0, 1], 'a', 3)]],
    'an acknowledged write that is lost': [[put([0, 1], 'lost', 3)]],
    'a write that was told another revision': [[put([0, 1], 'a', 3)]],
    'writes against the order of time': [[put([0, 1], 'b', 3), put([2, 3], 'a', 2)]],
    'a write without an answer that is seen before it was asked for': [[get([0, 1], 'a', 2), put([2, never], 'a')]],
    'a write that was made twice': [[], [...log, { revision: 5, key: 'k', value: 'a' }]],
    'a gap in the log': [[], [...log, { revision: 6, key: 'k', value: 'z' }]],
    'two swaps on the same state': [[swap([0, 9], 'a', 0, 2, true), swap([0, 9], 'b', 0, 3, true)]],
    'a swap that was made without an answer, against its compare': [
      [operation([0, never], { kind: 'swap', value: 'b', expected: 7 }, undefined)],
    ],
    'a swap that was refused, and made': [[swap([0, 9], 'b', 9, 3, false)]],
    'a swap that should have been made': [[swap([0, 9], 'x', 3, 4, false)]],
  };
  for (const [name, [operations, changes = log]] of Object.entries(bad)) {
    t.ok(check(operations, changes).length > 0, name);
  }
});
