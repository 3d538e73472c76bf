/** A socket's bytes come in order and whole, all sockets share one buffer, and pauses and ends are as with Node's streams. */
import { once } from 'node:events';
import net from 'node:net';
import t, { type Test } from 'tap';
import { readSocket } from '../../../../src/transport/http2/socket-reader.ts';

interface Reading {
  readonly client: net.Socket;
  readonly socket: net.Socket;
  /** Copies of what came. */
  readonly pieces: Buffer[];
  /** The memory that each came in. */
  readonly memories: ArrayBufferLike[];
  came(bytes: number): Promise<void>;
}

/** `head` is put back before the reading begins, as who looks at the first bytes does. */
async function connect(t: Test, head = ''): Promise<Reading> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1');
  const [socket] = (await once(server, 'connection')) as [net.Socket];
  t.teardown(() => {
    client.destroy();
    socket.destroy();
    server.close();
  });
  const pieces: Buffer[] = [];
  const memories: ArrayBufferLike[] = [];
  let total = 0;
  let waiting: (() => void) | undefined;
  if (head !== '') socket.unshift(Buffer.from(head));
  readSocket(socket, (bytes) => {
    pieces.push(Buffer.from(bytes));
    memories.push(bytes.buffer);
    total += bytes.length;
    waiting?.();
  });
  const came = async (bytes: number): Promise<void> => {
    while (total < bytes) await new Promise<void>((resolve) => (waiting = resolve));
  };
  return { client, socket, pieces, memories, came };
}

t.test('behind what was put back all comes, in order', async (t) => {
  const { client, pieces, came } = await connect(t, 'head');
  const sent = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => (i * i) % 251));
  for (let at = 0, step = 1; at < sent.length; at += step, step = (step * 7) % 99_991) {
    client.write(sent.subarray(at, at + step));
    if (step % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await came(4 + sent.length);
  const all = Buffer.concat(pieces);
  t.equal(all.subarray(0, 4).toString(), 'head');
  t.ok(all.subarray(4).equals(sent));
});

t.test('this version of Node lets all sockets read into one buffer', async (t) => {
  const both = [await connect(t), await connect(t)] as const;
  for (const text of ['first', 'second', 'third']) {
    for (const { client, pieces, came } of both) {
      const before = Buffer.concat(pieces).length;
      client.write(text);
      await came(before + text.length);
    }
  }
  const [one, other] = both;
  t.not(one.memories[0], one.memories[1]);
  t.equal(one.memories[1], one.memories.at(-1));
  t.equal(other.memories.at(-1), one.memories.at(-1));
  t.equal(Buffer.concat(one.pieces).toString(), 'firstsecondthird');
});

t.test('nothing comes while the socket is paused, from its first bytes on or later', async (t) => {
  for (const bytesBefore of [0, 10]) {
    const { client, socket, pieces, came } = await connect(t);
    const size = (): number => Buffer.concat(pieces).length;
    for (let sent = 1; sent <= bytesBefore; sent++) {
      client.write('x');
      await came(sent);
    }
    socket.pause();
    // More than the buffers of both ends hold.
    const much = Buffer.alloc(32 * 1024 * 1024, 'y');
    client.write(much);
    await new Promise((resolve) => setTimeout(resolve, 100));
    t.equal(size(), bytesBefore);
    t.ok(client.writableLength > 0);
    socket.resume();
    await came(bytesBefore + much.length);
    t.equal(size(), bytesBefore + much.length);
  }
});

t.test('end and reset are told', async (t) => {
  const ends = await connect(t);
  ends.client.write('last');
  await ends.came(4);
  ends.client.end(' words');
  await once(ends.socket, 'end');
  t.equal(Buffer.concat(ends.pieces).toString(), 'last words');

  const breaks = await connect(t);
  breaks.client.write('last');
  await breaks.came(4);
  const failed = once(breaks.socket, 'error');
  breaks.client.resetAndDestroy();
  t.equal(((await failed)[0] as NodeJS.ErrnoException).code, 'ECONNRESET');
});
