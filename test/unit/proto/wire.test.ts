import fc from 'fast-check';
import t from 'tap';
import { MalformedMessage, Reader, varintSize, Writer } from '../../../src/proto/wire.ts';

/** The plain definition, to compare with. */
function varint(value: bigint): number[] {
  const bytes: number[] = [];
  for (let rest = BigInt.asUintN(64, value); ; rest >>= 7n) {
    if (rest < 128n) return [...bytes, Number(rest)];
    bytes.push(Number(rest & 127n) | 128);
  }
}

const hex = (text: string) => new Reader(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const int64s = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.constantFrom(0n, 1n, 127n, 128n, 2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 63n - 1n, -1n, -(2n ** 63n)),
);

void t.test('a varint is read with all its bits, or as the nearest safe integer', (t) => {
  fc.assert(
    fc.property(int64s, (value) => {
      const bytes = Buffer.from(varint(value));
      t.equal(new Reader(bytes).int64BigInt(), value);
      const max = BigInt(Number.MAX_SAFE_INTEGER);
      const nearest = value > max ? max : value < -max ? -max : value;
      t.equal(new Reader(bytes).int64(), Number(nearest));
      t.equal(new Reader(bytes).int32(), Number(BigInt.asIntN(32, value)));
      t.equal(new Reader(bytes).bool(), value !== 0n);
    }),
  );
  t.end();
});

void t.test('a varint is written and sized as it is read', (t) => {
  const numbers = fc.oneof(
    fc.nat(),
    fc.maxSafeNat(),
    fc.constantFrom(127, 128, 2 ** 31 - 1, 2 ** 31, 2 ** 35 - 1, 2 ** 35),
  );
  fc.assert(
    fc.property(numbers, (value) => {
      const writer = new Writer(varintSize(value));
      writer.varint(value);
      t.same([...writer.finish()], varint(BigInt(value)));
    }),
  );
  t.end();
});

void t.test('a message that is not of the size computed for it is never sent', (t) => {
  const writer = new Writer(3);
  writer.varint(1);
  t.throws(() => writer.finish(), /wrote 1 bytes of a message that was sized 3/);
  t.end();
});

void t.test('what Go calls malformed', (t) => {
  const read: [string, (reader: Reader) => unknown][] = [
    ['', (reader) => reader.tag()],
    ['80', (reader) => reader.int64()],
    ['ff ff ff ff ff ff ff ff ff 02', (reader) => reader.int64()],
    ['ff ff ff ff ff ff ff ff ff ff 01', (reader) => reader.int64()],
    ['05 00', (reader) => reader.bytes()],
    ['ff ff ff ff ff ff ff ff ff 01', (reader) => reader.bytes()],
    ['80 80 80 80 10', (reader) => reader.latin1()],
    // Field number 0, and one too large.
    ['02', (reader) => reader.tag()],
    ['80 80 80 80 10', (reader) => reader.tag()],
    ['01 02 03', (reader) => reader.skip(0x0d)],
    ['01 02 03 04 05 06 07', (reader) => reader.skip(0x09)],
    ['00', (reader) => reader.skip(0x0e)],
    ['00', (reader) => reader.skip(0x0f)],
    // A group that ends as another one, one that never ends, an end without a group.
    ['1c', (reader) => reader.skip(0x13)],
    ['08 01', (reader) => reader.skip(0x13)],
    ['00', (reader) => reader.skip(0x14)],
  ];
  for (const [bytes, call] of read) {
    t.throws(() => call(hex(bytes)), MalformedMessage, `${bytes}: ${String(call)}`);
  }
  t.throws(() => hex('13'.repeat(10_000)).skip(0x13), MalformedMessage, 'groups too deep');
  t.end();
});

void t.test('unknown fields of every wire type are skipped', (t) => {
  const unknown: [number, string][] = [
    [0x78, 'ff ff ff ff ff ff ff ff ff 01'],
    [0x79, '01 02 03 04 05 06 07 08'],
    [0x7a, '03 01 02 03'],
    [0x7b, '08 01 13 0a 01 61 14 7c'],
    [0x7d, '01 02 03 04'],
  ];
  for (const [tag, value] of unknown) {
    const reader = hex(`${value} 2a`);
    reader.skip(tag);
    t.equal(reader.int64(), 42, tag.toString(16));
  }
  t.end();
});

void t.test('a nested message ends where its length says, and not behind the outer one', (t) => {
  const reader = hex('02 08 01 07');
  const outer = reader.enter();
  t.equal(reader.tag(), 8);
  t.equal(reader.int64(), 1);
  t.ok(reader.done());
  reader.leave(outer);
  t.notOk(reader.done());
  t.equal(reader.int64(), 7);

  const inner = hex('01 80 01');
  inner.enter();
  t.throws(() => inner.int64(), MalformedMessage, 'a varint that runs over the end of its message');
  t.throws(() => hex('04 08 01').enter(), MalformedMessage);
  t.end();
});

void t.test('any bytes are read or refused, in a plain Uint8Array too', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const reader = new Reader(bytes);
      try {
        while (!reader.done()) reader.skip(reader.tag());
      } catch (error) {
        if (!(error instanceof MalformedMessage)) throw error;
      }
    }),
  );
  t.pass('nothing else was thrown');
  t.end();
});
