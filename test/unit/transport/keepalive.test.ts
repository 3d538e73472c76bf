/** Pings of both sides. */
import t from 'tap';
import { idleFramesBurst } from '../../../src/transport/http2/limits.ts';
import { FrameClient } from '../../support/http2/client.ts';
import { ping, requestBlock, unaryCall, windowUpdate } from '../../support/http2/frames.ts';
import { startOn } from './grpc-support.ts';

const start = startOn('plinth');
const port = (url: string): number => Number(url.slice(url.lastIndexOf(':') + 1));

t.setTimeout(60_000);

t.test(
  'a client that answers pings stays, also where the wait for the answer is longer than the interval',
  async (t) => {
    const { url } = await start(t, {}, { keepaliveIntervalMs: 10, keepaliveTimeoutMs: 300 });
    const client = await FrameClient.connect(port(url), { answersPings: true });
    await client.until(() => client.closed || client.counts.pings >= 5);
    t.equal(client.closed, false);
    await client.end();
  },
);

t.test('a client that does not answer is cut off', async (t) => {
  const { url } = await start(t, {}, { keepaliveIntervalMs: 10, keepaliveTimeoutMs: 20 });
  const client = await FrameClient.connect(port(url));
  await client.until(() => client.closed);
  t.equal(client.counts.pings, 1);
});

t.test('a client that pings after every answer stays: many measure the connection so, as fast as it is', async (t) => {
  const { url } = await start(t, { '/test/Echo': { kind: 'unary', handle: (request) => request } });
  const client = await FrameClient.connect(port(url), { keepBodies: false });
  client.send(windowUpdate(0, 1024 * 1024));
  const block = requestBlock('/test/Echo');
  const rounds = idleFramesBurst + 5000;
  for (let round = 0; round < rounds && !client.closed; round++) {
    client.send(unaryCall(2 * round + 1, block));
    await client.answer(2 * round + 1);
    client.send(ping());
  }
  await client.until(() => client.closed || client.counts.pingAcks === rounds);
  t.equal(client.goAway, undefined);
  t.equal(client.counts.pingAcks, rounds);
  await client.end();
});

t.test('a client that pings for nothing is cut off, and the operator is told', async (t) => {
  const told: string[][] = [];
  const { url } = await start(t, {}, { onViolation: (...violation) => told.push(violation) });
  const client = await FrameClient.connect(port(url));
  const address = `127.0.0.1:${client.socket.localPort}`;
  for (let i = 0; i < 10; i++) client.send(ping());
  await client.until(() => client.closed);
  t.equal(client.goAway?.text, 'too_many_pings');
  t.strictSame(told, [[address, 'ENHANCE_YOUR_CALM', 'too_many_pings']]);
});
