/** However the network cuts what a client sends, and puts it together: the answers are the same, byte for byte. */
import t from 'tap';
import { MethodCounters } from '../../../src/observe/method-counters.ts';
import { PlinthGrpcServer } from '../../../src/transport/grpc/server.ts';
import { Code, type Method, RpcError } from '../../../src/transport/rpc.ts';
import {
  continuation,
  data,
  endHeaders,
  endStream,
  frame,
  headers,
  ping,
  preface,
  requestBlock,
  settings,
  Type,
  windowUpdate,
} from '../../support/http2/frames.ts';
import { MemorySocket } from '../../support/memory-socket.ts';
import { Random } from '../../support/random.ts';

const methods = new Map<string, Method>([
  ['/test.Echo/Echo', { kind: 'unary', handle: (request) => request }],
  [
    '/test.Echo/Fail',
    {
      kind: 'unary',
      handle: () => {
        throw new RpcError(Code.ABORTED, 'no');
      },
    },
  ],
]);

/** Calls of all sizes, one of them in parts, one unknown, one that is no gRPC, and frames around them. */
function conversation(): Buffer {
  const frames = [preface, settings(), windowUpdate(0, 10_000_000)];
  const sizes = [0, 1, 100, 5000, 16_000, 70_000];
  sizes.forEach((size, i) => {
    const id = 2 * i + 1;
    const block = requestBlock('/test.Echo/Echo', ['x-size', String(size)]);
    const message = Buffer.alloc(5 + size, i);
    message[0] = 0;
    message.writeUInt32BE(size, 1);
    frames.push(
      frame(Type.headers, 0, id, block.subarray(0, 10)),
      continuation(id, block.subarray(10), endHeaders),
      windowUpdate(id, 100_000),
    );
    for (let at = 0; at < message.length; at += 16_000) {
      frames.push(data(id, message.subarray(at, at + 16_000), at + 16_000 >= message.length ? endStream : 0));
    }
    frames.push(ping(`ping ${i}`));
  });
  for (const [i, path] of ['/test.Echo/Fail', '/test.Echo/Unknown', '/nothing'].entries()) {
    frames.push(headers(101 + 2 * i, requestBlock(path)), data(101 + 2 * i, Buffer.alloc(5), endStream));
  }
  return Buffer.concat(frames);
}

/** What the server says to these pieces. */
async function answers(pieces: readonly Buffer[]): Promise<Buffer> {
  const server = new PlinthGrpcServer(methods, {
    receivedMessageBytesMax: 100_000,
    streamBufferedBytesMax: 1024 * 1024,
    connectionBufferedBytesMax: 1024 * 1024,
    concurrentStreamsMax: 100,
    streamWindowBytes: 64 * 1024,
    connectionWindowBytes: 256 * 1024,
    keepaliveIntervalMs: 0,
    keepaliveTimeoutMs: 20_000,
    connectionIdleMsMax: 0,
    connectionAgeMsMax: 0,
    connectionAgeGraceMs: 0,
    pingIntervalMsMin: 0,
    cancelledCallsBurst: 100,
    cancelledCallsPerSecond: 100,
    counters: () => new MethodCounters(),
    onInternalError: (_path, error) => {
      throw error;
    },
  });
  const socket = new MemorySocket();
  server.serve(socket.asSocket);
  for (const piece of pieces) socket.deliver(piece);
  await new Promise((resolve) => setImmediate(resolve));
  const written = Buffer.concat(socket.read());
  socket.destroy();
  await server.stop(new RpcError(Code.UNAVAILABLE, 'over'), 1000);
  return written;
}

const seed = Number(process.env.SEED ?? Date.now() % 1_000_000_000);

t.test(`pieces of any size, seed ${seed}`, async (t) => {
  const bytes = conversation();
  const whole = await answers([bytes]);
  t.ok(whole.length > 91_000, `${whole.length} bytes of answers`);
  const single = Array.from(bytes, (byte) => Buffer.from([byte]));
  t.ok((await answers(single)).equals(whole), 'byte by byte');
  const random = new Random(seed);
  for (let round = 0; round < 100; round++) {
    const most = random.pick([3, 20, 300, 5000, 60_000]);
    const pieces: Buffer[] = [];
    for (let at = 0; at < bytes.length; ) {
      const end = at + random.integer(1, most);
      pieces.push(bytes.subarray(at, end));
      at = end;
    }
    t.ok((await answers(pieces)).equals(whole), `round ${round}: ${pieces.length} pieces`);
  }
});
