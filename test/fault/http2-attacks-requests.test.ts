/** Attacks by requests: more than they seem, less than they announce, or never complete. And connections that do not get that far. */
import { once } from 'node:events';
import net from 'node:net';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { AttackedServer, inMiB, miB } from '../support/http2/attacked-server.ts';
import { FrameClient } from '../support/http2/client.ts';
import {
  data,
  endStream,
  frame,
  Http2Code,
  headers,
  message,
  preface,
  requestBlock,
  Setting,
  settings,
  Type,
  windowUpdate,
} from '../support/http2/frames.ts';

t.setTimeout(590_000);
const server = await AttackedServer.start(t);

const echo = requestBlock('/attacked/Echo');
const stream = requestBlock('/attacked/Stream');
const deaf = requestBlock('/attacked/Deaf');
const gzipped = ['grpc-encoding', 'gzip'] as const;
/** What requests of a connection may hold (src/transport/grpc/limits.ts), and what is around them. */
const requestsHeldMax = (256 + 64) * miB;
const messageBytesMax = 2 * miB;
const frameBytesMax = 16_384;
const calls = 9000;

async function attacker(): Promise<FrameClient> {
  await server.begin();
  const client = await FrameClient.connect(server.port, { keepBodies: false });
  // That of the first SETTINGS, so that `isLookedAt` waits for its own.
  await client.until(() => client.counts.settingsAcks === 1);
  return client;
}

/** Everything that was sent so far has been looked at: the server acknowledges in order. */
async function isLookedAt(client: FrameClient): Promise<void> {
  const before = client.counts.settingsAcks;
  client.send(settings());
  await client.until(() => client.closed || client.counts.settingsAcks > before);
}

/** Bytes of any length in frames. */
function inFrames(id: number, bytes: Buffer): Buffer {
  const frames: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += frameBytesMax)
    frames.push(data(id, bytes.subarray(at, at + frameBytesMax)));
  return Buffer.concat(frames);
}

async function holdsAtMost(t: Test, bytesMax: number, attack: string): Promise<void> {
  const { heldBytes } = await server.growth();
  t.ok(heldBytes < bytesMax, `${inMiB(heldBytes)} MiB are held of ${attack}`);
  t.ok(await server.serves(), 'another connection is served');
}

t.test('a gzip bomb in a request', async (t) => {
  const client = await attacker();
  const bomb = message(gzipSync(Buffer.alloc(256 * miB)), 1);
  for (let id = 1; id < 40; id += 2)
    client.send(headers(id, requestBlock('/attacked/Echo', gzipped)), inFrames(id, bomb));
  const { fields } = await client.answer(39);
  t.equal(fields['grpc-status'], '8', 'RESOURCE_EXHAUSTED');
  t.equal(fields['grpc-message'], `grpc: received message after decompression larger than max ${messageBytesMax}`);
  const { peakBytes } = await server.growth();
  t.ok(peakBytes < 96 * miB, `${inMiB(peakBytes)} MiB with garbage at any time, of ${20 * 256} MiB`);
  await holdsAtMost(t, 16 * miB, `${20 * 256} MiB`);
  await server.isFreeOf(t, client);
});

t.test('small messages that gzip makes large, on calls that are never complete', async (t) => {
  const client = await attacker();
  const inflated = messageBytesMax - 1;
  const packed = message(gzipSync(Buffer.alloc(inflated)), 1);
  const block = requestBlock('/attacked/Echo', gzipped);
  const count = 1000;
  const { bytes } = await client.flood(count, (index) =>
    Buffer.concat([headers(1 + 2 * index, block), data(1 + 2 * index, packed)]),
  );
  await isLookedAt(client);
  t.ok(client.counts.resets > 800, `${client.counts.resets} calls were refused`);
  t.equal(client.answers.get(2 * count - 1)?.resetCode, Http2Code.refusedStream);
  t.ok(bytes < 3 * miB);
  await holdsAtMost(t, requestsHeldMax, `${inMiB(count * inflated)} MiB in ${inMiB(bytes)} MiB`);
  await server.isFreeOf(t, client);
});

t.test('small messages that gzip makes large, to handlers that do not read', async (t) => {
  const client = await attacker();
  const packed = message(gzipSync(Buffer.alloc(messageBytesMax - 1)), 1);
  const block = requestBlock('/attacked/Deaf', gzipped);
  const piece = (index: number): Buffer =>
    Buffer.concat([headers(1 + 2 * index, block), ...Array.from({ length: 100 }, () => data(1 + 2 * index, packed))]);
  await client.flood(5, piece);
  await isLookedAt(client);
  t.ok(client.counts.resets > 0, `${client.counts.resets} calls were refused`);
  await holdsAtMost(t, requestsHeldMax, '1000 MiB');
  await server.isFreeOf(t, client);
});

t.test('lengths that are announced and never come', async (t) => {
  const client = await attacker();
  const part = message(Buffer.alloc(300), 0, messageBytesMax);
  const { end } = await client.flood(calls, (index) =>
    Buffer.concat([headers(1 + 2 * index, index % 2 ? echo : stream), data(1 + 2 * index, part)]),
  );
  t.equal(end, 'all');
  await isLookedAt(client);
  t.equal(client.counts.resets, 0, 'nothing is owed');
  await holdsAtMost(t, 48 * miB, `${inMiB(calls * messageBytesMax)} MiB announced`);
  await server.isFreeOf(t, client);
});

