/** Messages out of DATA that is cut anywhere. */
import t from 'tap';
import { MessageReader } from '../../../../src/transport/grpc/message-reader.ts';
import { Random } from '../../../support/random.ts';

const bytesMax = 200_000;

function encoded(message: Buffer, compressed = 0): Buffer {
  const prefix = Buffer.from([compressed, 0, 0, 0, 0]);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** What comes out of these parts: messages in hexadecimal, `gzip` before those marked as compressed, the length of what is too long. */
function read(parts: readonly Buffer[], atOnceBytes = 0): { told: string[]; partial: boolean } {
  const reader = new MessageReader(bytesMax, atOnceBytes);
  const told: string[] = [];
  for (const part of parts) {
    // The payload of a frame is a view of something larger.
    const around = Buffer.concat([Buffer.alloc(3, 0xff), part, Buffer.alloc(3, 0xff)]);
    reader.push(around, 3, 3 + part.length, {
      message: (bytes, compressed) => told.push(`${compressed ? 'gzip ' : ''}${bytes.toString('hex')}`),
      tooLong: (bytes) => told.push(`too long: ${bytes}`),
    });
  }
  return { told, partial: reader.partial };
}

t.test('several in one part, empty ones too, and what comes of the next', async (t) => {
  const one = Buffer.from('one');
  const two = Buffer.from('two');
  t.strictSame(read([Buffer.concat([encoded(one), encoded(Buffer.alloc(0)), encoded(two, 1)])]), {
    told: ['6f6e65', '', 'gzip 74776f'],
    partial: false,
  });
  t.strictSame(read([Buffer.concat([encoded(one), Buffer.from([0])])]), { told: ['6f6e65'], partial: true });
  t.strictSame(read([encoded(one).subarray(0, 7)]), { told: [], partial: true });
  t.strictSame(read([encoded(Buffer.alloc(0)).subarray(0, 4), Buffer.from([0])]), { told: [''], partial: false });
});

t.test('a length beyond the limit is told before any of it has come', async (t) => {
  const prefix = Buffer.from([0, 0xff, 0xff, 0xff, 0xff]);
  t.strictSame(read([prefix]).told, ['too long: 4294967295']);
  t.strictSame(read([encoded(Buffer.alloc(bytesMax + 1)).subarray(0, 5)]).told, [`too long: ${bytesMax + 1}`]);
});

t.test('random messages, cut at random, are the same (seeded)', async (t) => {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
  t.comment(`SEED=${seed}`);
  const random = new Random(seed);
  const next = (): number => random.next();
  for (let round = 0; round < 50; round++) {
    const messages = Array.from({ length: 1 + Math.floor(next() * 5) }, () => {
      const message = Buffer.alloc(Math.floor(next() ** 4 * bytesMax));
      for (let i = 0; i < message.length; i += 97) message[i] = Math.floor(next() * 256);
      return message;
    });
    const bytes = Buffer.concat(messages.map((message) => encoded(message)));
    const parts: Buffer[] = [];
    for (let at = 0; at < bytes.length; ) {
      const end = at + 1 + Math.floor(next() ** 3 * 50_000);
      parts.push(bytes.subarray(at, end));
      at = end;
    }
    const { told, partial } = read(parts);
    t.notOk(partial);
    t.strictSame(read(parts, 100_000).told, told, 'the same where their memory is taken at once');
    t.ok(
      told.length === messages.length && told.every((text, i) => text === messages[i]?.toString('hex')),
      `round ${round}: ${messages.length} messages in ${parts.length} parts`,
    );
  }
});
