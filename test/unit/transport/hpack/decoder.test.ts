/** What the decoder refuses, the rules of its table, and its bounds. */
import t from 'tap';
import { HpackDecoder } from '../../../../src/transport/hpack/decoder.ts';
import { HpackError } from '../../../../src/transport/hpack/errors.ts';
import { blockOf, decodeAll, type Fields, literal, plain, sizeUpdate } from './blocks.ts';

function newDecoder(options: { tableBytesMax?: number; headerListBytesMax?: number } = {}): HpackDecoder {
  return new HpackDecoder({ tableBytesMax: 4096, headerListBytesMax: 16_384, ...options });
}

function fieldsOf(decoder: HpackDecoder, ...parts: Buffer[]): Fields {
  return decodeAll(decoder, Buffer.concat(parts)).fields;
}

t.test('an empty block has no headers', (t) => {
  t.strictSame(decodeAll(newDecoder(), Buffer.alloc(0)), { fields: [], result: 'complete' });
  t.end();
});

t.test('the static table is that of Appendix A', (t) => {
  const decoder = newDecoder();
  for (const [index, name, value] of [
    [1, ':authority', ''],
    [2, ':method', 'GET'],
    [3, ':method', 'POST'],
    [4, ':path', '/'],
    [7, ':scheme', 'https'],
    [8, ':status', '200'],
    [14, ':status', '500'],
    [15, 'accept-charset', ''],
    [16, 'accept-encoding', 'gzip, deflate'],
    [31, 'content-type', ''],
    [45, 'link', ''],
    [58, 'user-agent', ''],
    [61, 'www-authenticate', ''],
  ] as const) {
    t.strictSame(fieldsOf(decoder, Buffer.from([0x80 | index])), [[name, value]]);
  }
  t.end();
});

t.test('malformed blocks are errors', (t) => {
  for (const [hex, what] of [
    ['80', 'index 0'],
    ['be', 'an index behind the static table while the dynamic one is empty'],
    ['ff00', 'an index far behind the tables'],
    ['7f00 0161', 'the name of an entry that is not there, to be added'],
    ['0f2f 0161', 'the name of an entry that is not there'],
    ['1f2f 0161', 'the name of an entry that is not there, never indexed'],
    ['ff', 'an index that is cut off'],
    ['ff80', 'a continued index that is cut off'],
    ['44', 'a literal without a value'],
    ['40', 'a literal without a name'],
    ['40 0161', 'a new name without a value'],
    ['04 0561 6263', 'a value that is cut off'],
    ['04 7f', 'a length that is cut off'],
    ['04 7f80', 'a continued length that is cut off'],
    ['04 85f1 e3c2', 'a Huffman string that is cut off'],
    ['04 8100', 'a Huffman string with zeros as padding'],
    ['04 84ffff ffff', 'a Huffman string with the end-of-string symbol'],
    ['82 20', 'a size update behind a field'],
    ['3f', 'a size update that is cut off'],
    ['3fe2 1f', 'a size update of one more than the setting'],
  ] as const) {
    t.throws(() => decodeAll(newDecoder(), blockOf(hex)), HpackError, what);
  }
  t.end();
});

t.test('integers have a bound, in value and in length', (t) => {
  // Lengths of a string with the 7-bit prefix 127. No block is so long, so what fits is told apart by the message.
  for (const [octets, message] of [
    ['7f81ffff7f', 'a string is longer than the header block'], // 2^28
    ['7f81ffffff00', 'a string is longer than the header block'], // 2^28, padded
    ['7f82ffff7f', 'an integer is too large'], // 2^28 + 1
    ['7fffffff7f', 'an integer is too large'],
    ['7f8080808001', 'an integer is too large'],
    ['7fffffffff7f', 'an integer is too large'],
    ['7f808080808000', 'an integer is too large'], // 127, but six octets
    ['7fffffffffffffffffffff01', 'an integer is too large'],
  ] as const) {
    t.throws(() => decodeAll(newDecoder(), blockOf(`04${octets}`)), new HpackError(message), octets);
  }
  t.strictSame(fieldsOf(newDecoder(), blockOf('0f80808080 00'), plain('gzip')), [['accept-charset', 'gzip']], 'padded');
  t.end();
});

