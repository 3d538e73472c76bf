/**
 * Attacks on HTTP/2 that are about streams: opened and broken off, or opened and left. The others are in http2-attacks-*.test.ts. Each
 * test says what the server answers, that its memory stays bounded, that others are served meanwhile, and that nothing stays behind.
 */
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
  requestBlock,
  reset,
  Type,
  unaryCall,
  windowUpdate,
} from '../support/http2/frames.ts';

t.setTimeout(590_000);
const server = await AttackedServer.start(t);

const slow = requestBlock('/attacked/Slow');
const echo = requestBlock('/attacked/Echo');
const stream = requestBlock('/attacked/Stream');
const deaf = requestBlock('/attacked/Deaf');

/** What plinth allows (src/server/limits.ts, --max-concurrent-streams). The burst may come twice, since it fills again by the second. */
const brokenCallsBurst = 10_000;
const concurrentStreamsMax = 10_000;
const frameBytesMax = 16_384;

async function attacker(): Promise<FrameClient> {
  await server.begin();
  const client = await FrameClient.connect(server.port);
  client.send(windowUpdate(0, 100 * miB));
  return client;
}

/** The client is told to calm down after it has opened and broken off so many calls. */
async function calmsDown(t: Test, client: FrameClient, one: (id: number) => Buffer, firstId = 1): Promise<void> {
  const { sent, end } = await client.flood(20 * brokenCallsBurst, (index) => one(firstId + 2 * index));
  await client.until(() => client.goAway !== undefined || client.closed);
  t.equal(client.goAway?.code, Http2Code.enhanceYourCalm, `ENHANCE_YOUR_CALM (${sent} calls were sent: ${end})`);
  const looked = (client.goAway!.lastStreamId - firstId) / 2;
  t.ok(looked < 3 * brokenCallsBurst, `after ${looked} calls`);
  t.ok(await server.serves(), 'another connection is served');
}

t.test('rapid reset (CVE-2023-44487): calls are begun and cancelled at once', async (t) => {
  const client = await attacker();
  await calmsDown(t, client, (id) => Buffer.concat([unaryCall(id, slow, Buffer.alloc(100)), reset(id)]));
  const { runningMost } = await server.usage();
  t.ok(runningMost > 1000, `${runningMost} handlers went on after their call was cancelled`);
  t.ok(runningMost <= concurrentStreamsMax, 'and no more than a client may have open');
  const { heldBytes } = await server.growth();
  t.ok(heldBytes < 48 * miB, `${inMiB(heldBytes)} MiB are held while they run`);
  await server.isFreeOf(t, client);
});

t.test('rapid reset, slow enough not to be noticed, of handlers that go on: further calls are refused', async (t) => {
  const client = await attacker();
  // Slowly filled beyond the number of streams, with resets that are few at any time.
  let id = 1;
  for (let burst = 0; burst < 3; burst++) {
    for (let index = 0; index < 4000; index++, id += 2) client.send(unaryCall(id, slow), reset(id));
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  await client.until(() => client.counts.resets > 0 || client.goAway !== undefined);
  const { runningMost } = await server.usage();
  t.equal(runningMost, concurrentStreamsMax);
  t.ok(
    [...client.answers.values()].every(({ resetCode }) => resetCode === Http2Code.refusedStream),
    'REFUSED_STREAM',
  );
  t.ok(await server.serves(), 'another connection is served');
  await server.isFreeOf(t, client);
});

t.test('made you reset (CVE-2025-8671): the client makes the server break its calls off', async (t) => {
  const provocations: Record<string, (id: number) => Buffer> = {
    'WINDOW_UPDATE by 0': (id) => Buffer.concat([unaryCall(id, slow), windowUpdate(id, 0)]),
    'a window that overflows': (id) => Buffer.concat([unaryCall(id, slow), windowUpdate(id, 2 ** 31 - 1)]),
    'DATA after END_STREAM': (id) => Buffer.concat([unaryCall(id, slow), data(id, message(Buffer.alloc(1)))]),
    'HEADERS after END_STREAM': (id) => Buffer.concat([unaryCall(id, slow), headers(id, slow, endStream)]),
    'HEADERS in the middle': (id) => Buffer.concat([headers(id, stream), headers(id, stream)]),
    'more DATA than content-length': (id) =>
      Buffer.concat([
        headers(id, requestBlock('/attacked/Stream', ['content-length', '1'])),
        data(id, message(Buffer.alloc(1))),
      ]),
    'a malformed request': (id) => headers(id, requestBlock('/attacked/Slow', ['connection', 'close'])),
  };
  for (const [what, provocation] of Object.entries(provocations)) {
    await t.test(what, async (t) => {
      const client = await attacker();
      await calmsDown(t, client, provocation);
      const { runningMost } = await server.usage();
      t.ok(runningMost <= concurrentStreamsMax, `${runningMost} handlers went on`);
      await server.isFreeOf(t, client);
    });
  }
});

t.test('open calls that say nothing, up to the limit and beyond', async (t) => {
  const client = await attacker();
  const { end } = await client.flood(concurrentStreamsMax, (index) => headers(1 + 2 * index, index % 2 ? deaf : echo));
  t.equal(end, 'all');
  client.send(headers(1 + 2 * concurrentStreamsMax, echo));
  t.equal((await client.answer(1 + 2 * concurrentStreamsMax)).resetCode, Http2Code.refusedStream);
  t.equal(client.counts.resets, 1, 'all before it are open');
  const { heldBytes } = await server.growth();
  t.ok(heldBytes < 48 * miB, `${inMiB(heldBytes)} MiB are held by ${concurrentStreamsMax} open calls`);
  t.ok(await server.serves(), 'another connection is served');

  await t.test('and again and again', async (t) => {
    const first = 3 + 2 * concurrentStreamsMax;
    await calmsDown(t, client, (id) => headers(id, echo), first);
    await server.isFreeOf(t, client);
  });
});

t.test('open calls with large headers count as requests', async (t) => {
  const client = await attacker();
  // No part of it is in a table, so each call has its own.
  const { bytes, end } = await client.flood(concurrentStreamsMax, (index) =>
    largeHeaders(1 + 2 * index, requestBlock('/attacked/Echo', ['x-large', String(index).padEnd(60_000, '~')])),
  );
  t.equal(end, 'all');
  const last = await client.answer(2 * concurrentStreamsMax - 1);
  const { heldBytes } = await server.growth();
  t.ok(heldBytes < 320 * miB, `${inMiB(heldBytes)} MiB are held, ${inMiB(bytes)} MiB of headers were sent`);
  t.ok(bytes > 560 * miB);
  t.equal(last.resetCode, Http2Code.refusedStream, 'further calls are refused');
  t.ok(await server.serves(), 'another connection is served');
  await server.isFreeOf(t, client);
});

/** HEADERS and as many CONTINUATION frames as the block needs. */
function largeHeaders(id: number, block: Buffer): Buffer {
  const frames = [frame(Type.headers, 0, id, block.subarray(0, frameBytesMax))];
  for (let at = frameBytesMax; at < block.length; at += frameBytesMax) {
    const last = at + frameBytesMax >= block.length;
    frames.push(continuation(id, block.subarray(at, at + frameBytesMax), last ? endHeaders : 0));
  }
  return Buffer.concat(frames);
}
