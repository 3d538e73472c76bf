/** Records of the journal: which are whole, and where a sequence ends. */
import * as zlib from 'node:zlib';
import t from 'tap';
import {
  crc32ByTable,
  decodeRecord,
  decodeRecords,
  encodeRecord,
  noRecord,
  recordBytesMax,
} from '../../../../src/backends/sqlite/journal-record.ts';
import { dataOf, idOf } from '../../../backends/contract/database.ts';
import { Random } from '../../../support/random.ts';

function encode(slot: number, keyspace = 'default', data = dataOf(slot)): Buffer {
  const into = Buffer.alloc(recordBytesMax, 0xee);
  return Buffer.from(into.subarray(0, encodeRecord(into, keyspace, { slot, id: idOf(slot), data })));
}

const slotsIn = (bytes: Buffer, at = 0) => decodeRecords(bytes, at).map(({ slot }) => slot);

t.test('what was written is read', (t) => {
  const slot = Number.MAX_SAFE_INTEGER;
  const bytes = encode(slot, 'a-name', new Uint8Array([1, 2, 3]));
  const { data, ...rest } = decodeRecord(bytes, 0)!;
  t.same(rest, { slot, id: idOf(slot), keyspace: 'a-name', end: bytes.length });
  t.same([...data], [1, 2, 3]);
  t.end();
});

t.test('one that is not whole is none', (t) => {
  const bytes = encode(7);
  for (let at = 0; at < bytes.length; at++) {
    const damaged = Buffer.from(bytes);
    damaged[at]! ^= 0x10;
    t.equal(decodeRecord(damaged, 0), undefined, `byte ${at} is another`);
    t.equal(decodeRecord(bytes.subarray(0, at), 0), undefined, `cut after ${at} bytes`);
  }
  t.equal(decodeRecord(Buffer.alloc(1000), 0), undefined, 'a new file');
  t.equal(decodeRecord(Buffer.from(noRecord), 0), undefined, 'an emptied one');
  t.end();
});

t.test('a sequence ends where a record is damaged, missing, older or of another keyspace', (t) => {
  const records = [7, 8, 9, 10].map((slot) => encode(slot));
  const all = Buffer.concat(records);
  t.same(slotsIn(all), [7, 8, 9, 10]);
  t.same(slotsIn(all, records[0]!.length), [8, 9, 10], 'from the second on');
  t.same(slotsIn(all.subarray(0, all.length - 1)), [7, 8, 9], 'the last is cut');
  const damaged = Buffer.from(all);
  damaged[records[0]!.length + 20]! ^= 1;
  t.same(slotsIn(damaged), [7], 'nothing after a damaged one');
  const one = (slot: number, keyspace?: string) => encode(slot, keyspace, new Uint8Array(5));
  t.same(slotsIn(Buffer.concat([one(7), one(8), one(3)])), [7, 8], 'what was there before, of the same length');
  t.same(slotsIn(Buffer.concat([one(7), one(9)])), [7], 'a gap');
  t.same(slotsIn(Buffer.concat([one(7), one(8, 'another')])), [7]);
  t.same(slotsIn(Buffer.alloc(0)), []);
  t.end();
});

t.test('the checksum is the same by each way', { skip: !('crc32' in zlib) && 'this Node has none' }, (t) => {
  const random = new Random(1);
  for (const length of [0, 1, 2, 100, 5000]) {
    const bytes = Buffer.from(Array.from({ length }, () => random.integer(0, 255)));
    t.equal(crc32ByTable(bytes), (zlib as unknown as { crc32(data: Buffer): number }).crc32(bytes), `${length} bytes`);
  }
  t.equal(crc32ByTable(Buffer.from('123456789')), 0xcbf43926);
  t.end();
});
