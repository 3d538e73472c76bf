import t from 'tap';
import { decodeKeyValue } from '../../../src/mvcc/key-value.ts';
import { BatchWriter, decodeBatch, type LogRecord, UnknownRecord } from '../../../src/mvcc/records.ts';
import { Random } from '../../support/random.ts';

/** Two revisions with other records around them. */
function sample(capacity = 1000): Buffer {
  const writer = new BatchWriter(2 ** 40, capacity);
  writer.record({ kind: 'leaseGrant', id: -7n, ttlSeconds: 9_000_000_000 });
  writer.beginRevision();
  writer.change(
    { key: 'a\xff', createRevision: 3, modRevision: 2 ** 40 + 1, version: 4, lease: -7n },
    Buffer.from('value'),
  );
  writer.change({ key: 'b', createRevision: 0, modRevision: 2 ** 40 + 1, version: 0, lease: 0n }, undefined);
  writer.endRevision();
  writer.record({ kind: 'compact', revision: 2 ** 40 });
  writer.beginRevision();
  writer.change(
    { key: 'c', createRevision: 2 ** 40 + 2, modRevision: 2 ** 40 + 2, version: 1, lease: 0n },
    Buffer.alloc(0),
  );
  writer.endRevision();
  writer.record({ kind: 'leaseRevoke', id: 2n ** 63n - 1n });
  return writer.seal();
}

/** Records without the objects that only point somewhere. */
function plain(records: readonly LogRecord[]): unknown[] {
  return records.map((record) => {
    if (record.kind !== 'revision') return record;
    const changes = record.changes.map(({ key, version }) => {
      const bytes = (version.segment.bytes as Buffer).subarray(version.offset, version.offset + version.length);
      const { value } = decodeKeyValue(bytes);
      const { createRevision, modRevision, lease } = version;
      return {
        key,
        createRevision,
        modRevision,
        version: version.version,
        lease,
        value: Buffer.from(value).toString(),
      };
    });
    return { ...record, changes };
  });
}

const first = 2 ** 40 + 1;
const expected = [
  { kind: 'leaseGrant', id: -7n, ttlSeconds: 9_000_000_000 },
  {
    kind: 'revision',
    revision: first,
    changes: [
      { key: 'a\xff', createRevision: 3, modRevision: first, version: 4, lease: -7n, value: 'value' },
      { key: 'b', createRevision: 0, modRevision: first, version: 0, lease: 0n, value: '' },
    ],
  },
  { kind: 'compact', revision: 2 ** 40 },
  {
    kind: 'revision',
    revision: first + 1,
    changes: [{ key: 'c', createRevision: first + 1, modRevision: first + 1, version: 1, lease: 0n, value: '' }],
  },
  { kind: 'leaseRevoke', id: 2n ** 63n - 1n },
];

t.test('a batch says what was written', async (t) => {
  // Also when the buffer has to grow on the way, and as a view into other bytes.
  for (const capacity of [0, 1, 50, 100_000]) {
    const data = sample(capacity);
    const { baseRevision, records } = decodeBatch(Buffer.concat([Buffer.alloc(3), data]).subarray(3));
    t.equal(baseRevision, 2 ** 40);
    t.strictSame(plain(records), expected);
    t.ok(data.buffer.byteLength <= (data.length * 4) / 3 + 16, 'without much spare room');
  }
});

t.test('all other kinds', async (t) => {
  const records: Exclude<LogRecord, { kind: 'revision' }>[] = [
    { kind: 'genesis', clusterId: 2n ** 64n - 1n },
    { kind: 'leaseKeepAlive', id: -(2n ** 63n) },
    { kind: 'alarm', memberId: 2n ** 63n + 1n, alarm: 1, active: true },
    { kind: 'alarm', memberId: 1n, alarm: 2, active: false },
  ];
  const writer = new BatchWriter(1, 0);
  for (const record of records) writer.record(record);
  t.strictSame(decodeBatch(writer.seal()).records, records);
});

t.test('what was taken back is not in the batch', async (t) => {
  const writer = new BatchWriter(1, 10);
  writer.record({ kind: 'leaseKeepAlive', id: 1n });
  const { length } = writer;
  writer.beginRevision();
  writer.change({ key: 'k', createRevision: 2, modRevision: 2, version: 1, lease: 0n }, Buffer.alloc(500, 1));
  writer.resetTo(length);
  writer.record({ kind: 'leaseKeepAlive', id: 2n });
  t.strictSame(decodeBatch(writer.seal()).records, [
    { kind: 'leaseKeepAlive', id: 1n },
    { kind: 'leaseKeepAlive', id: 2n },
  ]);
});

t.test('what this version does not know is an error, never skipped', async (t) => {
  const data = sample();
  const newer = Buffer.from(data);
  newer[0] = 2;
  t.throws(() => decodeBatch(newer), new UnknownRecord('batch of format 2; this version knows 1'));
  t.throws(
    () => decodeBatch(Buffer.concat([data, Buffer.from([99])])),
    new UnknownRecord('record of kind 99, which this version does not know'),
  );
});

t.test('damaged bytes are an error, or at least no other revision', async (t) => {
  const data = sample();
  for (let length = 0; length < data.length; length++) {
    try {
      // Cut between two records it is a batch with fewer of them.
      const { records } = decodeBatch(data.subarray(0, length));
      t.strictSame(plain(records), expected.slice(0, records.length));
    } catch (error) {
      t.ok(error instanceof Error);
    }
  }
  const random = new Random(3);
  for (let i = 0; i < 3000; i++) {
    const damaged = Buffer.from(data);
    damaged[random.integer(0, damaged.length - 1)] = random.integer(0, 255);
    try {
      const { records, baseRevision } = decodeBatch(damaged);
      let revision = baseRevision;
      for (const record of records) {
        if (record.kind !== 'revision') continue;
        revision++;
        if (record.revision !== revision) t.fail('a gap');
        for (const { version } of record.changes) if (version.modRevision !== revision) t.fail('a change of elsewhere');
      }
    } catch (error) {
      if (!(error instanceof Error)) t.fail('not an error');
    }
  }
  t.throws(() => decodeBatch(Buffer.alloc(0)), /ends within a record/);
});
