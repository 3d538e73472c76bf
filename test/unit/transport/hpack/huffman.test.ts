/** The Huffman code against Appendix B of RFC 7541, and its rules for the end of a string (5.2). */
import t from 'tap';
import { HpackError } from '../../../../src/transport/hpack/errors.ts';
import { decodeHuffman, encodeHuffman, huffmanBytes } from '../../../../src/transport/hpack/huffman.ts';
import { Random } from '../../../support/random.ts';

function encode(text: string): Buffer {
  const target = Buffer.alloc(huffmanBytes(text));
  if (encodeHuffman(text, target, 0) !== target.length) throw new Error(`${JSON.stringify(text)} has another length`);
  return target;
}

function decode(octets: Buffer): string {
  return decodeHuffman(octets, 0, octets.length);
}

/** `101` as octets, with ones behind it. */
function ofBits(bits: string): Buffer {
  const padded = bits.padEnd(Math.ceil(bits.length / 8) * 8, '1');
  return Buffer.from((padded.match(/.{8}/g) ?? []).map((octet) => Number.parseInt(octet, 2)));
}

/** The first and the last code of each length, as Appendix B has them in its column "as hex". */
const codesOfAppendixB: readonly (readonly [symbol: number, code: number, bits: number])[] = [
  [0x30, 0x0, 5],
  [0x74, 0x9, 5],
  [0x20, 0x14, 6],
  [0x75, 0x2d, 6],
  [0x3a, 0x5c, 7],
  [0x7a, 0x7b, 7],
  [0x26, 0xf8, 8],
  [0x5a, 0xfd, 8],
  [0x21, 0x3f8, 10],
  [0x3f, 0x3fc, 10],
  [0x27, 0x7fa, 11],
  [0x7c, 0x7fc, 11],
  [0x23, 0xffa, 12],
  [0x3e, 0xffb, 12],
  [0x00, 0x1ff8, 13],
  [0x7e, 0x1ffd, 13],
  [0x5e, 0x3ffc, 14],
  [0x7d, 0x3ffd, 14],
  [0x3c, 0x7ffc, 15],
  [0x7b, 0x7ffe, 15],
  [0x5c, 0x7fff0, 19],
  [0xd0, 0x7fff2, 19],
  [0x80, 0xfffe6, 20],
  [0xe2, 0xfffed, 20],
  [0x99, 0x1fffdc, 21],
  [0xe6, 0x1fffe8, 21],
  [0x81, 0x3fffd2, 22],
  [0xe9, 0x3fffeb, 22],
  [0x01, 0x7fffd8, 23],
  [0xef, 0x7ffff4, 23],
  [0x09, 0xffffea, 24],
  [0xed, 0xfffff5, 24],
  [0xc7, 0x1ffffec, 25],
  [0xeb, 0x1ffffef, 25],
  [0xc0, 0x3ffffe0, 26],
  [0xff, 0x3ffffee, 26],
  [0xcb, 0x7ffffde, 27],
  [0xfe, 0x7fffff0, 27],
  [0x02, 0xfffffe2, 28],
  [0xf9, 0xffffffe, 28],
  [0x0a, 0x3ffffffc, 30],
  [0x16, 0x3ffffffe, 30],
];

t.test('the code is that of Appendix B', (t) => {
  for (const [symbol, code, bits] of codesOfAppendixB) {
    const text = String.fromCharCode(symbol);
    const octets = ofBits(code.toString(2).padStart(bits, '0'));
    t.strictSame(encode(text), octets, `symbol ${symbol}`);
    t.equal(decode(octets), text, `symbol ${symbol}`);
  }
  t.end();
});

t.test('every pair of octets comes back, so every symbol at every offset', (t) => {
  for (let first = 0; first < 256; first++) {
    let text = '';
    for (let second = 0; second < 256; second++) text += String.fromCharCode(first, second);
    if (decode(encode(text)) !== text) t.fail(`pairs of ${first} do not come back`);
  }
  t.pass('tried all pairs');
  t.end();
});

t.test('random strings come back, short and longer than the scratch space', (t) => {
  const random = new Random(1);
  for (let round = 0; round < 2000; round++) {
    const length = random.chance(0.01) ? random.integer(1000, 40_000) : random.integer(0, 60);
    // Digits have the shortest codes: such a string grows most when it is decoded.
    const highest = random.pick([0x32, 0x7f, 0xff]);
    const lowest = highest === 0x32 ? 0x30 : 0;
    let text = '';
    for (let index = 0; index < length; index++) text += String.fromCharCode(random.integer(lowest, highest));
    if (decode(encode(text)) !== text) t.fail(`does not come back: ${JSON.stringify(text)}`);
  }
  t.equal(decode(Buffer.alloc(0)), '', 'an empty string');
  t.end();
});

t.test('padding is the first bits of the end-of-string symbol, and less than an octet', (t) => {
  // `0` is 00000 and `&` is 11111000.
  t.equal(decode(ofBits('00000')), '0', 'three bits');
  t.equal(decode(ofBits('11111000')), '&', 'no bit');
  // `:` is 1011100: seven of them are 49 bits.
  t.equal(decode(ofBits('1011100'.repeat(7))), ':'.repeat(7), 'seven bits');
  for (const [bits, what] of [
    ['00000000', 'zeros'],
    ['00000110', 'a zero behind ones'],
    ['00000011', 'a zero before ones'],
    ['0000011111111111', 'eleven bits'],
    ['1111100011111111', 'an octet'],
    ['11111111', 'an octet without a string'],
    [`11111000${'1'.repeat(24)}`, 'three octets'],
  ] as const) {
    t.throws(() => decode(ofBits(bits)), HpackError, what);
  }
  t.end();
});

t.test('a bad end is seen behind every symbol', (t) => {
  for (let symbol = 0; symbol < 256; symbol++) {
    const text = String.fromCharCode(symbol);
    const good = encode(text);
    t.throws(() => decode(Buffer.concat([good, Buffer.from([0xff])])), HpackError, `an octet of ones behind ${symbol}`);
    if (good.at(-1)! % 2 === 0) continue;
    const bad = Buffer.from(good);
    bad[bad.length - 1]! &= 0xfe;
    let decoded: string | undefined;
    try {
      decoded = decode(bad);
    } catch (error) {
      t.ok(error instanceof HpackError);
    }
    t.not(decoded, text, `the last bit of ${symbol} matters`);
  }
  t.end();
});

t.test('the end-of-string symbol is an error wherever it is', (t) => {
  const endOfString = '1'.repeat(30);
  for (let before = 0; before < 8; before++) {
    t.throws(() => decode(ofBits('00000'.repeat(before) + endOfString)), HpackError, `behind ${before} symbols`);
    t.throws(() => decode(ofBits(`${'00000'.repeat(before)}${endOfString}00000`)), HpackError, 'and one after it');
  }
  t.end();
});

t.test('only octets can be encoded', (t) => {
  t.throws(() => huffmanBytes('Ā'), RangeError);
  t.throws(() => huffmanBytes('\u{1f600}'), RangeError);
  t.end();
});