t.test('all representations of a literal, with the name by index and written out', (t) => {
  const decoder = newDecoder();
  const long = 'x'.repeat(1000);
  const fields = fieldsOf(
    decoder,
    literal(0x40, 'a', '1'),
    literal(0x00, 'b', '2'),
    literal(0x10, 'c', '3'),
    Buffer.from([0x44]), // :path, static
    plain('/x'),
    Buffer.from([0x7f, 0x00]), // index 63: `a`
    plain(''),
    Buffer.from([0x0f, 62 - 15]), // index 62: `a`, the empty one
    plain(long),
    Buffer.from([0x1f, 64 - 15]), // index 64: `a`, the first one
    plain('ÿ\0'),
    Buffer.from([0xbe, 0xbf, 0xc0]),
  );
  t.strictSame(fields, [
    ['a', '1'],
    ['b', '2'],
    ['c', '3'],
    [':path', '/x'],
    ['a', ''],
    ['a', long],
    ['a', 'ÿ\0'],
    ['a', ''],
    [':path', '/x'],
    ['a', '1'],
  ]);
  t.strictSame(decoder.table, {
    bytes: 33 + 39 + 34,
    entries: [
      ['a', ''],
      [':path', '/x'],
      ['a', '1'],
    ],
  });
  t.end();
});

t.test('the oldest entries make room', (t) => {
  const decoder = newDecoder();
  // Each is 64 bytes: 64 of them fill the table.
  const entry = (number: number): Buffer => literal(0x40, 'n'.repeat(16), String(number).padStart(16, '0'));
  for (let number = 0; number < 64; number++) fieldsOf(decoder, entry(number));
  t.equal(decoder.table.bytes, 4096);
  t.match(decoder.table.entries.at(-1), ['n'.repeat(16), '0'.repeat(16)]);
  fieldsOf(decoder, entry(64));
  t.equal(decoder.table.entries.length, 64);
  t.match(decoder.table.entries.at(-1)![1], /^0+1$/, 'one made room for one');
  fieldsOf(decoder, literal(0x40, 'n', 'v'.repeat(128)));
  t.equal(decoder.table.entries.length, 62, 'three made room for one');
  t.equal(decoder.table.bytes, 61 * 64 + 161);
  t.end();
});

t.test('an entry may be made from the name of one that it evicts (4.4)', (t) => {
  const decoder = newDecoder();
  const name = 'n'.repeat(2000);
  fieldsOf(decoder, literal(0x40, name, 'old'));
  t.strictSame(fieldsOf(decoder, Buffer.from([0x7e]), plain('v'.repeat(2000))), [[name, 'v'.repeat(2000)]]);
  t.strictSame(decoder.table, { bytes: 4032, entries: [[name, 'v'.repeat(2000)]] });
  t.end();
});

t.test('an entry that is larger than the table empties it, which is no error (4.4)', (t) => {
  const decoder = newDecoder();
  fieldsOf(decoder, literal(0x40, 'a', '1'));
  t.strictSame(fieldsOf(decoder, literal(0x40, 'b', 'v'.repeat(4064))), [['b', 'v'.repeat(4064)]]);
  t.strictSame(decoder.table, { bytes: 0, entries: [] });
  fieldsOf(decoder, literal(0x40, 'b', 'v'.repeat(4063)));
  t.equal(decoder.table.bytes, 4096, 'one byte less just fits');
  t.end();
});

