/** The stream that a replica opens to another: against both transports of ours, and against servers that do what none should. */
import net from 'node:net';
import t, { type Test } from 'tap';
import { ClientStream, type ClientStreamOptions } from '../../../../src/transport/grpc/client-stream.ts';
import { Flag, FrameType, frame } from '../../../../src/transport/http2/frame.ts';
import { settingsFrame } from '../../../../src/transport/http2/settings.ts';
import { Code, RpcError, type ServerStream, type StreamMethod } from '../../../../src/transport/rpc.ts';
import { until } from '../../mvcc/storage.ts';
import { ways } from '../grpc-support.ts';
import { authority } from '../tls-support.ts';

const path = '/test.Service/Stream';
const mebibyte = 1024 * 1024;

interface Opened {
  readonly stream: ClientStream;
  readonly messages: Buffer[];
  /** Each time `onEnd` was called. */
  readonly ends: (Error | undefined)[];
}

function open(t: Test, url: string, options: Partial<ClientStreamOptions> = {}): Opened {
  const messages: Buffer[] = [];
  const ends: (Error | undefined)[] = [];
  const stream = new ClientStream({
    url,
    path,
    messageBytesMax: 1024 * mebibyte,
    onMessage: (message) => messages.push(message),
    onEnd: (error) => ends.push(error),
    ...options,
  });
  t.teardown(() => stream.cancel());
  return { stream, messages, ends };
}

const bidi = (handle: (stream: ServerStream) => Promise<void>): Record<string, StreamMethod> => ({
  [path]: { kind: 'bidi', handle },
});

async function echo(stream: ServerStream): Promise<void> {
  for (let message = await stream.read(); message !== undefined; message = await stream.read()) {
    if (!stream.write(message)) await stream.drained();
  }
}

/** `size` bytes that are at no other place the same. */
function pattern(size: number): Buffer {
  const bytes = Buffer.allocUnsafe(size);
  for (let i = 0; i + 4 <= size; i += 4) bytes.writeUInt32LE(Math.imul(i, 2_654_435_761) >>> 0, i);
  return bytes;
}

for (const { name, start } of ways) {
  const tls = name.endsWith('TLS');
  const to = (url: string): string => `${tls ? 'https' : 'http'}://${url}`;
  const options = (): Partial<ClientStreamOptions> => (tls ? { authorities: authority() } : {});

  t.test(`${name}: messages of all sizes go and come in their order, beyond every window`, async (t) => {
    const { url } = await start(t, bidi(echo), { receivedMessageBytesMax: 32 * mebibyte });
    const { stream, messages, ends } = open(t, to(url), options());
    const sizes = [0, 1, 16_379, 16_384, 100_000, 20 * mebibyte, 3];
    const sent = sizes.map(pattern);
    for (const message of sent) stream.write(message);
    t.ok(stream.bufferedBytes > 20 * mebibyte, 'what is not sent yet is counted');
    await until('all came back', () => messages.length === sizes.length || ends.length > 0);
    t.strictSame(ends, []);
    t.ok(
      messages.every((message, i) => message.equals(sent[i] as Buffer)),
      'as they were',
    );
    await until('nothing is left', () => stream.bufferedBytes === 0);
  });

  t.test(`${name}: the end, whoever makes it, is told once`, async (t) => {
    const fixture = await start(t, {
      ...bidi(async (stream) => {
        const asked = Buffer.from((await stream.read()) as Uint8Array).toString();
        if (asked !== 'OK') throw new RpcError(Code.FAILED_PRECONDITION, asked);
      }),
    });
    const ended = async (message: string): Promise<(Error | undefined)[]> => {
      const { stream, ends } = open(t, to(fixture.url), options());
      stream.write(Buffer.from(message));
      await until('it ended', () => ends.length > 0);
      stream.cancel();
      stream.write(Buffer.from('too late'));
      return ends;
    };
    t.strictSame(await ended('OK'), [undefined]);
    const [refused, ...more] = await ended('not so, 100 % für ✓');
    t.equal(refused?.message, '9 FAILED_PRECONDITION: not so, 100 % für ✓');
    t.strictSame(more, []);
    const unknown = open(t, to(fixture.url), { ...options(), path: '/test.Service/Another' });
    await until('it ended', () => unknown.ends.length > 0);
    t.match(unknown.ends[0]?.message, /^12 UNIMPLEMENTED/);
    const cancelled = open(t, to(fixture.url), options());
    cancelled.stream.cancel();
    cancelled.stream.cancel();
    t.equal(cancelled.ends.length, 1);
  });
}

