/** Cells, rows and mutations as they go over the wire. */
import t from 'tap';
import { headOf, rowColumns, rowOf, splitKey } from '../../../../src/backends/spanner/rows.ts';
import { keyBytesIndexed } from '../../../../src/backends/spanner/schema.ts';
import {
  bytesOf,
  deleteKeys,
  deleteRange,
  encode,
  insert,
  keyOf,
  numberOf,
  textOf,
  update,
  upsert,
} from '../../../../src/backends/spanner/values.ts';

t.test('each kind of cell comes back as it was', (t) => {
  for (const number of [0, 1, -1, 2 ** 53 - 1]) t.equal(numberOf(encode(number)), number);
  for (const id of [0n, 2n ** 63n - 1n, -(2n ** 63n)]) t.equal(BigInt(textOf(encode(id))), id);
  for (const text of ['', 'ü\u{1f600}']) t.equal(textOf(encode(text)), text);
  const all = Uint8Array.from({ length: 256 }, (_, i) => i);
  for (const bytes of [all, all.subarray(7, 9), new Uint8Array(0), Buffer.from('x')]) {
    t.same(bytesOf(encode(bytes)), new Uint8Array(bytes), 'a part of a larger buffer is only that part');
  }
  t.same(encode(5), { stringValue: '5' }, 'an INT64 is a string');
  t.same(encode(Buffer.from([255])), { stringValue: '/w==' }, 'BYTES are base64');
  t.equal(textOf(undefined), '');
  t.equal(bytesOf({}).length, 0);
  t.end();
});

t.test('bytes belong to who asked for them', (t) => {
  const encoded = encode(Buffer.from('abc'));
  const first = bytesOf(encoded);
  first.fill(0);
  t.same(bytesOf(encoded), new Uint8Array(Buffer.from('abc')));
  t.equal(first.buffer.byteLength, 3, 'not a window into the pool, which others share');
  t.end();
});

t.test('mutations name their columns', (t) => {
  const row = { keyspace: 'k', slot: 7, data: Buffer.from('x') };
  const write = {
    table: 'plinth_log',
    columns: ['keyspace', 'slot', 'data'],
    values: [{ values: [{ stringValue: 'k' }, { stringValue: '7' }, { stringValue: 'eA==' }] }],
  };
  t.same(insert('plinth_log', row), { insert: write });
  t.same(update('plinth_log', row), { update: write });
  t.same(upsert('plinth_log', row), { insertOrUpdate: write });
  t.same(
    deleteKeys('t', [
      ['k', 1],
      ['k', 2],
    ]),
    {
      delete: { table: 't', keySet: { keys: [keyOf(['k', 1]), keyOf(['k', 2])] } },
    },
  );
  const range = { startClosed: keyOf(['k']), endClosed: keyOf(['k', 9]) };
  t.same(deleteRange('t', range), { delete: { table: 't', keySet: { ranges: [range] } } });
  t.end();
});

t.test('a key that is too long for a primary key', (t) => {
  const key = (length: number, last = 0) => Buffer.concat([Buffer.alloc(length - 1, 0x61), Buffer.from([last])]);
  const whole = splitKey(key(keyBytesIndexed));
  t.same([whole.first.length, whole.rest.length, whole.digest.length], [keyBytesIndexed, 0, 0]);
  const one = splitKey(key(keyBytesIndexed + 1, 1));
  t.same([one.first.length, [...one.rest], one.digest.length], [keyBytesIndexed, [1], 32]);
  const other = splitKey(key(keyBytesIndexed + 1, 2));
  t.same(other.first, one.first);
  t.notSame(other.digest, one.digest, 'told apart by the digest');
  // As the image reads them.
  for (const given of [key(1), key(keyBytesIndexed), key(keyBytesIndexed + 1, 3), key(20_000, 4)]) {
    const { first, rest } = splitKey(given);
    const head = { createRevision: 2 ** 52, modRevision: 2 ** 53 - 1, version: 3, lease: -(2n ** 63n) };
    const row = [
      first,
      rest,
      head.createRevision,
      head.modRevision,
      head.version,
      head.lease,
      Buffer.from('value'),
    ].map(encode);
    t.equal(row.length, rowColumns.length);
    t.same(headOf(row), { key: new Uint8Array(given), ...head });
    t.same(rowOf(row), { key: new Uint8Array(given), ...head, value: new Uint8Array(Buffer.from('value')) });
  }
  t.end();
});
