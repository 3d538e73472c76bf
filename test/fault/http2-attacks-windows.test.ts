/** Attacks on HTTP/2 by flow control: clients that ask for much and take little. */
import t, { type Test } from 'tap';
import { AttackedServer, inMiB, miB } from '../support/http2/attacked-server.ts';
import { FrameClient } from '../support/http2/client.ts';
import {
  data,
  Http2Code,
  headers,
  message,
  requestBlock,
  Setting,
  settings,
  unaryCall,
  windowUpdate,
  word,
} from '../support/http2/frames.ts';

t.setTimeout(590_000);
const server = await AttackedServer.start(t);

const large = requestBlock('/attacked/Large');
const stream = requestBlock('/attacked/Stream');
const concurrentStreamsMax = 10_000;
/** Unread replies of a connection (src/server/limits.ts), the reply that goes beyond, and the calls themselves. */
const repliesHeldMax = (64 + 16) * miB;

function largeCall(id: number, bytes: number): Buffer {
  return unaryCall(id, large, word(bytes));
}

/** Its calls are started until so much waits, and no more; others are served. */
async function holdsReplies(t: Test, startedBefore: number, asked: number, replyBytes: number): Promise<void> {
  t.ok(await server.serves(), 'another connection is served');
  const { heldBytes } = await server.growth();
  t.ok(heldBytes < repliesHeldMax, `${inMiB(heldBytes)} MiB are held of ${inMiB(asked * replyBytes)} MiB asked for`);
  const { started } = await server.usage();
  const most = Math.ceil((64 * miB) / replyBytes) + 1;
  t.ok(started - startedBefore <= most, `${started - startedBefore} of ${asked} calls were started, at most ${most}`);
}

t.test('a window of 0 and many large replies', async (t) => {
  await server.begin();
  const { started } = await server.usage();
  const client = await FrameClient.connect(server.port, { first: settings([Setting.initialWindowSize, 0]) });
  const { end } = await client.flood(concurrentStreamsMax, (index) => largeCall(1 + 2 * index, miB));
  t.equal(end, 'all');
  client.send(settings());
  await client.until(() => client.counts.settingsAcks === 2);
  await holdsReplies(t, started, concurrentStreamsMax, miB);
  t.equal(client.answers.get(1)?.bodyBytes, 0);
  await server.isFreeOf(t, client);
});

t.test('the same, and each call is cancelled when it waits: no room is lost, none is gained', async (t) => {
  await server.begin();
  const client = await FrameClient.connect(server.port, {
    first: settings([Setting.initialWindowSize, 0]),
    keepBodies: false,
  });
  client.send(windowUpdate(0, 100 * miB));
  const { started } = await server.usage();
  for (let round = 0; round < 5; round++) {
    const ids = Array.from({ length: 200 }, (_, index) => 1 + 2 * (200 * round + index));
    client.send(...ids.map((id) => largeCall(id, miB)));
    client.send(...ids.map((id) => windowUpdate(id, 0)));
    await client.until(() => client.counts.resets === 200 * (round + 1));
  }
  client.send(largeCall(2001, 1000), windowUpdate(2001, miB));
  t.equal((await client.answer(2001)).bodyBytes, 1005, 'a call after them is served');
  t.ok((await server.usage()).started - started > 5 * 64, 'calls were started in each round');
  await server.isFreeOf(t, client);
});

t.test('a client that never reads its socket', async (t) => {
  await server.begin();
  const { started } = await server.usage();
  const client = await FrameClient.connect(server.port, { first: settings([Setting.initialWindowSize, 2 ** 31 - 1]) });
  client.socket.pause();
  client.send(windowUpdate(0, 2 ** 31 - 1 - 65_535));
  const { sent } = await client.flood(concurrentStreamsMax, (index) => largeCall(1 + 2 * index, miB));
  t.ok(sent > 1000, `${sent} calls were sent`);
  // The kernel's buffers take some replies.
  await holdsReplies(t, started + 16, sent, miB);
  await server.isFreeOf(t, client);
});

