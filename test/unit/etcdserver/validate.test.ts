import t from 'tap';
import {
  checkDeleteRange,
  checkPut,
  checkRange,
  checkRequestBytes,
  checkTxn,
} from '../../../src/etcdserver/validate.ts';
import { type Reason, StoreError } from '../../../src/mvcc/errors.ts';
import type { Compare, TxnRequest } from '../../../src/mvcc/requests.ts';
import { del, put, range, txn } from './requests.ts';

/** The reason of a refusal; undefined: accepted. */
function refusal(check: () => void): Reason | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    if (error instanceof StoreError) return error.reason;
    throw error;
  }
}

void t.test('single requests', (t) => {
  t.equal(
    refusal(() => checkRange(range('a'))),
    undefined,
  );
  t.equal(
    refusal(() => checkRange(range(''))),
    'EmptyKey',
  );
  t.equal(
    refusal(() => checkRange({ ...range('a'), sortOrder: 3 })),
    'InvalidSortOption',
  );
  t.equal(
    refusal(() => checkRange({ ...range('a'), sortTarget: -1 })),
    'InvalidSortOption',
  );
  t.equal(
    refusal(() => checkRange({ ...range(''), sortTarget: 5 })),
    'EmptyKey',
    'the key is looked at first',
  );

  const value = Buffer.from('v');
  t.equal(
    refusal(() => checkPut(put('a'))),
    undefined,
  );
  t.equal(
    refusal(() => checkPut(put(''))),
    'EmptyKey',
  );
  t.equal(
    refusal(() => checkPut({ ...put('a'), value, ignoreValue: true })),
    'ValueProvided',
  );
  t.equal(
    refusal(() => checkPut({ ...put('a'), ignoreValue: true })),
    undefined,
  );
  t.equal(
    refusal(() => checkPut({ ...put('a'), lease: -1n, ignoreLease: true })),
    'LeaseProvided',
  );
  t.equal(
    refusal(() => checkPut({ ...put('a'), lease: 1n, ignoreLease: true, value, ignoreValue: true })),
    'ValueProvided',
  );

  t.equal(
    refusal(() => checkDeleteRange(del('a', '\0'))),
    undefined,
  );
  t.equal(
    refusal(() => checkDeleteRange(del('', 'b'))),
    'EmptyKey',
  );
  t.end();
});

const ops = (count: number) => Array.from({ length: count }, (_, i) => put(`k${i}`));
const compare = (key: string): Compare => ({
  key,
  rangeEnd: '',
  result: 0,
  target: 0,
  number: 0,
  value: Buffer.alloc(0),
  lease: 0n,
});
const txnRefusal = (request: TxnRequest, opsMax = 128) => refusal(() => checkTxn(request, opsMax));

void t.test('a Txn may have so many compares, so many operations, and as many on the other branch', (t) => {
  const full = { ...txn(ops(4), ops(4)), compare: ops(4).map(({ key }) => compare(key)) };
  t.equal(txnRefusal(full, 4), undefined);
  t.equal(txnRefusal(txn(ops(5)), 4), 'TooManyOps');
  t.equal(txnRefusal(txn([], ops(5)), 4), 'TooManyOps');
  t.equal(txnRefusal({ ...txn([]), compare: ops(5).map(({ key }) => compare(key)) }, 4), 'TooManyOps');
  t.end();
});

void t.test('a Txn inside has what the longest list around it leaves over', (t) => {
  t.equal(txnRefusal(txn([txn(ops(3))]), 4), undefined);
  t.equal(txnRefusal(txn([txn(ops(4))]), 4), 'TooManyOps');
  t.equal(txnRefusal(txn([txn(ops(3))], [range('a'), range('b')]), 4), 'TooManyOps');
  t.equal(txnRefusal(txn([txn([txn([txn([range('a')])])])]), 4), undefined);
  t.equal(txnRefusal(txn([txn([txn([txn([txn([])])])])]), 4), undefined, 'an empty Txn needs none');
  t.equal(txnRefusal(txn([txn([txn([txn([txn([range('a')])])])])]), 4), 'TooManyOps');
  t.end();
});

void t.test('operations of a Txn are checked as requests are, in order', (t) => {
  t.equal(txnRefusal({ ...txn([undefined]), compare: [compare('')] }), 'EmptyKey', 'compares first');
  t.equal(txnRefusal(txn([undefined, put('')])), 'KeyNotFound', 'an operation that is none');
  t.equal(txnRefusal(txn([put(''), undefined])), 'EmptyKey');
  t.equal(txnRefusal(txn([], [txn([{ ...range('a'), sortOrder: 9 }])])), 'InvalidSortOption');
  t.equal(txnRefusal(txn([put('a'), put('a'), del('')])), 'EmptyKey', 'duplicate keys last');
  t.end();
});

void t.test('a write is measured in its envelope: with 1.5 MiB, 1572847 bytes of request are the most', (t) => {
  // Seen on an etcd: a put of key "a" with a value of 1572840 bytes (1572847 in all) passes, one byte more does not.
  t.equal(
    refusal(() => checkRequestBytes(1_572_847, 1_572_864)),
    undefined,
  );
  t.equal(
    refusal(() => checkRequestBytes(1_572_848, 1_572_864)),
    'RequestTooLarge',
  );
  t.end();
});
