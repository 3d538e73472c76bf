/** The examples of RFC 7541, Appendix C, with the state of the dynamic table after each. */
import t from 'tap';
import { BlockReader } from '../../../../src/transport/hpack/block-reader.ts';
import { HpackDecoder } from '../../../../src/transport/hpack/decoder.ts';
import { encodeInteger } from '../../../../src/transport/hpack/integer.ts';
import { blockOf, decodeAll, type Fields } from './blocks.ts';

interface Example {
  readonly block: string;
  readonly fields: Fields;
  readonly table: Fields;
  readonly tableBytes: number;
}

t.test('C.1 integers', (t) => {
  for (const [value, prefixBits, hex] of [
    [10, 5, '0a'],
    [1337, 5, '1f9a0a'],
    [42, 8, '2a'],
  ] as const) {
    const prefixMax = 2 ** prefixBits - 1;
    const target = Buffer.alloc(6);
    const end = encodeInteger(value, 0, prefixMax, target, 0);
    t.equal(target.toString('hex', 0, end), hex, `${value} with a prefix of ${prefixBits} bits`);
    const block = Buffer.from(hex, 'hex');
    const reader = new BlockReader();
    reader.position = 1;
    reader.end = block.length;
    t.equal(reader.integer(block, block[0]!, prefixMax), value);
    t.equal(reader.position, block.length);
  }
  t.end();
});

t.test('C.2 representations, each on its own', (t) => {
  const custom = ['custom-key', 'custom-header'] as const;
  const examples: Example[] = [
    {
      block: '400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572',
      fields: [custom],
      table: [custom],
      tableBytes: 55,
    },
    { block: '040c 2f73 616d 706c 652f 7061 7468', fields: [[':path', '/sample/path']], table: [], tableBytes: 0 },
    { block: '1008 7061 7373 776f 7264 0673 6563 7265 74', fields: [['password', 'secret']], table: [], tableBytes: 0 },
    { block: '82', fields: [[':method', 'GET']], table: [], tableBytes: 0 },
  ];
  for (const example of examples) check(t, newDecoder(), example);
  t.end();
});

const authority = [':authority', 'www.example.com'] as const;
const noCache = ['cache-control', 'no-cache'] as const;
const customValue = ['custom-key', 'custom-value'] as const;

/** C.3 and C.4 are the same requests, without and with Huffman coding. */
function requests(blocks: readonly [string, string, string]): Example[] {
  const get = [':method', 'GET'] as const;
  return [
    {
      block: blocks[0],
      fields: [get, [':scheme', 'http'], [':path', '/'], authority],
      table: [authority],
      tableBytes: 57,
    },
    {
      block: blocks[1],
      fields: [get, [':scheme', 'http'], [':path', '/'], authority, noCache],
      table: [noCache, authority],
      tableBytes: 110,
    },
    {
      block: blocks[2],
      fields: [get, [':scheme', 'https'], [':path', '/index.html'], authority, customValue],
      table: [customValue, noCache, authority],
      tableBytes: 164,
    },
  ];
}

t.test('C.3 requests without Huffman coding', (t) => {
  const decoder = newDecoder();
  const examples = requests([
    '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
    '8286 84be 5808 6e6f 2d63 6163 6865',
    '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
  ]);
  for (const example of examples) check(t, decoder, example);
  t.end();
});

t.test('C.4 requests with Huffman coding', (t) => {
  const decoder = newDecoder();
  const examples = requests([
    '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
    '8286 84be 5886 a8eb 1064 9cbf',
    '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
  ]);
  for (const example of examples) check(t, decoder, example);
  t.end();
});

/** C.5 and C.6 are the same responses, without and with Huffman coding, with a table of 256 bytes that evicts. */
function responses(blocks: readonly [string, string, string]): Example[] {
  const status302 = [':status', '302'] as const;
  const status307 = [':status', '307'] as const;
  const isPrivate = ['cache-control', 'private'] as const;
  const date21 = ['date', 'Mon, 21 Oct 2013 20:13:21 GMT'] as const;
  const date22 = ['date', 'Mon, 21 Oct 2013 20:13:22 GMT'] as const;
  const location = ['location', 'https://www.example.com'] as const;
  const gzip = ['content-encoding', 'gzip'] as const;
  const cookie = ['set-cookie', 'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1'] as const;
  return [
    {
      // 256 is announced by a size update: the setting alone changes nothing yet.
      block: `3fe101${blocks[0]}`,
      fields: [status302, isPrivate, date21, location],
      table: [location, date21, isPrivate, status302],
      tableBytes: 222,
    },
    {
      block: blocks[1],
      fields: [status307, isPrivate, date21, location],
      table: [status307, location, date21, isPrivate],
      tableBytes: 222,
    },
    {
      block: blocks[2],
      fields: [[':status', '200'], isPrivate, date22, location, gzip, cookie],
      table: [cookie, gzip, date22],
      tableBytes: 215,
    },
  ];
}

t.test('C.5 responses without Huffman coding', (t) => {
  const decoder = newDecoder();
  const examples = responses([
    `4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d
     546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d`,
    '4803 3330 37c1 c0bf',
    `88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f
     6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b
     2076 6572 7369 6f6e 3d31`,
  ]);
  for (const example of examples) check(t, decoder, example);
  t.end();
});

t.test('C.6 responses with Huffman coding', (t) => {
  const decoder = newDecoder();
  const examples = responses([
    `4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7
     8f0b 97c8 e9ae 82ae 43d3`,
    '4883 640e ffc1 c0bf',
    `88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335
     dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07`,
  ]);
  for (const example of examples) check(t, decoder, example);
  t.end();
});

function newDecoder(): HpackDecoder {
  return new HpackDecoder({ tableBytesMax: 4096, headerListBytesMax: 4096 });
}

function check(test: Pick<typeof t, 'strictSame'>, decoder: HpackDecoder, example: Example): void {
  test.strictSame(decodeAll(decoder, blockOf(example.block)).fields, example.fields);
  test.strictSame(decoder.table, { bytes: example.tableBytes, entries: example.table });
}