t.test('an answer without DATA to each of many calls, which nobody reads', async (t) => {
  await server.begin();
  const client = await FrameClient.connect(server.port);
  client.socket.pause();
  const nothing = requestBlock('/attacked/Nothing');
  const piece = (index: number): Buffer =>
    Buffer.concat(Array.from({ length: 100 }, (_, inner) => headers(1 + 2 * (100 * index + inner), nothing, 0x1)));
  const { sent, bytes, end } = await client.flood(100_000, piece);
  t.equal(end, 'stalled', `the server reads no more after ${100 * sent} calls`);
  const { heldBytes } = await server.growth();
  t.ok(heldBytes < 16 * miB, `${inMiB(heldBytes)} MiB are held, ${inMiB(bytes)} MiB were sent`);
  t.ok(await server.serves(), 'another connection is served');
  await server.isFreeOf(t, client);
});

t.test('an echoing stream whose client does not read stops being read', async (t) => {
  await server.begin();
  const client = await FrameClient.connect(server.port, { first: settings([Setting.initialWindowSize, 0]) });
  const piece = data(1, message(Buffer.alloc(16_000)));
  // The handler waits once 1 MiB of its echo is queued, then another 1 MiB is allowed to wait for the handler.
  client.send(headers(1, stream), ...Array.from({ length: 64 }, () => piece), settings());
  await client.until(() => client.counts.settingsAcks === 2);
  t.equal(client.answers.get(1)?.resetCode, undefined);
  client.send(...Array.from({ length: 200 }, () => piece));
  await client.until(() => client.answers.get(1)?.resetCode !== undefined || client.goAway !== undefined);
  t.equal(client.answers.get(1)?.resetCode, Http2Code.flowControlError, 'more than it may send: FLOW_CONTROL_ERROR');
  const { heldBytes } = await server.growth();
  t.ok(heldBytes < 8 * miB, `${inMiB(heldBytes)} MiB are held`);
  await server.isFreeOf(t, client);
});

t.test('the initial window grows and shrinks again and again with many calls that wait for it', async (t) => {
  await server.begin();
  const client = await FrameClient.connect(server.port, {
    first: settings([Setting.initialWindowSize, 0]),
    keepBodies: false,
  });
  client.send(windowUpdate(0, 100 * miB));
  const calls = 9000;
  await client.flood(calls, (index) => largeCall(1 + 2 * index, 4000));
  const grow = settings([Setting.initialWindowSize, 1]);
  const shrink = settings([Setting.initialWindowSize, 0]);
  const { cpuMs: before } = await server.growth();
  const { sent } = await client.flood(100_000, (index) => (index % 2 ? shrink : grow));
  await client.until(() => client.goAway !== undefined);
  t.equal(client.goAway?.code, Http2Code.enhanceYourCalm, `GOAWAY, ${sent} SETTINGS were sent`);
  t.ok(client.counts.settingsAcks < 1000, `after ${client.counts.settingsAcks}`);
  const { heldBytes, cpuMs } = await server.growth();
  t.comment(`${Math.round(cpuMs - before)} ms of processor time`);
  t.ok(heldBytes < 48 * miB, `${inMiB(heldBytes)} MiB are held`);
  t.ok(await server.serves(), 'another connection is served');
  await server.isFreeOf(t, client);
});

t.test('a reply read byte by byte (CVE-2019-9511, CVE-2019-9517)', async (t) => {
  await server.begin();
  const client = await FrameClient.connect(server.port, {
    first: settings([Setting.initialWindowSize, 0]),
    keepBodies: false,
  });
  const calls = 40;
  client.send(...Array.from({ length: calls }, (_, index) => largeCall(1 + 2 * index, miB)));
  const before = client.counts.bytes;
  const steps = 50_000;
  const { bytes } = await client.flood(steps, (index) => windowUpdate(1 + 2 * (index % calls), 1));
  const received = (): number => [...client.answers.values()].reduce((sum, { bodyBytes }) => sum + bodyBytes, 0);
  await client.until(() => received() === steps || client.closed);
  t.equal(received(), steps, 'a byte for each that is allowed');
  t.ok(client.counts.bytes - before < bytes, `${client.counts.bytes - before} bytes were sent for ${bytes} received`);
  const { heldBytes } = await server.growth();
  t.ok(heldBytes < (calls + 8) * miB, `${inMiB(heldBytes)} MiB are held, the replies`);
  t.ok(await server.serves(), 'another connection is served');
  await server.isFreeOf(t, client);
});
