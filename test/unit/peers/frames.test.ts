import t from 'tap';
import { decodeFrames, encodePush, type Frame, FrameQueue } from '../../../src/peers/frames.ts';
import { Random } from '../../support/random.ts';
import { put, txn, versionIs } from '../mvcc/requests.ts';
import { encodePlainData } from './plain-data-support.ts';
import { encodeFrame } from './support.ts';

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

/** One of each kind and shape. */
const frames: readonly Frame[] = [
  { kind: 'push', payload: [2 ** 40, '0123456789abcdef-7', bytes(0, 1, 255)] },
  { kind: 'push', payload: [0, 'genesis', bytes()] },
  { kind: 'forward', payload: { sequence: 1, epoch: 2, command: put('k\xff', 'v\0', { lease: -1n }) } },
  {
    kind: 'forward',
    payload: { sequence: 2 ** 50, epoch: 1, command: txn([versionIs('a', 0)], [put('a', 'x'), txn([], [])]) },
  },
  {
    kind: 'forward',
    payload: { sequence: 3, epoch: 1, command: { kind: 'epoch', replica: 2n ** 64n - 1n, epoch: 9 } },
  },
  { kind: 'answer', payload: [1, { kind: 'done', slot: 5, result: undefined }] },
  {
    kind: 'answer',
    payload: [2, { kind: 'done', slot: 6, result: { kind: 'put', revision: 7, prevKv: bytes(1, 2) } }],
  },
  { kind: 'answer', payload: [3, { kind: 'refused', slot: 5, reason: 'LeaseNotFound' }] },
  { kind: 'answer', payload: [4, { kind: 'unavailable', message: 'disk', unknown: true }] },
  { kind: 'answer', payload: [5, { kind: 'again' }] },
];

const kindByte = { forward: 1, answer: 2 } as const;

/** A frame around any payload, or with a head of its own. */
function frameOf(kind: number, payload: Buffer, length = payload.length): Buffer {
  const head = Buffer.alloc(5);
  head[0] = kind;
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, payload]);
}

t.test('each kind comes out as it went in, alone and together', (t) => {
  for (const frame of frames) t.same(decodeFrames(encodeFrame(frame)), [frame]);
  t.same(decodeFrames(Buffer.concat(frames.map(encodeFrame))), frames, 'in order');
  t.same(decodeFrames(Buffer.alloc(0)), [], 'a sign of life');
  const [{ payload }] = decodeFrames(encodeFrame(frames[2] as Frame)) as [Extract<Frame, { kind: 'forward' }>];
  t.ok('value' in payload.command && payload.command.value instanceof Uint8Array, 'bytes stay bytes');
  t.end();
});

t.test('bytes come out whole wherever the message lies in memory', (t) => {
  const message = Buffer.concat(frames.map(encodeFrame));
  for (let offset = 0; offset < 9; offset++) {
    const moved = Buffer.concat([Buffer.alloc(offset, 0xaa), message]).subarray(offset);
    t.same(decodeFrames(moved), frames);
  }
  t.end();
});

t.test('a message that is cut anywhere within a frame is refused', (t) => {
  const ends = new Set<number>([0]);
  let length = 0;
  for (const frame of frames) {
    length += encodeFrame(frame).length;
    ends.add(length);
  }
  const message = Buffer.concat(frames.map(encodeFrame));
  for (let end = 0; end <= message.length; end++) {
    const cut = message.subarray(0, end);
    if (ends.has(end)) t.doesNotThrow(() => decodeFrames(cut));
    else t.throws(() => decodeFrames(cut), { message: 'a damaged message between replicas' }, `after ${end} bytes`);
  }
  t.end();
});

