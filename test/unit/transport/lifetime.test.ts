/** Connections that are asked to go: those without calls, and old ones. */
import t from 'tap';
import type { GrpcServerOptions } from '../../../src/transport/grpc-server.ts';
import { FrameClient } from '../../support/http2/client.ts';
import { data, Http2Code, headers, requestBlock, unaryCall } from '../../support/http2/frames.ts';
import { bidi, gate, startOn, type Tap, unary } from './grpc-support.ts';

t.setTimeout(60_000);

const call = requestBlock('/test/Call');
const stream = requestBlock('/test/Stream');

for (const transport of ['plinth', 'grpc-js'] as const) {
  const connect = async (t: Tap, options: Partial<GrpcServerOptions>, asked: Promise<void> = Promise.resolve()) => {
    const methods = {
      '/test/Call': unary(async () => {
        await asked;
        return Buffer.from('answer');
      }),
      '/test/Stream': bidi(async (stream) => {
        while ((await stream.read()) !== undefined) stream.write(Buffer.from('answer'));
      }),
    };
    const { url } = await startOn(transport)(t, methods, options);
    return await FrameClient.connect(Number(url.slice(url.lastIndexOf(':') + 1)), { answersPings: true });
  };

  t.test(`${transport}: a connection without calls is closed, politely`, async (t) => {
    const client = await connect(t, { connectionIdleMsMax: 20 });
    await client.until(() => client.closed);
    t.equal(client.goAway?.code, Http2Code.noError);
  });

  t.test(`${transport}: one with a call is not, until that has ended`, async (t) => {
    const { passed, open } = gate();
    const client = await connect(t, { connectionIdleMsMax: 1000 }, passed);
    client.send(unaryCall(1, call));
    await new Promise((resolve) => setTimeout(resolve, 1500));
    t.equal(client.goAway, undefined);
    open();
    t.equal((await client.answer(1)).fields['grpc-status'], '0');
    await client.until(() => client.closed);
    t.equal(client.goAway?.code, Http2Code.noError);
  });

  t.test(`${transport}: an old one may finish its calls`, async (t) => {
    const { passed, open } = gate();
    const client = await connect(t, { connectionAgeMsMax: 50, connectionAgeGraceMs: 60_000 }, passed);
    client.send(unaryCall(1, call));
    await client.until(() => client.goAway !== undefined);
    open();
    t.equal((await client.answer(1)).fields['grpc-status'], '0');
    await client.until(() => client.closed);
    t.equal(client.goAway?.code, Http2Code.noError);
  });

  t.test(`${transport}: an old one whose calls do not end is cut after the grace`, async (t) => {
    const client = await connect(t, { connectionAgeMsMax: 50, connectionAgeGraceMs: 100 });
    client.send(headers(1, stream), data(1, Buffer.alloc(5)));
    await client.until(() => client.closed);
    t.equal(client.goAway?.code, Http2Code.noError);
    t.notOk(client.answers.get(1)?.ended, 'the stream was not ended before');
  });
}

t.test('no limits: a connection stays', async (t) => {
  const { url } = await startOn('plinth')(t, {});
  const client = await FrameClient.connect(Number(url.slice(url.lastIndexOf(':') + 1)), { answersPings: true });
  await new Promise((resolve) => setTimeout(resolve, 200));
  t.equal(client.closed, false);
  await client.end();
});
