/** Whatever a client sends, it gets an answer or loses its connection, and the next client is served. */
import http2 from 'node:http2';
import net from 'node:net';
import * as grpc from '@grpc/grpc-js';
import t from 'tap';
import { PlinthGrpcServer } from '../../../src/transport/grpc/server.ts';
import { HttpServer } from '../../../src/transport/http/server.ts';
import { Listener } from '../../../src/transport/listener.ts';
import { Code, RpcError } from '../../../src/transport/rpc.ts';
import { tightOptions } from './grpc-support.ts';

const identity = (bytes: Buffer): Buffer => bytes;
const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

const internalErrors: unknown[] = [];
const onInternalError = (_path: string, error: unknown): void => {
  internalErrors.push(error);
};
const server = new PlinthGrpcServer(
  new Map([
    ['/test.Echo/Echo', { kind: 'unary', handle: (request) => request }],
    [
      '/test.Echo/Stream',
      {
        kind: 'bidi',
        async handle(stream) {
          for (let message = await stream.read(); message; message = await stream.read()) stream.write(message);
        },
      },
    ],
  ]),
  tightOptions(onInternalError),
);
const httpServer = new HttpServer(new Map([['/hello', () => ({ status: 200, body: 'hello' })]]), {
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 10_000,
  idleTimeoutMs: 10_000,
  onInternalError,
});
const listener = new Listener({
  grpc: (socket) => server.serve(socket),
  http: (socket) => httpServer.serve(socket),
  detectionTimeoutMs: 10_000,
  onError: (error) => internalErrors.push(error),
});
const address = await listener.listen({ kind: 'tcp', host: '127.0.0.1', port: 0, tls: false });
const port = address.kind === 'tcp' ? address.port : 0;
t.teardown(async () => {
  listener.close();
  await Promise.all([server.stop(new RpcError(Code.UNAVAILABLE, 'over'), 0), httpServer.stop(0)]);
});

/** The server answers a well-behaved client, and nothing that is being handled is left behind. */
async function stillServes(): Promise<boolean> {
  const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
  const reply = await new Promise((resolve) =>
    client.makeUnaryRequest('/test.Echo/Echo', identity, identity, Buffer.from('hi'), (_error, value) =>
      resolve(value),
    ),
  );
  client.close();
  while (server.activeCalls > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  return String(reply) === 'hi';
}

interface Reply {
  readonly status: unknown;
  readonly grpcStatus: number;
  readonly grpcMessage: string;
}

/** One call with these headers and bytes; an empty status: the stream was reset. */
async function call(headers: http2.OutgoingHttpHeaders, body: Buffer): Promise<Reply> {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  session.on('error', () => {});
  const stream = session.request({
    ':method': 'POST',
    ':path': '/test.Echo/Echo',
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  stream.on('error', () => {});
  let found: http2.IncomingHttpHeaders = {};
  stream.on('response', (received) => {
    found = { ...found, ...received };
  });
  stream.on('trailers', (received) => {
    found = { ...found, ...received };
  });
  stream.resume();
  stream.end(body);
  await new Promise((resolve) => stream.once('close', resolve));
  session.destroy();
  return {
    status: found[':status'],
    grpcStatus: Number(found['grpc-status']),
    grpcMessage: decodeURIComponent(String(found['grpc-message'] ?? '')),
  };
}

/** flag, length, bytes */
function frame(bytes: string, length = bytes.length, compressed = 0): Buffer {
  const head = Buffer.from([compressed, 0, 0, 0, 0]);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, Buffer.from(bytes)]);
}

t.test('calls that are wrong in themselves', async (t) => {
  const good = frame('hi');
  for (const [what, headers, body, status] of [
    ['nothing sent', {}, Buffer.alloc(0), Code.UNKNOWN],
    ['half a head', {}, Buffer.from([0, 0]), Code.UNKNOWN],
    ['less than the head says', {}, frame('hi', 10), Code.UNKNOWN],
    ['a length beyond everything', {}, frame('hi', 0xffffffff), Code.RESOURCE_EXHAUSTED],
    ['gzip that is none', { 'grpc-encoding': 'gzip' }, frame('hi', 2, 1), Code.INTERNAL],
    ['an unknown encoding', { 'grpc-encoding': 'zstd' }, frame('hi', 2, 1), Code.UNIMPLEMENTED],
    ['a timeout that is none', { 'grpc-timeout': 'soon' }, good, Code.INTERNAL],
    ['a path with strange characters', { ':path': '/a b/\u00fc?x=%' }, good, Code.UNIMPLEMENTED],
    ['an empty path', { ':path': '' }, good, Code.UNIMPLEMENTED],
  ] as const) {
    const reply = await call(headers, body);
    t.ok(
      reply.grpcStatus === status || reply.status === undefined,
      `${what}: ${JSON.stringify(reply)}, expected ${status} or a reset`,
    );
    t.ok(await stillServes(), `after: ${what}`);
  }
  t.match(await call({ 'content-type': 'text/plain' }, good), { status: 415 });
  t.match(await call({ 'x-bin': '***', 'x-bad': 'a,b', 'grpc-accept-encoding': 'x' }, good), { grpcStatus: 0 });
});

t.test('half-closed and abandoned streams leave nothing behind', async (t) => {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  session.on('error', () => {});
  for (let index = 0; index < 50; index++) {
    const stream = session.request({
      ':method': 'POST',
      ':path': index % 2 ? '/test.Echo/Stream' : '/test.Echo/Echo',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => {});
    stream.write(frame('hi', index % 3 ? 2 : 5));
    if (index % 5 === 0) stream.end();
    if (index % 7 === 0) stream.close(http2.constants.NGHTTP2_CANCEL);
  }
  await new Promise((resolve) => session.ping(resolve));
  session.destroy();
  t.ok(await stillServes());
});

t.test('random bytes, with and without the preface (seeded)', async (t) => {
  let seed = 20;
  const random = (): number => {
    // xorshift32
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    return (seed >>> 0) / 2 ** 32;
  };
  const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
  for (let round = 0; round < 200; round++) {
    const noise = Buffer.from(Array.from({ length: Math.floor(random() * 200) }, () => Math.floor(random() * 256)));
    // Frames with a believable head reach deeper than plain noise.
    const believable = Buffer.concat([
      Buffer.from([0, 0, noise.length, Math.floor(random() * 10), Math.floor(random() * 256), 0, 0, 0, round % 5]),
      noise,
    ]);
    const starts = [noise, Buffer.concat([preface, noise]), Buffer.concat([preface, settings, believable])];
    const socket = net.connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.end(starts[round % 3]!);
    // After a broken frame Node says GOAWAY and leaves it to the client to close.
    await new Promise((resolve) => socket.once('data', resolve).once('close', resolve));
    socket.destroy();
  }
  t.ok(await stillServes());
});

t.test('no input was an error of ours', async (t) => {
  t.strictSame(internalErrors, []);
});
