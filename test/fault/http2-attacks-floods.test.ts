/** Attacks on HTTP/2 by frames that cost the client little: each is counted, and what is too much ends the connection. */
import t, { type Test } from 'tap';
import { AttackedServer, inMiB, miB } from '../support/http2/attacked-server.ts';
import { FrameClient } from '../support/http2/client.ts';
import {
  continuation,
  data,
  endHeaders,
  endStream,
  frame,
  Http2Code,
  headers,
  message,
  ping,
  requestBlock,
  reset,
  Setting,
  settings,
  settingsAck,
  Type,
  unaryCall,
  windowUpdate,
  word,
} from '../support/http2/frames.ts';

t.setTimeout(590_000);
const server = await AttackedServer.start(t);

const echo = requestBlock('/attacked/Echo');
const stream = requestBlock('/attacked/Stream');
/** Bytes that a flood may keep in the server: nothing but garbage and the pieces that are being read. */
const heldBytesMax = 16 * miB;
const peakBytesMax = 96 * miB;
const frameBytesMax = 16_384;

async function attacker(): Promise<FrameClient> {
  await server.begin();
  return FrameClient.connect(server.port);
}

/** A flood of up to `count` pieces ends in a GOAWAY with this code, without much memory used at any time. */
async function isEnded(
  t: Test,
  client: FrameClient,
  code: number,
  count: number,
  piece: (index: number) => Buffer,
): Promise<void> {
  const { sent, bytes, end } = await client.flood(count, piece);
  await client.until(() => client.goAway !== undefined || client.closed);
  t.equal(client.goAway?.code, code, `GOAWAY, ${sent} pieces and ${inMiB(bytes)} MiB were sent (${end})`);
  t.ok(await server.serves(), 'another connection is served');
  const { heldBytes, peakBytes } = await server.growth();
  t.ok(heldBytes < heldBytesMax, `${inMiB(heldBytes)} MiB are held`);
  t.ok(peakBytes < peakBytesMax, `${inMiB(peakBytes)} MiB with garbage at any time`);
  await server.isFreeOf(t, client);
}

t.test('CONTINUATION without end (CVE-2024-27983 and others)', async (t) => {
  for (const [what, payload] of Object.entries({
    'full frames': Buffer.alloc(frameBytesMax, 0x82),
    'one byte each': Buffer.alloc(1, 0x82),
    'nothing in them': Buffer.alloc(0),
  })) {
    await t.test(what, async (t) => {
      const client = await attacker();
      client.send(frame(Type.headers, 0, 1, payload));
      await isEnded(t, client, Http2Code.enhanceYourCalm, 20_000, () => continuation(1, payload));
    });
  }
});

t.test('frames that bring nothing', async (t) => {
  const many = 2_000_000;
  const thousand = (one: Buffer): Buffer => Buffer.concat(Array.from({ length: 1000 }, () => one));
  const floods: Record<string, Buffer> = {
    'empty SETTINGS (CVE-2019-9515)': settings(),
    'SETTINGS with everything': settings([Setting.initialWindowSize, 1], [Setting.frameBytesMax, 16_384]),
    'acknowledgements of SETTINGS': settingsAck,
    'acknowledgements of PING': ping('nothing!', 1),
    'PRIORITY (CVE-2019-9513)': frame(Type.priority, 0, 1, Buffer.from([0, 0, 0, 3, 16])),
    'frames of an unknown type': frame(0xbe, 0xff, 1, Buffer.alloc(100)),
    'large frames of an unknown type': frame(0xbe, 0, 0, Buffer.alloc(1000)),
    GOAWAY: frame(Type.goAway, 0, 0, Buffer.alloc(8)),
  };
  for (const [what, one] of Object.entries(floods)) {
    await t.test(what, async (t) => {
      const piece = thousand(one);
      await isEnded(t, await attacker(), Http2Code.enhanceYourCalm, many / 1000, () => piece);
    });
  }
});

t.test('PING (CVE-2019-9512): more often than it is good for', async (t) => {
  const client = await attacker();
  await isEnded(t, client, Http2Code.enhanceYourCalm, 10_000, () => ping());
});

