import { inspect } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { checkNoKeyIsWrittenTwice } from '../../../src/etcdserver/txn-keys.ts';
import { StoreError } from '../../../src/mvcc/errors.ts';
import type { RequestOp } from '../../../src/mvcc/requests.ts';
import { del, put, range, txn } from './requests.ts';

function isRefused(success: readonly RequestOp[], failure: readonly RequestOp[] = []): boolean {
  try {
    checkNoKeyIsWrittenTwice(txn(success, failure));
    return false;
  } catch (error) {
    if (error instanceof StoreError && error.reason === 'DuplicateKey') return true;
    throw error;
  }
}

/** Each row was answered by an etcd 3.7.3. */
const observed: [refused: boolean, ...ops: RequestOp[]][] = [
  [true, put('a'), put('a')],
  [false, put('a'), put('b')],
  [true, put('b'), del('a', 'c')],
  [true, put('b'), del('b')],
  [false, put('c'), del('a', 'c')],
  [false, put('a\0'), del('a')],
  [false, put('b'), range('b')],
  // A range that ends before it begins; "everything from a on" is one to etcd.
  [false, put('b'), del('c', 'a')],
  [false, put('b'), del('b', 'b')],
  [false, put('a'), del('a', '\0')],
  [false, put('b'), del('a', '\0')],
  [false, del('\0', '\0'), put('a')],
  [false, txn([del('\0', '\0')]), put('a')],
  [true, put('b'), del('c', 'a'), del('a', 'c')],
  [true, txn([del('c', 'a'), del('a', 'c')]), put('b')],
  [false, del('a', 'c'), del('b', 'd')],
  // Txns inside.
  [false, txn([put('a')]), txn([del('a')])],
  [true, txn([del('a')]), txn([put('a')])],
  [false, txn([put('a')], [del('a')])],
  [false, txn([put('a')], [put('a')])],
  [true, txn([put('a')], [put('a')]), put('a')],
  [true, txn([put('a')]), txn([], [put('a')])],
  [true, txn([put('a')], [put('a')]), txn([], [put('a')])],
  [true, put('a'), txn([del('a')])],
  [true, txn([put('a')]), del('a')],
];

void t.test('what an etcd refuses is refused, and nothing else', (t) => {
  for (const [refused, ...ops] of observed) {
    t.equal(isRefused(ops), refused, inspect(ops, { depth: 9 }));
    t.equal(isRefused([], ops), refused, 'the same in the other branch');
  }
  t.notOk(isRefused([put('a')], [put('a')]), 'only one branch is run');
  t.end();
});

void t.test('deleted ranges are found however they overlap', (t) => {
  const keys = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h');
  fc.assert(
    fc.property(fc.array(fc.tuple(keys, keys), { maxLength: 8 }), keys, (ranges, key) => {
      const hit = ranges.some(([begin, end]) => begin <= key && key < end);
      t.equal(isRefused([...ranges.map(([begin, end]) => del(begin, end)), put(key)]), hit);
      const inside = ranges.map(([begin, end]) => txn([del(begin, end)]));
      t.equal(isRefused([...inside, txn([put(key)])]), hit, 'each delete in a Txn of its own');
    }),
  );
  t.end();
});
