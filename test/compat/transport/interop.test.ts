import * as grpc from '@grpc/grpc-js';
import t, { type Test } from 'tap';
import { isMissing } from '../../support/demand.ts';
import { identity } from '../../unit/transport/grpc-support.ts';
import { certificates } from '../../unit/transport/tls-support.ts';
import { findInteropClient, interop, interopCases } from './interop.ts';
import { type Served, transports } from './target.ts';
import * as service from './test-service.ts';

t.setTimeout(590_000);

/** The number that grpc-js has for it. */
const gzip = 2;

for (const transport of transports) {
  await t.test(`interop: ${transport.name}`, async (t) => {
    if (isMissing(t, transport.missing)) return;
    const served = await transport.start(t, service.testService);
    const authority = transport.tls ? certificates().ca : undefined;

    await t.test("cases of grpc-go's client", async (t) => {
      if (isMissing(t, findInteropClient() === undefined && 'grpc-interop-client is neither in build/bin nor on PATH'))
        return;
      for (const testCase of interopCases) {
        await t.test(testCase, async (t) => {
          const { code, output } = await interop(testCase, served.port, authority);
          if (!t.equal(code, 0, 'the client is content')) t.comment(output);
        });
      }
      t.not((await interop('no_such_case', served.port, authority)).code, 0, 'a case that it does not have fails');
    });

    // What the client above leaves out.
    await t.test('a request in gzip', (t) => gzipUnary(t, served));
    await t.test('a stream of requests in gzip', (t) => gzipStreaming(t, served));
    await t.test('half-duplex', (t) => halfDuplex(t, served));

    t.strictSame(served.internalErrors, []);
  });
}

function client(t: Test, { port, credentials }: Served, options: grpc.ClientOptions): grpc.Client {
  const created = new grpc.Client(`127.0.0.1:${port}`, credentials, options);
  t.teardown(() => created.close());
  return created;
}

/** What a call brought until its status came. */
function ended(stream: grpc.ClientDuplexStream<Buffer, Buffer>): Promise<{ code: number; messages: Buffer[] }> {
  const messages: Buffer[] = [];
  stream.on('data', (message: Buffer) => messages.push(message));
  stream.on('error', () => {});
  return new Promise((resolve) => stream.on('status', ({ code }: grpc.StatusObject) => resolve({ code, messages })));
}

async function gzipUnary(t: Test, served: Served): Promise<void> {
  const caller = client(t, served, { 'grpc.default_compression_algorithm': gzip });
  const request = { responseSize: 314_159, payload: { type: 0, body: new Uint8Array(271_828) } };
  const reply = await new Promise<Buffer | undefined>((resolve, reject) => {
    const bytes = service.simpleRequest.encode(request);
    const done = (error: Error | null, message?: Buffer): void => (error ? reject(error) : resolve(message));
    caller.makeUnaryRequest('/grpc.testing.TestService/UnaryCall', identity, identity, bytes, done);
  });
  t.equal(service.simpleResponse.decode(reply!).payload.body.length, 314_159);
}

async function gzipStreaming(t: Test, served: Served): Promise<void> {
  const caller = client(t, served, { 'grpc.default_compression_algorithm': gzip });
  const stream = caller.makeBidiStreamRequest('/grpc.testing.TestService/StreamingInputCall', identity, identity);
  const end = ended(stream);
  for (const size of [27_182, 0, 8, 45_904]) {
    stream.write(service.streamingInputCallRequest.encode({ payload: { type: 0, body: new Uint8Array(size) } }));
  }
  stream.end();
  const { code, messages } = await end;
  t.equal(code, grpc.status.OK);
  const replies = messages.map((message) => service.streamingInputCallResponse.decode(message).aggregatedPayloadSize);
  t.strictSame(replies, [27_182 + 8 + 45_904]);
}

async function halfDuplex(t: Test, served: Served): Promise<void> {
  const caller = client(t, served, {});
  const stream = caller.makeBidiStreamRequest('/grpc.testing.TestService/HalfDuplexCall', identity, identity);
  const end = ended(stream);
  const sizes = [31_415, 9, 2653, 58_979];
  for (const size of sizes) {
    stream.write(service.streamingOutputCallRequest.encode({ responseParameters: [{ size, intervalUs: 1 }] }));
  }
  stream.end();
  const { code, messages } = await end;
  t.equal(code, grpc.status.OK);
  t.strictSame(
    messages.map((message) => service.streamingOutputCallResponse.decode(message).payload.body.length),
    sizes,
  );
}
