import t from 'tap';
import { KeyEntry } from '../../../src/mvcc/key-entry.ts';
import { PackedVersions } from '../../../src/mvcc/packed-versions.ts';
import { Segment } from '../../../src/mvcc/segment.ts';
import { isSameVersion, Version } from '../../../src/mvcc/version.ts';
import { Random } from '../../support/random.ts';

/** In memory, in a segment of its own, until `forget`. */
function versionOf(
  modRevision: number,
  before: Version | undefined,
  deleted: boolean,
  lease = 0n,
  length = 1,
): Version {
  const segment = new Segment(Buffer.alloc(length));
  if (deleted) return new Version(modRevision, 0, 0, 0n, segment, 0, length);
  const created = before === undefined || before.deleted;
  const [createRevision, version] = created ? [modRevision, 1] : [before.createRevision, before.version + 1];
  return new Version(modRevision, createRevision, version, lease, segment, 0, length);
}

/** As the value cache does. */
const forget = (version: Version): void => {
  version.segment.bytes = undefined;
};

const shown = ({ modRevision, createRevision, version, lease }: Version) => [
  modRevision,
  createRevision,
  version,
  lease,
];

t.test('the worked example of packed-versions.ts', async (t) => {
  const packed = new PackedVersions();
  let before: Version | undefined;
  const all = [2, 5, 6, 7, 9].map((revision) => {
    before = versionOf(revision, before, revision === 7, 0n, revision);
    return before;
  });
  packed.add(all);
  t.strictSame(
    all.map((_, place) => shown(packed.at(place))),
    [
      [2, 2, 1, 0n],
      [5, 2, 2, 0n],
      [6, 2, 3, 0n],
      [7, 0, 0, 0n],
      [9, 9, 1, 0n],
    ],
  );
  t.strictSame(
    [1, 2, 4, 5, 8, 9, 10].map((revision) => packed.countThrough(revision)),
    [0, 1, 1, 2, 4, 5, 5],
  );
  t.equal(packed.at(0).length, 6, 'the largest of its run');
  packed.dropFirst(1);
  t.strictSame(shown(packed.at(0)), [5, 2, 2, 0n]);
  t.strictSame(shown(packed.at(3)), [9, 9, 1, 0n]);
  packed.add([versionOf(12, before, false)]);
  t.strictSame(shown(packed.at(4)), [12, 9, 2, 0n], 'a run goes on after versions before it were dropped');
});

t.test('a lease keeps its 64 bits', async (t) => {
  const leases = [
    1n,
    -1n,
    2n ** 63n - 1n,
    -(2n ** 63n),
    0x7fffffffn,
    0x80000000n,
    0xffffffffn,
    0x1_0000_0000n,
    -0x1_0000_0000n,
  ];
  const packed = new PackedVersions();
  let before: Version | undefined;
  for (const [i, lease] of leases.entries()) {
    before = versionOf(i + 2, before, false, lease);
    packed.add([before]);
  }
  t.strictSame(
    leases.map((_, place) => packed.at(place).lease),
    leases,
  );
});

t.test('what is not in memory is packed, and read as before', async (t) => {
  const entry = new KeyEntry('k', versionOf(2, undefined, false));
  for (let revision = 3; revision < 200; revision++) {
    forget(entry.latest);
    entry.add(versionOf(revision, entry.latest, false));
  }
  const seen = entry.at(50) as Version;
  t.strictSame(shown(seen), [50, 2, 49, 0n]);
  t.equal(seen.segment.bytes, undefined, 'its value is to be loaded');
  t.equal(seen.superseded, true);
  t.equal(entry.at(50), seen, 'the same object, whose value may be loaded by now');
  seen.segment = new Segment(Buffer.alloc(1));
  for (let revision = 200; revision < 400; revision++) {
    forget(entry.latest);
    entry.add(versionOf(revision, entry.latest, false));
  }
  t.equal(entry.at(50), seen, 'also after writes, while its value is in memory');
  forget(seen);
  for (let revision = 400; revision < 600; revision++) {
    forget(entry.latest);
    entry.add(versionOf(revision, entry.latest, false));
  }
  t.not(entry.at(50), seen);
  t.ok(isSameVersion(seen, entry.at(50)));
  t.equal(entry.versions().length, 598);
});

for (let seed = 1; seed <= 10; seed++) {
  t.test(`against a plain list of all versions, seed ${seed}`, async (t) => {
    const random = new Random(seed);
    const first = versionOf(2, undefined, false, 7n);
    const entry = new KeyEntry('k', first);
    let all = [first];
    let revision = 2;
    let compacted = 1;
    const memory = random.pick([0, 3, 30]);
    for (let step = 0; step < 600; step++) {
      const before = all.at(-1) as Version;
      // One revision may put the key and delete it.
      const same = random.chance(0.1) && !before.deleted && all.at(-2)?.modRevision !== before.modRevision;
      if (!same) revision += random.integer(1, 3);
      const added = versionOf(revision, before, same || random.chance(0.1), random.pick([0n, 0n, 7n, -9n]));
      entry.add(added);
      all.push(added);
      for (const version of all.slice(0, -memory - 1)) if (random.chance(0.9)) forget(version);
      if (random.chance(0.02)) {
        compacted = random.integer(compacted, revision);
        const goes = ({ deleted, modRevision }: Version) => deleted && modRevision < compacted;
        const through = all.filter(({ modRevision }) => modRevision <= compacted).length;
        const last = all[through - 1];
        // The newest is dropped by the index, not here.
        const dropped = Math.min(last === undefined || goes(last) ? through : through - 1, all.length - 1);
        t.equal(entry.compact(compacted, goes), dropped, `compaction to ${compacted}`);
        all = all.slice(dropped);
      }
      const asked = random.integer(compacted, revision);
      const expected = all.findLast(({ modRevision }) => modRevision <= asked);
      const found = entry.at(asked);
      t.strictSame(found && shown(found), expected && shown(expected), `at ${asked}`);
      if (found?.superseded && random.chance(0.5)) found.segment = new Segment(Buffer.alloc(1));
      if (found?.superseded && random.chance(0.2)) forget(found);
    }
    t.strictSame(entry.versions().map(shown), all.map(shown));
  });
}
