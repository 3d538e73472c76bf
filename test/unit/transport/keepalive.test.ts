/** Connections on which nothing comes. */
import t from 'tap';
import { FrameClient } from '../../support/http2/client.ts';
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
