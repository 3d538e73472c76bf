import http2 from 'node:http2';
import net from 'node:net';
import * as grpc from '@grpc/grpc-js';
import t from 'tap';
import { MethodCounters } from '../../../src/observe/method-counters.ts';
import { GrpcServer, type GrpcServerOptions } from '../../../src/transport/grpc/server.ts';
import { Listener } from '../../../src/transport/listener.ts';
import { type Call, Code, type Method, RpcError, type ServerStream } from '../../../src/transport/rpc.ts';

const identity = (bytes: Buffer): Buffer => bytes;

interface Fixture {
  readonly server: GrpcServer;
  readonly client: grpc.Client;
  readonly url: string;
  readonly counters: Map<string, MethodCounters>;
  readonly internalErrors: unknown[];
  readonly unary: (
    path: string,
    request: Uint8Array,
    options?: grpc.CallOptions,
    metadata?: grpc.Metadata,
  ) => Promise<Answer>;
  readonly bidi: (path: string, options?: grpc.CallOptions) => grpc.ClientDuplexStream<Buffer, Buffer>;
}

interface Answer {
  readonly code: number;
  readonly details: string;
  readonly message: Buffer | undefined;
}

async function start(
  test: Tap,
  methods: Record<string, Method>,
  options: Partial<GrpcServerOptions> = {},
): Promise<Fixture> {
  const counters = new Map<string, MethodCounters>();
  const internalErrors: unknown[] = [];
  const server = new GrpcServer(new Map(Object.entries(methods)), {
    receivedMessageBytesMax: 1000,
    streamBufferedBytesMax: 64 * 1024,
    connectionBufferedBytesMax: 1024 * 1024,
    concurrentStreamsMax: 1000,
    streamWindowBytes: 1024 * 1024,
    connectionWindowBytes: 4 * 1024 * 1024,
    keepaliveIntervalMs: 7_200_000,
    keepaliveTimeoutMs: 20_000,
    cancelledCallsBurst: 1000,
    cancelledCallsPerSecond: 33,
    counters: (path) => {
      const created = new MethodCounters();
      counters.set(path, created);
      return created;
    },
    onInternalError: (_path, error) => internalErrors.push(error),
    ...options,
  });
  const listener = new Listener({
    grpc: (socket) => server.serve(socket),
    http: (socket) => socket.destroy(),
    detectionTimeoutMs: 60_000,
    onError: (error) => internalErrors.push(error),
  });
  const address = await listener.listen({ kind: 'tcp', host: '127.0.0.1', port: 0 });
  if (address.kind !== 'tcp') throw new Error('not a TCP address');
  const url = `127.0.0.1:${address.port}`;
  const client = new grpc.Client(url, grpc.credentials.createInsecure(), {
    'grpc.max_receive_message_length': -1,
    'grpc.enable_retries': 0,
  });
  test.teardown(async () => {
    client.close();
    listener.close();
    await server.stop(new RpcError(Code.UNAVAILABLE, 'test over'), 0);
  });
  return {
    server,
    client,
    url,
    counters,
    internalErrors,
    unary: (path, request, callOptions = {}, metadata = new grpc.Metadata()) =>
      new Promise((resolve) => {
        client.makeUnaryRequest(
          path,
          identity,
          identity,
          Buffer.from(request),
          metadata,
          callOptions,
          (error, message) =>
            resolve(
              error
                ? { code: error.code, details: error.details, message: undefined }
                : { code: 0, details: '', message },
            ),
        );
      }),
    bidi: (path, callOptions = {}) => client.makeBidiStreamRequest(path, identity, identity, callOptions),
  };
}

type Tap = Pick<typeof t, 'teardown'>;

function unary(handle: (request: Uint8Array, call: Call) => Uint8Array | Uint8Array[] | Promise<Uint8Array>): Method {
  return { kind: 'unary', handle };
}

function bidi(handle: (stream: ServerStream, call: Call) => Promise<void>): Method {
  return { kind: 'bidi', handle };
}

