/** Replies that wait for the client: what is counted of them, and the calls that wait behind them. */
import t from 'tap';
import { Code } from '../../../src/transport/rpc.ts';
import { FrameClient } from '../../support/http2/client.ts';
import { requestBlock, Setting, settings, unaryCall, windowUpdate } from '../../support/http2/frames.ts';
import { startOn, unary, until } from './grpc-support.ts';

const kiB = 1024;
const start = startOn('plinth');
const block = requestBlock('/test.Large/Get');

function portOf(url: string): number {
  return Number(url.slice(url.lastIndexOf(':') + 1));
}

t.setTimeout(60_000);

t.test('a reply that is sent late is taken off the backlog once', async (t) => {
  let started = 0;
  const { url } = await start(
    t,
    {
      '/test.Large/Get': unary(() => {
        started++;
        return Buffer.alloc(kiB);
      }),
    },
    { connectionBufferedBytesMax: 4 * kiB },
  );
  const client = await FrameClient.connect(portOf(url), { first: settings([Setting.initialWindowSize, 0]) });
  t.teardown(() => client.end());
  client.send(windowUpdate(0, 1_000_000));
  // Each round stalls calls, then lets all of them go. If the backlog forgot bytes twice, more would start each time.
  const startedInRound: number[] = [];
  for (let round = 0; round < 5; round++) {
    const ids = Array.from({ length: 20 }, (_, index) => 1 + 2 * (20 * round + index));
    const before = started;
    client.send(...ids.map((id) => unaryCall(id, block)), settings());
    await client.until(() => client.counts.settingsAcks > 2 * round + 1);
    startedInRound.push(started - before);
    client.send(...ids.map((id) => windowUpdate(id, 2 * kiB)), settings());
    for (const id of ids) t.equal((await client.answer(id)).bodyBytes, kiB + 5);
    await client.until(() => client.counts.settingsAcks > 2 * round + 2);
  }
  t.strictSame(startedInRound, [4, 4, 4, 4, 4]);
});

t.test('calls that wait for room are not started one inside the other', async (t) => {
  const { url, internalErrors } = await start(
    t,
    { '/test.Large/Get': unary((request) => (request.length > 0 ? Buffer.alloc(8 * kiB) : Buffer.alloc(16))) },
    { connectionBufferedBytesMax: 4 * kiB, concurrentStreamsMax: 20_000 },
  );
  const client = await FrameClient.connect(portOf(url));
  t.teardown(() => client.end());
  client.send(settings([Setting.initialWindowSize, 0]), unaryCall(1, block, Buffer.from('large')));
  const count = 10_000;
  await client.flood(count, (index) => unaryCall(3 + 2 * index, block));
  // The first may go on, then all others at once: each answers as soon as it is started.
  client.send(settings([Setting.initialWindowSize, 65_535]), windowUpdate(0, 1_000_000));
  await client.until(() => client.closed || client.answers.get(1 + 2 * count)?.ended === true);
  t.equal(
    [...client.answers.values()].filter((answer) => answer.ended && answer.fields['grpc-status'] === '0').length,
    count + 1,
  );
  t.strictSame(internalErrors, []);
});

t.test('the window of the connection holds for replies that a sent reply lets start', async (t) => {
  const { url } = await start(
    t,
    { '/test.Large/Get': unary(() => Buffer.alloc(4 * kiB)) },
    // One call at a time: the next is started by the last frame of the one before.
    { connectionBufferedBytesMax: 1 },
  );
  const client = await FrameClient.connect(portOf(url), { first: settings([Setting.initialWindowSize, 1_000_000]) });
  t.teardown(() => client.end());
  const count = 100;
  const ids = Array.from({ length: count }, (_, index) => 1 + 2 * index);
  client.send(...ids.map((id) => unaryCall(id, block)), settings());
  await client.until(() => client.counts.settingsAcks === 2);
  const received = (): number => [...client.answers.values()].reduce((sum, { bodyBytes }) => sum + bodyBytes, 0);
  let window = 65_535;
  for (const step of [1, 10, 4000, 4001, 4100, 5000, 12_345, 40_000]) {
    t.equal(received(), window, 'as much as the window allows, and no more');
    window += step;
    client.send(windowUpdate(0, step), settings());
    const acks = client.counts.settingsAcks;
    await client.until(() => client.counts.settingsAcks > acks && received() >= window);
  }
  client.send(windowUpdate(0, 1_000_000));
  for (const id of ids) await client.answer(id);
  t.equal(received(), count * (4 * kiB + 5));
});

t.test('when the client goes, no call that waited is started for it', async (t) => {
  let started = 0;
  const { url, counters } = await start(
    t,
    {
      '/test.Large/Get': unary(() => {
        started++;
        return Buffer.alloc(kiB);
      }),
    },
    { connectionBufferedBytesMax: 4 * kiB },
  );
  const client = await FrameClient.connect(portOf(url), { first: settings([Setting.initialWindowSize, 0]) });
  client.send(...Array.from({ length: 100 }, (_, index) => unaryCall(1 + 2 * index, block)), settings());
  await client.until(() => client.counts.settingsAcks === 2);
  t.equal(started, 4);
  await client.end();
  const { handled } = counters.get('/test.Large/Get')!;
  await until(() => handled[Code.OK]! + handled[Code.CANCELLED]! === 100);
  t.equal(started, 4);
});
