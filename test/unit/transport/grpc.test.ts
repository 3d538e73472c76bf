import * as grpc from '@grpc/grpc-js';
import t from 'tap';
import { Code, RpcError } from '../../../src/transport/rpc.ts';
import { bidi, gate, identity, statusOf, unary, ways } from './grpc-support.ts';

for (const { name, transport, start } of ways) {
  t.test(name, async (t) => {
    t.test('a unary call carries bytes, metadata, deadline and peer', async (t) => {
      const seen: Record<string, unknown> = {};
      const { unary: call, counters } = await start(t, {
        '/test.Echo/Echo': unary((request, call) => {
          seen.path = call.path;
          seen.header = call.metadata('x-key');
          seen.absent = call.metadata('x-absent');
          seen.deadline = call.deadlineMs;
          seen.peer = call.peer;
          return request;
        }),
      });
      const metadata = new grpc.Metadata();
      metadata.set('X-Key', 'value');
      const deadline = Date.now() + 60_000;
      const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
      const answer = await call('/test.Echo/Echo', bytes, { deadline }, metadata);
      t.strictSame(answer.message, Buffer.from(bytes));
      t.equal(seen.path, '/test.Echo/Echo');
      t.equal(seen.header, 'value');
      t.equal(seen.absent, undefined);
      t.ok(Math.abs((seen.deadline as number) - deadline) < 10_000, 'the deadline is the one of the client');
      t.match(seen.peer, /^127\.0\.0\.1:\d+$/);
      const count = counters.get('/test.Echo/Echo')!;
      t.equal(count.started, 1);
      t.equal(count.handled[Code.OK], 1);
      t.strictSame(
        [count.messagesReceived, count.messagesSent, count.bytesReceived, count.bytesSent],
        [1, 1, 256, 256],
      );
    });

    t.test('an answer in pieces arrives as one message, and an empty one as an empty one', async (t) => {
      const { unary: call } = await start(t, {
        '/test.Echo/Pieces': unary(() => [Buffer.from('one '), new Uint8Array(0), Buffer.from('two')]),
        '/test.Echo/Empty': unary(() => new Uint8Array(0)),
        '/test.Echo/Plain': unary(() => new Uint8Array([1, 2])),
      });
      t.equal((await call('/test.Echo/Pieces', new Uint8Array())).message?.toString(), 'one two');
      t.equal((await call('/test.Echo/Empty', new Uint8Array())).message?.length, 0);
      t.strictSame((await call('/test.Echo/Plain', new Uint8Array())).message, Buffer.from([1, 2]));
    });

    t.test('a request stays as it came while others come', async (t) => {
      const sizes = [1, 30, 300, 3000, 16_000, 16_379, 40_000, 90_000];
      const requests = Array.from({ length: 64 }, (_, i) => Buffer.alloc(sizes[i % sizes.length]!, i + 1));
      const all = gate();
      let arrived = 0;
      const { unary: call } = await start(
        t,
        {
          '/test.Echo/Last': unary(async (request) => {
            if (++arrived === requests.length) all.open();
            await all.passed;
            return request;
          }),
        },
        { receivedMessageBytesMax: 100_000, connectionBufferedBytesMax: 16 * 1024 * 1024 },
      );
      const answers = await Promise.all(requests.map((request) => call('/test.Echo/Last', request)));
      for (const [i, { message }] of answers.entries()) t.ok(message?.equals(requests[i]!), `request ${i}`);
    });

    t.test('errors keep code and exact text; anything else stays inside', async (t) => {
      const text = 'etcdserver: 100% "exact", ümläut \u{1f600}\nsecond line \ud800';
      const {
        unary: call,
        internalErrors,
        counters,
      } = await start(t, {
        '/test.Fail/Thrown': unary(() => {
          throw new RpcError(Code.OUT_OF_RANGE, text);
        }),
        '/test.Fail/Rejected': unary(() => Promise.reject(new RpcError(Code.NOT_FOUND, 'no'))),
        '/test.Fail/Bug': unary(() => {
          throw new TypeError('secret');
        }),
        '/test.Fail/AsyncBug': unary(() => Promise.reject(new TypeError('secret'))),
      });
      t.match(await call('/test.Fail/Thrown', new Uint8Array()), {
        code: Code.OUT_OF_RANGE,
        details: text.replace('\ud800', '\ufffd'),
      });
      t.match(await call('/test.Fail/Rejected', new Uint8Array()), { code: Code.NOT_FOUND, details: 'no' });
      t.match(await call('/test.Fail/Bug', new Uint8Array()), { code: Code.INTERNAL, details: 'internal error' });
      t.match(await call('/test.Fail/AsyncBug', new Uint8Array()), { code: Code.INTERNAL, details: 'internal error' });
      t.equal(internalErrors.length, 2);
      t.equal(counters.get('/test.Fail/Thrown')?.handled[Code.OUT_OF_RANGE], 1);
    });

    t.test('unknown methods are answered with the texts of grpc-go', async (t) => {
      const { unary: call } = await start(t, { '/pkg.Known/Method': unary((request) => request) });
      for (const [path, details] of [
        ['/pkg.Known/Nope', 'unknown method Nope for service pkg.Known'],
        ['/pkg.Known/', 'unknown method  for service pkg.Known'],
        ['/nope.Foo/Bar', 'unknown service nope.Foo'],
        ['/nope', 'malformed method name: "/nope"'],
      ] as const) {
        t.match(await call(path, new Uint8Array()), { code: Code.UNIMPLEMENTED, details }, path);
      }
    });

    t.test('a request above the limit is refused with the text of grpc-go', async (t) => {
      const { unary: call, bidi: open } = await start(t, {
        '/test.Echo/Echo': unary((request) => request),
        '/test.Echo/Stream': bidi(async (stream) => {
          while (await stream.read());
        }),
      });
      t.equal((await call('/test.Echo/Echo', new Uint8Array(1000))).message?.length, 1000);
      t.match(await call('/test.Echo/Echo', new Uint8Array(1001)), {
        code: Code.RESOURCE_EXHAUSTED,
        details: 'grpc: received message larger than max (1001 vs. 1000)',
      });
      t.match(await call('/test.Echo/Echo', new Uint8Array(4001)), { code: Code.RESOURCE_EXHAUSTED });
      const stream = open('/test.Echo/Stream');
      stream.write(Buffer.alloc(1001));
      t.match(await statusOf(stream), {
        code: Code.RESOURCE_EXHAUSTED,
        details: 'grpc: received message larger than max (1001 vs. 1000)',
      });
    });

    t.test('a unary call without a message, and one with two', async (t) => {
      const { client } = await start(t, { '/test.Echo/Echo': unary((request) => request) });
      const send = (messages: string[]): Promise<{ code: number; details: string; reply: string | undefined }> =>
        new Promise((resolve) => {
          const call = client.makeClientStreamRequest('/test.Echo/Echo', identity, identity, (error, reply) =>
            resolve({ code: error?.code ?? 0, details: error?.details ?? '', reply: reply?.toString() }),
          );
          for (const message of messages) call.write(Buffer.from(message));
          call.end();
        });
      t.match(await send([]), { code: Code.UNKNOWN, details: 'EOF' });
      t.match(await send(['first', 'second']), { code: 0, reply: 'first' });
    });

    t.test('a bidi stream reads in order, sees the half-close and ends OK', async (t) => {
      const { bidi: open, counters } = await start(t, {
        '/test.Echo/Stream': bidi(async (stream) => {
          for (let message = await stream.read(); message; message = await stream.read()) stream.write(message);
          stream.write(Buffer.from('end'));
        }),
      });
      const stream = open('/test.Echo/Stream');
      const received: string[] = [];
      stream.on('data', (message: Buffer) => received.push(message.toString()));
      const status = statusOf(stream);
      for (let index = 0; index < 100; index++) stream.write(Buffer.from(String(index)));
      stream.end();
      t.match(await status, { code: 0 });
      t.strictSame(received, [...Array.from({ length: 100 }, (_, index) => String(index)), 'end']);
      const count = counters.get('/test.Echo/Stream')!;
      t.strictSame([count.messagesReceived, count.messagesSent, count.handled[0]], [100, 101, 1]);
    });

    t.test('a second reader at the same time is a bug and is said to be one', async (t) => {
      const { bidi: open, internalErrors } = await start(t, {
        '/test.Echo/Stream': bidi(async (stream) => {
          void stream.read();
          await stream.read();
        }),
      });
      t.match(await statusOf(open('/test.Echo/Stream')), { code: Code.INTERNAL, details: 'internal error' });
      t.match(internalErrors, [/second read/]);
    });

    t.test('what the handler does not read stays with the client', async (t) => {
      const may = gate();
      let read = 0;
      const { connectHttp2 } = await start(
        t,
        {
          '/test.Echo/Stream': bidi(async (stream) => {
            await may.passed;
            while (await stream.read()) read++;
          }),
        },
        { receivedMessageBytesMax: 100_000, streamWindowBytes: 64 * 1024 },
      );
      // A client of its own: grpc-js takes up to 1 MB into a buffer for retries.
      const session = connectHttp2();
      const stream = session.request({
        ':method': 'POST',
        ':path': '/test.Echo/Stream',
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      const frame = Buffer.alloc(5 + 50_000);
      frame.writeUInt32BE(50_000, 1);
      for (let index = 0; index < 40; index++) stream.write(frame);
      stream.end();
      let before = -1;
      while (before !== stream.writableLength) {
        before = stream.writableLength;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      t.ok(before > 1_500_000, `${before} of 2,000,200 bytes wait with the client`);
      may.open();
      const headers = await new Promise((resolve) => stream.once('response', resolve).resume());
      t.match(headers, { 'grpc-status': '0' });
      t.equal(read, 40);
      session.close();
    });

    t.test('a slow client: write says so, drained resolves when it reads', async (t) => {
      const trace: string[] = [];
      const { bidi: open } = await start(t, {
        '/test.Flood/Stream': bidi(async (stream) => {
          let written = 0;
          while (stream.write(Buffer.alloc(16 * 1024))) written++;
          trace.push(`stopped at ${written + 1} messages, writable ${stream.writable}`);
          await stream.drained();
          trace.push(`drained, writable ${stream.writable}`);
        }),
      });
      const stream = open('/test.Flood/Stream');
      stream.on('data', () => {});
      t.match(await statusOf(stream), { code: 0 });
      // Of ours, what fits the client's window of 64 KiB is gone already.
      const messages = transport === 'plinth' ? 8 : 4;
      t.strictSame(trace, [`stopped at ${messages} messages, writable false`, 'drained, writable true']);
    });
  });
}