function statusOf(stream: grpc.ClientDuplexStream<Buffer, Buffer>): Promise<grpc.StatusObject> {
  stream.on('error', () => {});
  return new Promise((resolve) => stream.on('status', resolve));
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** A gate that a handler waits at until the test opens it. */
function gate(): { readonly passed: Promise<void>; readonly open: () => void } {
  let open = (): void => {};
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open };
}

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
  t.strictSame([count.messagesReceived, count.messagesSent, count.bytesReceived, count.bytesSent], [1, 1, 256, 256]);
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
  const { url } = await start(
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
  const session = http2.connect(`http://${url}`);
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
  t.strictSame(trace, ['stopped at 4 messages, writable false', 'drained, writable true']);
});

t.test('cancellation by the client: signal, read, drained and later writes', async (t) => {
  const over = gate();
  const seen: Record<string, unknown> = {};
  const {
    bidi: open,
    counters,
    server,
  } = await start(t, {
    '/test.Watch/Stream': bidi(async (stream, call) => {
      stream.write(Buffer.from('hello'));
      const signal = call.signal;
      seen.first = await stream.read();
      seen.aborted = signal.aborted;
      seen.reason = (signal.reason as RpcError).code;
      seen.write = stream.write(Buffer.from('nobody'));
      await stream.drained();
      seen.again = await stream.read();
      over.open();
    }),
  });
  const stream = open('/test.Watch/Stream');
  const status = statusOf(stream);
  stream.once('data', () => stream.cancel());
  t.match(await status, { code: Code.CANCELLED });
  await over.passed;
  t.strictSame(seen, { first: undefined, aborted: true, reason: Code.CANCELLED, write: true, again: undefined });
  await until(() => server.activeCalls === 0);
  t.equal(counters.get('/test.Watch/Stream')?.handled[Code.CANCELLED], 1);
});