t.test('a table larger than the default holds what it says', (t) => {
  const decoder = newDecoder({ tableBytesMax: 40_000 });
  t.throws(() => fieldsOf(newDecoder({ tableBytesMax: 40_000 }), sizeUpdate(40_001)), HpackError);
  for (let number = 0; number < 200; number++) fieldsOf(decoder, literal(0x40, '', ''));
  t.equal(decoder.table.entries.length, 128, 'the default until the client wants more');
  fieldsOf(decoder, sizeUpdate(40_000), literal(0x40, 'a', '0'));
  for (let number = 1; number < 1100; number++) fieldsOf(decoder, literal(0x40, 'a', String(number)));
  const expected = Array.from({ length: 1100 }, (_, index) => ['a', String(1099 - index)]);
  t.strictSame(decoder.table.entries.slice(0, 1100), expected);
  t.ok(decoder.table.bytes <= 40_000 && decoder.table.bytes > 39_900);
  t.end();
});

t.test('size updates', (t) => {
  const filled = (): HpackDecoder => {
    const decoder = newDecoder();
    fieldsOf(decoder, literal(0x40, 'a', '1'), literal(0x40, 'b', '2'), literal(0x40, 'c', '3'));
    return decoder;
  };
  let decoder = filled();
  t.strictSame(fieldsOf(decoder, sizeUpdate(68), Buffer.from([0xbf])), [['b', '2']], 'evicts the oldest');
  t.equal(decoder.table.bytes, 68);
  t.throws(() => fieldsOf(decoder, Buffer.from([0xc0])), HpackError, 'and it cannot be referred to any more');

  decoder = filled();
  t.strictSame(fieldsOf(decoder, sizeUpdate(0), sizeUpdate(4096), Buffer.from([0x82])), [[':method', 'GET']]);
  t.equal(decoder.table.bytes, 0, 'two in a row: down to 0 and up again empties it');
  fieldsOf(decoder, literal(0x40, 'v', 'v'.repeat(4000)));
  t.equal(decoder.table.bytes, 4033, 'and it is as large as before');

  decoder = filled();
  fieldsOf(decoder, sizeUpdate(0));
  fieldsOf(decoder, literal(0x40, 'a', '1'));
  t.equal(decoder.table.bytes, 0, 'nothing fits a table of 0');

  decoder = filled();
  t.strictSame(fieldsOf(decoder, sizeUpdate(4096)), [], 'a block may be an update alone');
  t.equal(decoder.table.entries.length, 3);
  t.throws(() => fieldsOf(filled(), sizeUpdate(4097)), HpackError, 'never more than the setting');
  t.throws(() => fieldsOf(filled(), Buffer.from([0xbe]), sizeUpdate(68)), HpackError, 'only at the beginning');
  t.end();
});

t.test('a setting below the default counts from its acknowledgement on', (t) => {
  const options = { tableBytesMax: 100 };
  let decoder = newDecoder(options);
  fieldsOf(decoder, literal(0x40, 'a', 'v'.repeat(200)));
  t.equal(decoder.table.bytes, 233, 'the client does not know the setting yet');
  decoder.settingsAcknowledged();
  t.strictSame(fieldsOf(decoder, sizeUpdate(100), Buffer.from([0x82])), [[':method', 'GET']]);
  t.equal(decoder.table.bytes, 0);
  t.throws(() => fieldsOf(decoder, sizeUpdate(101)), HpackError, 'no more than the setting');

  decoder = newDecoder(options);
  decoder.settingsAcknowledged();
  t.throws(() => fieldsOf(decoder, Buffer.from([0x82])), HpackError, 'the first block must make the table smaller');
  t.end();
});

t.test('a list may be as large as the limit; beyond that nothing is handed out, but the table goes on', (t) => {
  // ':method' 'GET' counts 42.
  const get = Buffer.from([0x82]);
  const limited = (): HpackDecoder => newDecoder({ headerListBytesMax: 84 });
  t.strictSame(decodeAll(limited(), Buffer.concat([get, get])).result, 'complete', 'exactly the limit');
  const decoder = limited();
  const block = Buffer.concat([get, literal(0x40, 'a', 'v'.repeat(20)), literal(0x40, 'b', '2'), get]);
  t.strictSame(decodeAll(decoder, block), { fields: [[':method', 'GET']], result: 'too-large' });
  t.strictSame(decoder.table.entries, [
    ['b', '2'],
    ['a', 'v'.repeat(20)],
  ]);
  t.strictSame(
    decodeAll(decoder, Buffer.from([0xbe])),
    { fields: [['b', '2']], result: 'complete' },
    'each block anew',
  );
  t.throws(
    () => decodeAll(limited(), Buffer.concat([get, get, get, Buffer.from([0x80])])),
    HpackError,
    'an error there',
  );
  t.end();
});

