import t from 'tap';
import { SlotIndex } from '../../../src/mvcc/slot-index.ts';

t.test('which slot holds which revision', async (t) => {
  // Slot 0 is genesis; 1: revision 2; 2: a lease only; 3: revisions 3 to 5; 4: a lease only.
  const index = new SlotIndex(0, 1);
  for (const last of [1, 2, 2, 5, 5]) index.add(last);
  t.strictSame(
    [1, 2, 3, 4, 5, 6].map((revision) => index.slotOf(revision)),
    [undefined, 1, 3, 3, 3, undefined],
  );
  t.strictSame(
    [-1, 0, 1, 2, 3, 4].map((slot) => index.lastRevisionOf(slot)),
    [1, 1, 2, 2, 5, 5],
  );
  t.equal(index.nextSlot, 5);
  index.truncate(2);
  t.equal(index.firstSlot, 3);
  t.strictSame(
    [2, 3, 5].map((revision) => index.slotOf(revision)),
    [undefined, 3, 3],
  );
  t.equal(index.lastRevisionOf(2), 2);
  index.truncate(1);
  t.equal(index.firstSlot, 3, 'what is already gone');
  index.add(6);
  t.equal(index.slotOf(6), 5);
  t.throws(() => index.truncate(6), /not there yet/);
});

t.test('a replica that starts from an image', async (t) => {
  const index = new SlotIndex(41, 100);
  t.equal(index.slotOf(100), undefined);
  t.equal(index.lastRevisionOf(40), 100);
  index.add(100);
  index.add(103);
  t.strictSame(
    [100, 101, 103].map((revision) => index.slotOf(revision)),
    [undefined, 42, 42],
  );
});
