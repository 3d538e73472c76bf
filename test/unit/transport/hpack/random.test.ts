/** The decoder against an encoder that uses everything, and against octets that mean nothing. */
import t from 'tap';
import { HpackDecoder } from '../../../../src/transport/hpack/decoder.ts';
import { HpackError } from '../../../../src/transport/hpack/errors.ts';
import { Random } from '../../../support/random.ts';
import { decodeAll, type Fields } from './blocks.ts';
import { TableEncoder } from './table-encoder.ts';

const names = [
  ':method',
  ':path',
  ':status',
  'accept',
  'content-type',
  'grpc-timeout',
  'te',
  'x-é',
  'www-authenticate',
];
const values = ['', 'GET', '/', '200', 'trailers', 'application/grpc', '/etcdserverpb.KV/Range'];

function randomText(random: Random, length: number): string {
  const highest = random.pick([0x39, 0x7a, 0xff]);
  return Array.from({ length }, () => String.fromCharCode(random.integer(highest === 0xff ? 0 : 0x30, highest))).join(
    '',
  );
}

function randomFields(random: Random): Fields {
  return Array.from({ length: random.integer(0, 12) }, () => {
    const name = random.chance(0.8) ? random.pick(names) : randomText(random, random.integer(0, 70));
    const length = random.chance(0.02) ? random.integer(100, 5000) : random.integer(0, 30);
    return [name, random.chance(0.6) ? random.pick(values) : randomText(random, length)] as const;
  });
}

for (const tableBytesMax of [4096, 200, 20_000]) {
  t.test(`what an encoder with a table of up to ${tableBytesMax} bytes writes is read`, (t) => {
    const random = new Random(tableBytesMax);
    for (let connection = 0; connection < 20; connection++) {
      const encoder = new TableEncoder(random, tableBytesMax);
      const decoder = new HpackDecoder({ tableBytesMax, headerListBytesMax: 1_000_000 });
      for (let round = 0; round < 100; round++) {
        const fields = randomFields(random);
        const block = encoder.encode(fields);
        const generation = decoder.generation;
        const first = decodeAll(decoder, block);
        if (JSON.stringify(first.fields) !== JSON.stringify(fields)) t.strictSame(first.fields, fields);
        const { bytes, entries } = decoder.table;
        if (JSON.stringify(entries) !== JSON.stringify(encoder.entries)) t.strictSame(entries, encoder.entries);
        if (bytes !== encoder.bytes) t.equal(bytes, encoder.bytes);
        if (decoder.generation === generation) t.strictSame(decodeAll(decoder, block), first, 'the same once more');
      }
    }
    t.pass('all connections agree');
    t.end();
  });
}

/** Whether the decoder took the block. Anything but an HpackError fails the test. */
function takes(decoder: HpackDecoder, block: Buffer): boolean {
  try {
    decoder.decode(block, () => {});
    return true;
  } catch (error) {
    if (!(error instanceof HpackError)) throw error;
    return false;
  }
}

t.test('random octets are decoded or refused, nothing else', (t) => {
  const random = new Random(3);
  const outcomes = { taken: 0, refused: 0 };
  for (let connection = 0; connection < 3000; connection++) {
    const decoder = new HpackDecoder({ tableBytesMax: 4096, headerListBytesMax: 1000 });
    for (let round = 0; round < 20; round++) {
      const length = random.integer(0, 40);
      const block = Buffer.from(Array.from({ length }, () => random.integer(0, 255)));
      if (!takes(decoder, block)) {
        outcomes.refused++;
        break;
      }
      outcomes.taken++;
      const { bytes, entries } = decoder.table;
      const sum = entries.reduce((total, [name, value]) => total + name.length + value.length + 32, 0);
      if (bytes !== sum || bytes > 4096) t.fail(`the table counts ${bytes} bytes, its entries have ${sum}`);
    }
  }
  t.ok(outcomes.taken > 100 && outcomes.refused > 100, `both happened: ${JSON.stringify(outcomes)}`);
  t.end();
});

t.test('a good block with octets changed, cut off or added is decoded or refused', (t) => {
  const random = new Random(4);
  const outcomes = { taken: 0, refused: 0 };
  for (let connection = 0; connection < 1000; connection++) {
    const encoder = new TableEncoder(random, 4096);
    const decoder = new HpackDecoder({ tableBytesMax: 4096, headerListBytesMax: 100_000 });
    for (let round = 0; round < 5; round++) takes(decoder, encoder.encode(randomFields(random)));
    const block = encoder.encode(randomFields(random));
    const octets = [...block];
    for (let change = 0; change < 3; change++) {
      const position = random.integer(0, octets.length);
      octets.splice(position, random.integer(0, 1), ...(random.chance(0.7) ? [random.integer(0, 255)] : []));
    }
    outcomes[takes(decoder, Buffer.from(octets)) ? 'taken' : 'refused']++;
  }
  t.ok(outcomes.taken > 50 && outcomes.refused > 50, `both happened: ${JSON.stringify(outcomes)}`);
  t.end();
});
