import fc from 'fast-check';
import t from 'tap';
import { etcdserverpb as pb } from '../../../src/proto/generated/etcd.js';
import { long, safeNumber, signed, unsigned } from '../../../src/proto/int64.ts';

void t.test('ids keep all 64 bits through a generated message', (t) => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      (a, b) => {
        t.equal(signed(pb.LeaseStatus.decode(pb.LeaseStatus.encode({ ID: long(a) }).finish()).ID), a);
        t.equal(unsigned(pb.Member.decode(pb.Member.encode({ ID: long(b) }).finish()).ID), b);
      },
    ),
  );
  t.equal(signed(-5), -5n);
  t.equal(unsigned(5), 5n);
  t.end();
});

void t.test('numbers beyond the safe integers become the nearest of them', (t) => {
  t.equal(safeNumber(long(2n ** 63n - 1n)), Number.MAX_SAFE_INTEGER);
  t.equal(safeNumber(long(-(2n ** 63n))), Number.MIN_SAFE_INTEGER);
  fc.assert(fc.property(fc.maxSafeInteger(), (value) => void t.equal(safeNumber(long(BigInt(value))), value)));
  t.end();
});