t.test('a broken connection cancels, also a signal that is asked for later', async (t) => {
  const may = gate();
  const over = gate();
  let aborted: boolean | undefined;
  const { url } = await start(t, {
    '/test.Watch/Stream': bidi(async (stream, call) => {
      stream.write(Buffer.from('hello'));
      await may.passed;
      await stream.read();
      aborted = call.signal.aborted;
      over.open();
    }),
  });
  const sockets: net.Socket[] = [];
  const proxy = net.createServer((socket) => {
    const [host, port] = url.split(':');
    const upstream = net.connect(Number(port), host);
    sockets.push(upstream, socket);
    for (const end of [socket, upstream]) end.on('error', () => {});
    socket.pipe(upstream).pipe(socket);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const client = new grpc.Client(
    `127.0.0.1:${(proxy.address() as net.AddressInfo).port}`,
    grpc.credentials.createInsecure(),
  );
  const stream = client.makeBidiStreamRequest('/test.Watch/Stream', identity, identity);
  const status = statusOf(stream);
  await new Promise((resolve) => stream.once('data', resolve));
  for (const socket of sockets) socket.resetAndDestroy();
  may.open();
  await over.passed;
  t.equal(aborted, true);
  t.match(await status, { code: Code.UNAVAILABLE });
  client.close();
  proxy.close();
});

t.test('the deadline is answered by the transport and aborts the handler', async (t) => {
  const over = gate();
  let reason: unknown;
  const { unary: call, counters } = await start(t, {
    '/test.Slow/Unary': unary(async (request, call) => {
      await new Promise((resolve) => call.signal.addEventListener('abort', resolve));
      reason = call.signal.reason;
      over.open();
      return request;
    }),
  });
  t.match(await call('/test.Slow/Unary', new Uint8Array(), { deadline: Date.now() + 50 }), {
    code: Code.DEADLINE_EXCEEDED,
  });
  await over.passed;
  t.match(reason, { code: Code.DEADLINE_EXCEEDED });
  await until(() => counters.get('/test.Slow/Unary')?.handled[Code.DEADLINE_EXCEEDED] === 1);
});

t.test('stop: streams end with the reason, unary calls finish, the connection goes away', async (t) => {
  const started = gate();
  const may = gate();
  const aborted: unknown[] = [];
  const {
    server,
    unary: call,
    bidi: open,
  } = await start(t, {
    '/test.Slow/Unary': unary(async () => {
      started.open();
      await may.passed;
      return Buffer.from('finished');
    }),
    '/test.Watch/Stream': bidi(async (stream, call) => {
      stream.write(Buffer.from('hello'));
      call.signal.addEventListener('abort', () => aborted.push(call.signal.reason));
      await stream.read();
    }),
  });
  const stream = open('/test.Watch/Stream');
  const status = statusOf(stream);
  await new Promise((resolve) => stream.once('data', resolve));
  const unaryAnswer = call('/test.Slow/Unary', new Uint8Array());
  await started.passed;
  const reason = new RpcError(Code.UNAVAILABLE, 'etcdserver: server stopped');
  const stopped = server.stop(reason, 60_000);
  t.match(await status, { code: Code.UNAVAILABLE, details: 'etcdserver: server stopped' });
  t.strictSame(aborted, [reason]);
  may.open();
  t.equal((await unaryAnswer).message?.toString(), 'finished');
  await stopped;
  t.equal(server.activeCalls, 0);
});

t.test('stop cuts what does not finish within the grace time', async (t) => {
  const started = gate();
  const { server, unary: call } = await start(t, {
    '/test.Slow/Unary': unary(() => {
      started.open();
      return new Promise(() => {});
    }),
  });
  const answer = call('/test.Slow/Unary', new Uint8Array());
  await started.passed;
  await server.stop(new RpcError(Code.UNAVAILABLE, 'stopped'), 20);
  t.not((await answer).code, 0);
});

t.test('a client that does not read its replies gets no further calls started, and all when it reads', async (t) => {
  let started = 0;
  const { url } = await start(
    t,
    {
      '/test.Big/Unary': unary(() => {
        started++;
        return Buffer.alloc(64 * 1024);
      }),
    },
    { connectionBufferedBytesMax: 256 * 1024 },
  );
  // A pipe that can be shut between the server and the client.
  const pipes: { from: net.Socket; to: net.Socket }[] = [];
  const proxy = net.createServer((socket) => {
    const [host, port] = url.split(':');
    const upstream = net.connect(Number(port), host);
    pipes.push({ from: upstream, to: socket });
    for (const end of [socket, upstream]) end.on('error', () => {});
    socket.pipe(upstream);
    upstream.pipe(socket);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const client = new grpc.Client(
    `127.0.0.1:${(proxy.address() as net.AddressInfo).port}`,
    grpc.credentials.createInsecure(),
  );
  const call = (): Promise<number> =>
    new Promise((resolve) =>
      client.makeUnaryRequest('/test.Big/Unary', identity, identity, Buffer.alloc(0), (error, reply) =>
        resolve(error ? -1 : reply!.length),
      ),
    );
  t.equal(await call(), 64 * 1024);
  for (const { from } of pipes) {
    from.unpipe();
    from.pause();
  }
  const calls = Array.from({ length: 300 }, call);
  await until(() => started > 4);
  let before = 0;
  while (before !== started) {
    before = started;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  t.ok(started < 250, `${started} of 300 calls started while nothing was read`);
  for (const { from, to } of pipes) from.pipe(to);
  t.strictSame(new Set(await Promise.all(calls)), new Set([64 * 1024]));
  t.equal(started, 301);
  client.close();
  proxy.close();
});

t.test('the receive windows are the ones asked for', async (t) => {
  const { url } = await start(
    t,
    { '/test.Echo/Echo': unary((request) => request) },
    { streamWindowBytes: 300_000, connectionWindowBytes: 500_000, concurrentStreamsMax: 77 },
  );
  const session = http2.connect(`http://${url}`);
  await new Promise((resolve) => session.once('remoteSettings', resolve));
  t.match(session.remoteSettings, { initialWindowSize: 300_000, maxConcurrentStreams: 77 });
  await until(() => session.state.remoteWindowSize === 500_000);
  session.destroy();
});
