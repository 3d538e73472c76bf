import t from 'tap';
import { HpackDecoder } from '../../../../src/transport/hpack/decoder.ts';
import { encodeHeaders } from '../../../../src/transport/hpack/encoder.ts';
import { decodeAll, type Fields } from './blocks.ts';

function hex(fields: Fields): string {
  return encodeHeaders(fields).toString('hex');
}

t.test('each field takes the shortest representation that indexes nothing', (t) => {
  for (const [field, expected, what] of [
    [[':status', '200'], '88', 'in the static table'],
    [[':status', '204'], '89', 'in the static table, not the first of its name'],
    [['accept-encoding', 'gzip, deflate'], '90', 'in the static table, with an ordinary name'],
    [['www-authenticate', ''], 'bd', 'an empty value is in the static table too'],
    [[':status', '302'], '08826402', 'a static name, with the index of its first entry; Huffman'],
    [['server', '\n'], '0f27010a', 'a static name with an index beyond the prefix; plain, because it is shorter'],
    [['server', '!'], '0f270121', 'plain, because Huffman is no shorter'],
    [['x', 'y'], '0001780179', 'no static name'],
    [['server', 'é'], '0f2701e9', 'latin1'],
  ] as const) {
    t.equal(hex([field]), expected, what);
  }
  t.equal(hex([['X-Y', 'Z']]), hex([['x-y', 'Z']]), 'names are put in lower case');
  t.equal(hex([]), '', 'nothing');
  t.end();
});

t.test('what is written can be read', (t) => {
  const fields: Fields = [
    [':status', '200'],
    ['content-type', 'application/grpc'],
    ['grpc-accept-encoding', 'identity'],
    ['grpc-status', '11'],
    ['grpc-message', 'etcdserver: mvcc: required revision has been compacted'],
    ['empty', ''],
    ['long', 'a'.repeat(100_000)],
    ['long-and-plain', '~'.repeat(100_000)],
    ['all', Array.from({ length: 256 }, (_, octet) => String.fromCharCode(octet)).join('')],
    ['n'.repeat(500), 'v'],
  ];
  const decoder = new HpackDecoder({ tableBytesMax: 4096, headerListBytesMax: 1_000_000 });
  for (let round = 0; round < 2; round++) {
    t.strictSame(decodeAll(decoder, encodeHeaders(fields)), { fields, result: 'complete' });
  }
  t.equal(decoder.table.bytes, 0, 'and nothing was indexed');
  t.end();
});

t.test('a character that is no octet is refused, in names and values', (t) => {
  t.throws(() => encodeHeaders([['grpc-message', '\u010a']]), RangeError);
  t.throws(() => encodeHeaders([['n\u0100', 'v']]), RangeError);
  t.end();
});