t.test('PING between answers, which nobody reads', async (t) => {
  const client = await attacker();
  client.send(headers(1, stream));
  client.socket.pause();
  // Only answers make the next ping a welcome one, and they are not sent where nobody reads.
  const piece = Buffer.concat(Array.from({ length: 100 }, () => [data(1, message(Buffer.alloc(20))), ping()]).flat());
  const { sent, bytes, end } = await client.flood(100_000, () => piece);
  const { heldBytes } = await server.growth();
  t.ok(heldBytes < heldBytesMax, `${inMiB(heldBytes)} MiB are held; ${100 * sent} pings, ${inMiB(bytes)} MiB: ${end}`);
  t.ok(await server.serves(), 'another connection is served');
  client.socket.resume();
  await client.until(() => client.closed);
  t.ok(client.counts.pingAcks < 50_000, `closed after ${client.counts.pingAcks} answers`);
  await server.isFreeOf(t, client);
});

t.test('DATA that says nothing (CVE-2019-9518)', async (t) => {
  const nowhere = requestBlock('/attacked/Nothing');
  const http = requestBlock('/attacked/Echo', ['content-type', 'text/plain']);
  const part = message(Buffer.alloc(0), 0, 2_000_000);
  const one = Buffer.alloc(1);
  const floods: Record<string, { readonly first: Buffer; readonly each: Buffer }> = {
    'empty frames': { first: headers(1, stream), each: data(1) },
    'padding and nothing else': { first: headers(1, stream), each: frame(Type.data, 0x8, 1, Buffer.from([2, 0, 0])) },
    'crumbs of a message': { first: Buffer.concat([headers(1, echo), data(1, part)]), each: data(1, one) },
    'crumbs after the message of a unary call': {
      first: Buffer.concat([headers(1, echo), data(1, message(one))]),
      each: data(1, one),
    },
    'further messages of a unary call': { first: headers(1, echo), each: data(1, message(Buffer.alloc(0))) },
    'crumbs for a request that is no gRPC': { first: headers(1, http), each: data(1, one) },
    'crumbs for a call that was refused': { first: headers(1, nowhere), each: data(1, one) },
    'crumbs for a call that was reset': {
      first: Buffer.concat([headers(1, stream), windowUpdate(1, 0)]),
      each: data(1, one),
    },
    'crumbs for a call that has ended': { first: unaryCall(1, echo), each: data(1, one) },
    'trailers for a call that was reset': {
      first: Buffer.concat([headers(1, stream), windowUpdate(1, 0)]),
      each: headers(1, requestBlock('/x'), endStream),
    },
  };
  for (const [what, { first, each }] of Object.entries(floods)) {
    await t.test(what, async (t) => {
      const client = await attacker();
      client.send(first);
      const piece = Buffer.concat(Array.from({ length: 1000 }, () => each));
      await isEnded(t, client, Http2Code.enhanceYourCalm, 2000, () => piece);
    });
  }
});

t.test('HPACK bomb: one entry of 4 KiB, named ten thousands of times in a block', async (t) => {
  const client = await attacker();
  // Adds `x: ~…` to the table (index 62), then names it by one byte each.
  const value = Buffer.alloc(4000, '~');
  const literal = Buffer.concat([Buffer.from([0x40, 1, 0x78, 0x7f, 0xa1, 0x1e]), value]);
  t.equal(literal.length, 4006, '4000 is 127 + 0x21 + 0x1e * 128');
  const names = Buffer.alloc(40_000, 0x80 | 62);
  const inBlocks = [literal, names.subarray(0, frameBytesMax - 4006)];
  const block = Buffer.concat([echo, ...inBlocks]).subarray(0, frameBytesMax);
  const calls = 2000;
  for (let index = 0; index < calls; index++) {
    client.send(
      frame(Type.headers, 0, 1 + 2 * index, block),
      continuation(1 + 2 * index, names.subarray(0, frameBytesMax), endHeaders),
    );
  }
  const { fields } = await client.answer(1);
  t.equal(fields['grpc-status'], '8', 'RESOURCE_EXHAUSTED');
  t.equal(fields['grpc-message'], 'the header fields of the request are too large');
  await client.answer(2 * calls - 1);
  const { heldBytes, peakBytes } = await server.growth();
  const undone = calls * (2 * frameBytesMax - 4006) * 4000;
  t.ok(heldBytes < heldBytesMax, `${inMiB(heldBytes)} MiB are held of ${inMiB(undone)} MiB that the blocks stand for`);
  t.ok(peakBytes < peakBytesMax, `${inMiB(peakBytes)} MiB with garbage at any time`);
  t.ok(await server.serves(), 'another connection is served');
  await server.isFreeOf(t, client);
});