t.test('a large entry that is referred to very often is handed out as often as the limit says', (t) => {
  const decoder = newDecoder();
  fieldsOf(decoder, literal(0x40, 'bomb', 'v'.repeat(4060)));
  t.equal(decoder.table.bytes, 4096);
  let handedOut = 0;
  const result = decoder.decode(Buffer.alloc(1_000_000, 0xbe), () => handedOut++);
  t.equal(result, 'too-large');
  t.equal(handedOut, 4);
  t.strictSame(fieldsOf(decoder, Buffer.from([0x82])), [[':method', 'GET']], 'and the connection goes on');
  t.end();
});

t.test('small fields are bounded too: each counts 32 bytes', (t) => {
  const decoder = newDecoder({ headerListBytesMax: 3200 });
  fieldsOf(decoder, literal(0x40, '', ''));
  let handedOut = 0;
  t.equal(
    decoder.decode(Buffer.alloc(10_000, 0xbe), () => handedOut++),
    'too-large',
  );
  t.equal(handedOut, 100);
  t.end();
});

t.test('the generation tells whether a block may be remembered', (t) => {
  const decoder = newDecoder();
  const changes = (...parts: Buffer[]): boolean => {
    const before = decoder.generation;
    fieldsOf(decoder, ...parts);
    return decoder.generation !== before;
  };
  t.equal(changes(literal(0x40, 'a', '1')), true, 'an entry was added');
  t.equal(changes(Buffer.from([0x83, 0xbe])), false, 'indexed fields');
  t.equal(changes(literal(0x00, 'a', '1'), literal(0x10, 'a', '1')), false, 'other literals');
  t.equal(changes(sizeUpdate(4096)), false, 'an update to what it is already');
  t.equal(changes(sizeUpdate(4000)), true, 'an update');
  t.equal(changes(sizeUpdate(0), sizeUpdate(4000)), true, 'two updates that lead back');
  t.equal(changes(literal(0x40, 'a', 'v'.repeat(4000))), true, 'an entry that does not fit');
  t.end();
});

t.test('strings of literals that are not indexed are remembered, and never mistaken for others', (t) => {
  const decoder = newDecoder();
  // Same length, first, middle and last octet: all want the same place.
  const values = ['/a-b-c/', '/axb-c/', '/a-bxc/', '/a-b-c/', '/a-b-c/'];
  for (const value of [...values, ...values]) {
    t.strictSame(fieldsOf(decoder, Buffer.from([0x04]), plain(value)), [[':path', value]]);
  }
  // `83 f1 e3 c7` is a Huffman string; `03 f1 e3 c7` are the same octets, plain.
  const huffman = Buffer.from([0x04, 0x83, 0xf1, 0xe3, 0xc7]);
  const same = Buffer.from([0x04, 0x03, 0xf1, 0xe3, 0xc7]);
  const expected = [[':path', 'www']];
  for (let round = 0; round < 2; round++) {
    t.strictSame(fieldsOf(decoder, huffman), expected);
    t.strictSame(fieldsOf(decoder, same), [[':path', '\xf1\xe3\xc7']]);
  }
  for (const length of [0, 1, 63, 64, 65, 129]) {
    const value = 'v'.repeat(length);
    for (let round = 0; round < 2; round++) {
      t.strictSame(fieldsOf(decoder, literal(0x00, `n${value}`, value)), [[`n${value}`, value]], `${length} octets`);
    }
  }
  t.end();
});