/** A server that answers the first bytes with these pieces; the address, and what it received. */
async function saying(t: Test, ...pieces: readonly Buffer[]): Promise<{ url: string; received: () => Buffer }> {
  const chunks: Buffer[] = [];
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.once('data', () => {
      for (const piece of pieces) socket.write(piece);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  return {
    url: `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`,
    received: () => Buffer.concat(chunks),
  };
}

const hello = settingsFrame([]);

t.test('what no server should say ends the stream with a reason, and nothing else', async (t) => {
  const four = Buffer.alloc(4);
  const cases: readonly (readonly [what: string, bytes: Buffer, reason: RegExp])[] = [
    ['HTTP/1.1', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), /no HTTP\/2 as it should be/],
    ['a reset of no length', frame(FrameType.RST_STREAM, 0, 1, Buffer.alloc(0)), /4 bytes/],
    ['a reset', frame(FrameType.RST_STREAM, 0, 1, four), /was reset with code 0/],
    ['a window of no length', frame(FrameType.WINDOW_UPDATE, 0, 0, Buffer.alloc(3)), /4 bytes/],
    ['settings of an odd length', frame(FrameType.SETTINGS, 0, 0, Buffer.alloc(5)), /multiple of 6/],
    ['a damaged header block', frame(FrameType.HEADERS, Flag.END_HEADERS, 1, Buffer.from([0xff])), /as it should be/],
    ['another HTTP status', frame(FrameType.HEADERS, Flag.END_HEADERS, 1, Buffer.from([0x8d])), /HTTP status 404/],
    ['an end without a status', frame(FrameType.DATA, Flag.END_STREAM, 1, Buffer.alloc(0)), /without a status/],
    ['a compressed message', frame(FrameType.DATA, 0, 1, Buffer.from([1, 0, 0, 0, 0])), /compressed/],
    ['a message without end', frame(FrameType.DATA, 0, 1, Buffer.from([0, 0xff, 0, 0, 0])), /a message of \d+ bytes/],
  ];
  for (const [what, bytes, reason] of cases) {
    const { url } = await saying(t, hello, bytes);
    const { messages, ends } = open(t, url);
    await until(`${what} ends it`, () => ends.length > 0);
    t.equal(ends.length, 1, what);
    t.match(ends[0]?.message, reason);
    t.strictSame(messages, []);
  }
});

t.test('frames that come in single bytes, padded, and between others', async (t) => {
  const message = Buffer.from([0, 0, 0, 0, 2, 0x68, 0x69]);
  const padded = Buffer.concat([Buffer.from([3]), message.subarray(0, 4), Buffer.alloc(3)]);
  const bytes = Buffer.concat([
    hello,
    frame(FrameType.PING, 0, 0, Buffer.from('12345678')),
    // `:status: 200` in two pieces.
    frame(FrameType.HEADERS, 0, 1, Buffer.alloc(0)),
    frame(FrameType.CONTINUATION, Flag.END_HEADERS, 1, Buffer.from([0x88])),
    frame(0x77, 0, 1, Buffer.from('unknown')),
    frame(FrameType.DATA, Flag.PADDED, 1, padded),
    frame(FrameType.DATA, 0, 1, message.subarray(4)),
  ]);
  const { url, received } = await saying(t, ...[...bytes].map((byte) => Buffer.from([byte])));
  const { messages, ends } = open(t, url);
  await until('the message came', () => messages.length > 0 || ends.length > 0);
  t.strictSame(ends, []);
  t.strictSame(messages.map(String), ['hi']);
  const pong = frame(FrameType.PING, Flag.ACK, 0, Buffer.from('12345678'));
  await until('the ping is answered', () => received().includes(pong));
});

t.test('a server that gives no window is sent no more than it allows', async (t) => {
  const small = settingsFrame([[4, 10]]);
  const { url, received } = await saying(t, small);
  const { stream } = open(t, url);
  const acknowledged = frame(FrameType.SETTINGS, Flag.ACK, 0, Buffer.alloc(0));
  await until('its settings are known', () => received().includes(acknowledged));
  stream.write(Buffer.alloc(100, 0x61));
  const head = frame(FrameType.DATA, 0, 1, Buffer.alloc(0)).subarray(3);
  await until('a frame came', () => received().includes(head));
  t.equal(received().length - received().indexOf(head) - head.length, 10, 'ten bytes of it');
  t.equal(stream.bufferedBytes, 95);
});

t.test('nobody there, and no address', async (t) => {
  const { ends } = open(t, 'http://127.0.0.1:1');
  await until('it ended', () => ends.length > 0);
  t.match(ends, [{ message: /ECONNREFUSED/ }]);
  for (const url of ['', 'ftp://host', 'http://', 'http://host:notaport']) {
    t.throws(() => open(t, url), url);
  }
});