t.test('calls that are never half-closed', async (t) => {
  const client = await attacker();
  const request = message(Buffer.alloc(miB));
  const count = 1000;
  const { bytes } = await client.flood(count, (index) =>
    Buffer.concat([headers(1 + 2 * index, echo), inFrames(1 + 2 * index, request)]),
  );
  await isLookedAt(client);
  t.ok(client.counts.resets >= count - 256, `${client.counts.resets} of ${count} calls were refused`);
  await holdsAtMost(t, requestsHeldMax, `${inMiB(bytes)} MiB that were sent`);

  await t.test('those that were accepted are still served', async (t) => {
    client.send(windowUpdate(0, 2 * miB), windowUpdate(1, 2 * miB), data(1, undefined, endStream));
    t.equal((await client.answer(1)).fields['grpc-status'], '0');
    await server.isFreeOf(t, client);
  });
});

t.test('messages without a byte to handlers that do not read', async (t) => {
  const client = await attacker();
  const empty = message(Buffer.alloc(0));
  const full = Buffer.concat(Array.from({ length: Math.floor(frameBytesMax / empty.length) }, () => empty));
  const perStream = Math.floor(miB / full.length);
  let messages = 0;
  for (let id = 1; id < 16; id += 2) {
    client.send(headers(id, deaf), ...Array.from({ length: perStream }, () => data(id, full)));
    messages += perStream * (full.length / empty.length);
  }
  await isLookedAt(client);
  t.ok(client.counts.resets > 0, `${client.counts.resets} calls were refused`);
  await holdsAtMost(t, requestsHeldMax, `${messages} messages`);
  await server.isFreeOf(t, client);
});

t.test('messages that wait do not keep what came around them', async (t) => {
  const client = await attacker();
  client.send(headers(1, deaf), headers(3, requestBlock('/attacked/Nothing')));
  // DATA for a call that was refused is thrown away: here, it lies beside the small messages.
  const junk = data(3, Buffer.alloc(frameBytesMax));
  const piece = Buffer.concat([data(1, message(Buffer.alloc(1))), junk, junk, junk, junk]);
  const { bytes, end } = await client.flood(4000, () => piece);
  t.equal(end, 'all');
  await isLookedAt(client);
  await holdsAtMost(t, 16 * miB, `${inMiB(bytes)} MiB that were sent`);
  await server.isFreeOf(t, client);
});

t.test('a stream that goes on does not keep its last message', async (t) => {
  const client = await attacker();
  const count = 100;
  const request = message(Buffer.alloc(miB));
  for (let id = 1; id < 2 * count; id += 2) {
    client.send(headers(id, requestBlock('/attacked/Lengths')), inFrames(id, request));
    await client.until(() => client.answers.get(id)?.bodyBytes === 9);
  }
  await holdsAtMost(t, 24 * miB, `${count} MiB that were answered`);
  await server.isFreeOf(t, client);
});

t.test('connections that do not get as far as a request', async (t) => {
  await server.begin();
  const count = 200;
  const beginnings: Record<string, { readonly bytes: Buffer; readonly code: number | undefined }> = {
    'half of the preface': { bytes: preface.subarray(0, 10), code: undefined },
    'the preface, and no SETTINGS': { bytes: preface, code: Http2Code.settingsTimeout },
    'half of the first frame': {
      bytes: Buffer.concat([preface, frame(Type.settings, 0, 0, Buffer.alloc(6), 12)]),
      code: Http2Code.settingsTimeout,
    },
  };
  const clients = await Promise.all(
    Object.values(beginnings).flatMap(({ bytes }) => Array.from({ length: count }, () => connectWith(bytes))),
  );
  const half = Buffer.concat([preface, settings(), frame(Type.headers, 0, 1, Buffer.alloc(10), frameBytesMax)]);
  const halfFrames = await Promise.all(Array.from({ length: count }, () => connectWith(half)));
  await holdsAtMost(t, 48 * miB, `${4 * count} connections`);
  for (const client of clients) await client.until(() => client.closed);
  Object.entries(beginnings).forEach(([what, { code }], kind) => {
    const codes = clients.slice(kind * count, (kind + 1) * count).map(({ goAway }) => goAway?.code);
    t.strictSame(new Set(codes), new Set([code]), `closed after a while: ${what}`);
  });
  await server.isFreeOf(t, ...halfFrames);
});

async function connectWith(bytes: Buffer): Promise<FrameClient> {
  const socket = net.connect(server.port, '127.0.0.1');
  await once(socket, 'connect');
  const client = new FrameClient(socket);
  client.send(bytes);
  return client;
}

t.test('a client that breaks a rule and does not read that it did', async (t) => {
  const client = await attacker();
  client.send(settings([Setting.initialWindowSize, 2 ** 31 - 1]), windowUpdate(0, 2 ** 31 - 1 - 65_535));
  client.socket.pause();
  // More than the kernel takes, so that the GOAWAY stays in the server; and something to hear, so that it is not silence.
  for (let id = 1; id < 40; id += 2) client.send(headers(id, stream), inFrames(id, message(Buffer.alloc(miB / 2))));
  client.send(windowUpdate(0, 0));
  const talk = setInterval(() => client.send(windowUpdate(0, 1)), 20);
  let { sockets } = await server.usage();
  for (let turn = 0; turn < 200 && sockets > 0; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    ({ sockets } = await server.usage());
  }
  clearInterval(talk);
  t.equal(sockets, 0, 'it is cut off');
  await server.isFreeOf(t, client);
});

t.test('in the end the server can stop', async (t) => {
  await server.stop();
  t.equal((await server.usage()).sockets, 0, 'no connection is left');
});