t.test('a header list that is too large is refused, the connection goes on', async (t) => {
  const client = await attacker();
  const fields = Array.from({ length: 5 }, (_, index) => [`x-${index}`, '~'.repeat(3000)] as const);
  for (let index = 0; index < 5; index++) {
    const block = requestBlock('/attacked/Echo', ...fields);
    const frames = [frame(Type.headers, 0, 1 + 2 * index, block.subarray(0, frameBytesMax))];
    frames.push(continuation(1 + 2 * index, block.subarray(frameBytesMax), endHeaders));
    client.send(...frames, data(1 + 2 * index, message(Buffer.from('small')), endStream));
    t.equal((await client.answer(1 + 2 * index)).fields['grpc-status'], '0', '15 KB are no problem');
  }
  const many = Array.from({ length: 2000 }, () => ['x', ''] as const);
  client.send(unaryCall(11, requestBlock('/attacked/Echo', ...many)));
  t.equal(
    (await client.answer(11)).fields['grpc-status'],
    '8',
    '2000 fields count as 32 bytes each: RESOURCE_EXHAUSTED',
  );
  client.send(unaryCall(13, echo, Buffer.from('after')));
  t.equal((await client.answer(13)).fields['grpc-status'], '0');
  await server.isFreeOf(t, client);
});

t.test('a status text does not repeat all that the client says in a byte', async (t) => {
  const client = await attacker();
  client.send(settings([Setting.initialWindowSize, 1]));
  // The path becomes an entry of the table, so each further request is a few bytes. Nobody reads the answers.
  const path = Buffer.alloc(3900, '%');
  const first = Buffer.concat([Buffer.from([0x83, 0x86, 0x44, 0x7f, 0xbd, 0x1d]), path, Buffer.from([0x5f, 0x10])]);
  const typed = Buffer.concat([first, Buffer.from('application/grpc')]);
  // content-type was added after the path: it is 62, the path 63.
  const next = Buffer.from([0x83, 0x86, 0x80 | 63, 0x80 | 62]);
  client.send(headers(1, typed));
  const { fields } = await client.answer(1);
  t.equal(fields['grpc-status'], '12', 'UNIMPLEMENTED');
  t.ok(
    fields['grpc-message']!.length < 7000,
    `${fields['grpc-message']!.length} characters of ${path.length} unencoded`,
  );
  client.socket.pause();
  const piece = (index: number): Buffer =>
    Buffer.concat(Array.from({ length: 1000 }, (_, inner) => headers(3 + 2 * (1000 * index + inner), next, endStream)));
  const { sent, end } = await client.flood(1000, piece);
  t.equal(end, 'stalled', `the server does not read on while ${1000 * sent} answers are not read`);
  const { heldBytes } = await server.growth();
  t.ok(heldBytes < heldBytesMax, `${inMiB(heldBytes)} MiB are held`);
  t.ok(await server.serves(), 'another connection is served');
  await server.isFreeOf(t, client);
});

t.test('frames for streams that are over or were never there', async (t) => {
  const client = await attacker();
  client.send(unaryCall(1, echo), windowUpdate(1, 1), reset(1));
  t.equal((await client.answer(1)).fields['grpc-status'], '0');
  t.equal(client.goAway, undefined, 'those that may have been under way are ignored');
  for (const [what, one] of Object.entries({
    'WINDOW_UPDATE on an idle stream': windowUpdate(3, 1),
    'RST_STREAM on an idle stream': reset(3),
    'DATA on an idle stream': data(3),
    'a stream of the server': frame(Type.windowUpdate, 0, 2, word(1)),
  })) {
    const offender = await FrameClient.connect(server.port);
    offender.send(unaryCall(1, echo), one);
    await offender.until(() => offender.goAway !== undefined);
    t.equal(offender.goAway?.code, Http2Code.protocolError, what);
    await offender.end();
  }
  await server.isFreeOf(t, client);
});