t.test('damaged frames are refused, with one text', (t) => {
  const push = Buffer.concat(encodePush(1, 'id', bytes(1))).subarray(5);
  const again = encodePlainData([1, { kind: 'again' }]);
  const damaged: Record<string, Buffer> = {
    'an unknown kind': frameOf(3, push),
    'the kind after the last byte': frameOf(255, push),
    'a length beyond the message': frameOf(0, push, push.length + 1),
    'the greatest length': frameOf(0, push, 2 ** 32 - 1),
    'a length that leaves bytes over': frameOf(2, again, again.length - 1),
    'a push without payload': frameOf(0, Buffer.alloc(0)),
    'a push that ends within its slot': frameOf(0, push.subarray(0, 7)),
    'a push that ends within its id': frameOf(0, push.subarray(0, 10)),
    'a push of a slot beyond the safe integers': frameOf(0, Buffer.concat([Buffer.alloc(8, 1), push.subarray(8)])),
    'an answer without payload': frameOf(2, Buffer.alloc(0)),
    'a payload that is no plain data': frameOf(2, Buffer.from('{"slot":1}')),
  };
  const payloads: Record<keyof typeof kindByte, readonly unknown[]> = {
    forward: [
      undefined,
      [1, 2, put('k')],
      { sequence: 1, epoch: 1 },
      { sequence: 1, epoch: 1, command: undefined },
      { sequence: 1, epoch: 1, command: 'put' },
      { sequence: 1, epoch: 1, command: { key: 'k' } },
      { sequence: 1.5, epoch: 1, command: put('k') },
      { sequence: 1, epoch: 1n, command: put('k') },
      { sequence: '1', epoch: 1, command: put('k') },
    ],
    answer: [undefined, {}, [], [1], [1, undefined], [1, 'done'], [1, {}], ['1', { kind: 'again' }]],
  };
  for (const [kind, wrong] of Object.entries(payloads)) {
    wrong.forEach((payload, i) => {
      damaged[`${kind} ${i}`] = frameOf(kindByte[kind as keyof typeof kindByte], encodePlainData(payload));
    });
  }
  for (const [what, message] of Object.entries(damaged)) {
    t.throws(() => decodeFrames(message), { message: 'a damaged message between replicas' }, what);
    const behind = Buffer.concat([encodeFrame(frames[0] as Frame), message]);
    t.throws(
      () => decodeFrames(behind),
      { message: 'a damaged message between replicas' },
      `${what}, behind a good one`,
    );
  }
  t.end();
});

/** What a queue sends, and how to let it. */
function queue() {
  const sent: Frame[][] = [];
  const flushes: (() => void)[] = [];
  const frames = new FrameQueue(
    (message) => sent.push(decodeFrames(message)),
    (flush) => flushes.push(flush),
  );
  return { frames, sent, flushes };
}

const answer = (sequence: number, size = 0) =>
  ({
    kind: 'answer',
    payload: [sequence, { kind: 'done', slot: 1, result: { kind: 'put', revision: 2, prevKv: Buffer.alloc(size, 7) } }],
  }) as const;

t.test('frames that are added before the queue is flushed leave as one message', (t) => {
  const { frames, sent, flushes } = queue();
  for (let i = 0; i < 3; i++) t.ok(frames.add(answer(i), 1000));
  t.equal(flushes.length, 1, 'it is asked for once');
  t.same(sent, []);
  flushes[0]?.();
  t.same(sent, [[answer(0), answer(1), answer(2)]]);
  frames.flush();
  t.equal(sent.length, 1, 'nothing is no message');
  t.ok(frames.add(answer(3), 1000));
  t.equal(flushes.length, 2);
  frames.clear();
  flushes[1]?.();
  t.equal(sent.length, 1, 'what was taken back is not sent');
  t.end();
});

t.test('a message is no longer than allowed, and what is longer by itself is not sent', (t) => {
  const { frames, sent, flushes } = queue();
  const frameBytes = encodeFrame(answer(0, 100)).length;
  t.notOk(frames.add(answer(0, 100), frameBytes - 1));
  t.equal(flushes.length, 0);
  for (let i = 1; i <= 5; i++) t.ok(frames.add(answer(i, 100), 2 * frameBytes));
  flushes[0]?.();
  t.same(sent, [[answer(1, 100), answer(2, 100)], [answer(3, 100), answer(4, 100)], [answer(5, 100)]]);
  t.end();
});

t.test('much is not gathered, and what fails leaves no trace', (t) => {
  const { frames, sent, flushes } = queue();
  t.ok(frames.add(answer(1), 1e9));
  t.throws(() => frames.add({ kind: 'answer', payload: [2, { kind: 'again', why: null } as never] }, 1e9));
  t.ok(frames.add(answer(3, 64 * 1024), 1e9));
  t.same(sent, [[answer(1), answer(3, 64 * 1024)]], 'at once');
  flushes[0]?.();
  t.equal(sent.length, 1);
  t.ok(frames.add(answer(4), 1e9));
  t.equal(flushes.length, 2);
  t.end();
});

t.test('whatever bytes come: frames or that error', (t) => {
  const random = new Random(7);
  let refused = 0;
  for (let round = 0; round < 2000; round++) {
    const message = Buffer.concat([encodeFrame(random.pick(frames)), encodeFrame(random.pick(frames))]);
    for (let changes = random.integer(1, 4); changes > 0; changes--) {
      message[random.integer(0, message.length - 1)] = random.integer(0, 255);
    }
    try {
      decodeFrames(message);
    } catch (error) {
      refused++;
      if ((error as Error).message !== 'a damaged message between replicas') throw error;
    }
  }
  t.ok(refused > 500 && refused < 2000, `${refused} of 2000 refused`);
  t.end();
});
