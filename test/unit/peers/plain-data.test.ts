import t from 'tap';
import { PlainDataWriter, readPlainData } from '../../../src/peers/plain-data.ts';
import { Random } from '../../support/random.ts';
import { encodePlainData } from './plain-data-support.ts';

const values: Record<string, unknown> = {
  undefined,
  booleans: [true, false],
  'whole numbers': [0, 1, 127, 128, 2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER],
  'other numbers': [-1, 0.5, -(2 ** 40), 2 ** 60, Number.POSITIVE_INFINITY, Number.MIN_SAFE_INTEGER],
  bigints: [0n, 1n, -1n, 2n ** 64n - 1n, -(2n ** 63n)],
  strings: ['', 'a', 'k\0\xff', '\u0100', 'grüße', '世界', '\u{1f600}', 'x'.repeat(10_000)],
  bytes: [Buffer.alloc(0), Buffer.from([0, 255]), Buffer.alloc(100_000, 7)],
  arrays: [[], [[]], [[1], [2, [3]]], Array.from({ length: 1000 }, (_, i) => i)],
  'an object of a known shape': { kind: 'put', revision: 7, prevKv: undefined },
  'the same fields in another order': { revision: 7, kind: 'put', prevKv: undefined },
  'objects of other shapes': [{}, { a: 1 }, { 'a,b': 1, c: { d: [] } }, { __proto__: undefined, x: 1 }],
};

t.test('everything comes out as it went in', (t) => {
  for (const [what, value] of Object.entries(values)) {
    const bytes = encodePlainData(value);
    t.strictSame(readPlainData(bytes), value, what);
    const between = Buffer.concat([Buffer.alloc(3, 7), bytes, Buffer.alloc(3, 7)]);
    t.strictSame(readPlainData(between, 3, 3 + bytes.length), value, `${what}, between other bytes`);
    if (bytes.length < 200) {
      for (let end = 0; end < bytes.length; end++) t.throws(() => readPlainData(bytes.subarray(0, end)), what);
    }
    t.throws(() => readPlainData(Buffer.concat([bytes, Buffer.from([0])])), /bytes after/, what);
  }
  t.end();
});

t.test('random values', (t) => {
  const random = new Random(11);
  const any = (depth: number): unknown => {
    const kind = random.integer(0, depth > 0 ? 8 : 6);
    if (kind === 0) return undefined;
    if (kind === 1) return random.chance(0.5);
    if (kind === 2) return random.integer(0, 2 ** random.integer(1, 50));
    if (kind === 3) return BigInt(random.integer(-1000, 1000)) ** 5n;
    if (kind === 4)
      return String.fromCharCode(...Array.from({ length: random.integer(0, 20) }, () => random.integer(0, 400)));
    if (kind === 5) return Buffer.from(Array.from({ length: random.integer(0, 50) }, () => random.integer(0, 255)));
    if (kind === 6) return -random.integer(1, 1000) / 8;
    const items = Array.from({ length: random.integer(0, 5) }, () => any(depth - 1));
    return kind === 7 ? items : Object.fromEntries(items.map((item, i) => [`field${i}`, item]));
  };
  const all = Array.from({ length: 1000 }, () => any(4));
  t.strictSame(
    all.map((value) => readPlainData(encodePlainData(value))),
    all,
  );
  t.end();
});

t.test('what cannot be sent fails, and nothing of it is left for the next', (t) => {
  const writer = new PlainDataWriter();
  writer.write(1);
  t.throws(() => writer.write([1, { a: null }]));
  t.throws(() => writer.write(2n ** 64n));
  writer.write([2]);
  t.strictSame(readPlainData(writer.take(2)), 1);
  t.strictSame(readPlainData(writer.take()), [2]);
  t.end();
});

t.test('damaged bytes: a value or an error, and no more memory than they have bytes for', (t) => {
  for (const bytes of [
    [10, 0xff, 0xff, 0xff, 0x7f],
    [9, 0xff, 0xff, 0xff, 0x7f],
    [12, 0xff, 0xff, 0x7f],
    [11, 99],
    [13],
    [3, 255],
  ]) {
    t.throws(() => readPlainData(Buffer.from(bytes)), bytes.join());
  }
  const deep = Buffer.concat([Buffer.alloc(200_000, Buffer.from([10, 1])), Buffer.from([0])]);
  t.throws(() => readPlainData(deep), { name: 'RangeError' }, 'nested too deep');
  t.end();
});
