import fc from 'fast-check';
import t from 'tap';
import { decodeKeyValue, encodeKeyValue } from '../../../src/mvcc/key-value.ts';
import { mvccpb } from '../../../src/proto/generated/etcd.js';
import { long } from '../../../src/proto/int64.ts';

const number = fc.oneof(
  fc.constantFrom(0, 1, 127, 128, 2 ** 28 - 1, 2 ** 28, 2 ** 31, 2 ** 32, 2 ** 53 - 1),
  fc.maxSafeNat(),
);
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.integer({ min: 100, max: 20_000 }).map((size) => new Uint8Array(size)),
);
const lease = fc.oneof(
  fc.constantFrom(0n, 1n, -1n, 2n ** 63n - 1n, -(2n ** 63n)),
  fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n),
);

/** A safe integer as the generated code takes it. */
const wide = (value: number) => long(BigInt(value));

t.test('byte for byte what the generated code writes, and back', async (t) => {
  let seen = 0;
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 200 }),
      number,
      number,
      number,
      bytes,
      lease,
      (key, createRevision, modRevision, version, value, id) => {
        seen++;
        const head = { key: Buffer.from(key).toString('latin1'), createRevision, modRevision, version, lease: id };
        const encoded = encodeKeyValue(head, value);
        const expected = mvccpb.KeyValue.encode({
          key,
          ...(createRevision > 0 && { createRevision: wide(createRevision) }),
          ...(modRevision > 0 && { modRevision: wide(modRevision) }),
          ...(version > 0 && { version: wide(version) }),
          ...(value.length > 0 && { value }),
          ...(id !== 0n && { lease: long(id) }),
        }).finish();
        if (!encoded.equals(expected))
          throw new Error(`${encoded.toString('hex')} is not ${Buffer.from(expected).toString('hex')}`);
        // In the middle of other bytes, as it lies in a batch.
        const around = Buffer.concat([Buffer.from([0x0a, 0xff]), encoded, Buffer.from([0x30])]);
        const decoded = decodeKeyValue(around, 2, 2 + encoded.length);
        if (Buffer.compare(decoded.value, value) !== 0) throw new Error('another value');
        const { value: _, ...decodedHead } = decoded;
        for (const name of ['key', 'createRevision', 'modRevision', 'version', 'lease'] as const) {
          if (decodedHead[name] !== head[name]) throw new Error(`${name}: ${decodedHead[name]} is not ${head[name]}`);
        }
      },
    ),
    { numRuns: 2000 },
  );
  t.ok(seen >= 2000);
});

t.test('damaged bytes are an error', async (t) => {
  const whole = encodeKeyValue(
    { key: 'key', createRevision: 5, modRevision: 7, version: 2, lease: -1n },
    Buffer.from('value'),
  );
  for (let length = 1; length < whole.length; length++) {
    const cut = whole.subarray(0, length);
    try {
      // Cut between two fields it is a whole message still, with less in it.
      const { key } = decodeKeyValue(cut);
      t.equal(key, 'key');
    } catch (error) {
      t.match(error, /KeyValue ends at/);
    }
  }
  t.throws(() => decodeKeyValue(Buffer.from([0x3a, 1, 0])), /unknown field tag 58/);
});
