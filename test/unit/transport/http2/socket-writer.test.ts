/** What is written to a socket leaves in order and whole, at once or later, and ends and breaks are as with Node's streams. */
import { once } from 'node:events';
import net from 'node:net';
import t, { type Test } from 'tap';
import { SocketWriter } from '../../../../src/transport/http2/socket-writer.ts';

interface Writing {
  readonly peer: net.Socket;
  readonly socket: net.Socket;
  readonly writer: SocketWriter;
  /** How often Node's stream was written to. */
  readonly streamed: () => number;
  readonly drained: () => number;
  /** Lets the peer read until it has read so much in total: all of it. */
  came(bytes: number): Promise<Buffer>;
}

/** `early`: the writer gets its socket before that is connected. */
async function connect(t: Test, early = false): Promise<Writing> {
  const server = net.createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[net.Socket]>;
  const socket = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1');
  if (!early) await once(socket, 'connect');
  let streamed = 0;
  let drained = 0;
  const write = socket.write.bind(socket) as (bytes: Buffer) => boolean;
  socket.write = (bytes) => {
    streamed++;
    return write(bytes as unknown as Buffer);
  };
  const writer = new SocketWriter(socket, () => drained++);
  if (early) writer.write([Buffer.from('early')]);
  const [peer] = await accepted;
  t.teardown(() => {
    peer.destroy();
    socket.destroy();
    server.close();
  });
  const pieces: Buffer[] = [];
  peer.on('data', (bytes) => pieces.push(bytes)).pause();
  const came = async (bytes: number): Promise<Buffer> => {
    peer.resume();
    while (Buffer.concat(pieces).length < bytes) await once(peer, 'data');
    peer.pause();
    return Buffer.concat(pieces);
  };
  return { peer, socket, writer, streamed: () => streamed, drained: () => drained, came };
}

/** Writes more than both ends hold; ends with some of it waiting. */
function fill(writer: SocketWriter): Buffer {
  const pieces: Buffer[] = [];
  for (let i = 0; writer.bufferedBytes === 0; i++) {
    pieces.push(Buffer.alloc(100_000, i));
    writer.write(pieces.slice(-1));
  }
  return Buffer.concat(pieces);
}

t.test('this version of Node lets pieces go past its streams', async (t) => {
  const { writer, streamed, came } = await connect(t);
  for (let i = 0; i < 100; i++) writer.write([Buffer.from('piece')]);
  t.equal((await came(500)).toString(), 'piece'.repeat(100));
  t.equal(streamed(), 0);
  t.equal(writer.bufferedBytes, 0);
});

t.test('what the peer does not read waits, what comes later goes behind it, and both are told of', async (t) => {
  const { writer, streamed, drained, came } = await connect(t);
  for (let round = 1, sent = Buffer.alloc(0); round <= 2; round++) {
    sent = Buffer.concat([sent, fill(writer)]);
    const waiting = writer.bufferedBytes;
    t.equal(drained(), round - 1);
    writer.write([Buffer.from('one')]);
    writer.write([Buffer.from('two'), Buffer.from('three')]);
    t.equal(writer.bufferedBytes, waiting + 'onetwothree'.length);
    sent = Buffer.concat([sent, Buffer.from('onetwothree')]);
    t.ok((await came(sent.length)).equals(sent));
    while (writer.bufferedBytes > 0) await new Promise((resolve) => setImmediate(resolve));
    t.equal(drained(), round);
    t.equal(streamed(), 3 * round);
    writer.write([Buffer.from('at once')]);
    sent = Buffer.concat([sent, Buffer.from('at once')]);
    t.ok((await came(sent.length)).equals(sent));
    t.equal(streamed(), 3 * round);
  }
});

t.test('an end comes behind all that waits', async (t) => {
  const { peer, socket, writer, came } = await connect(t);
  const sent = fill(writer);
  socket.end();
  const ended = once(peer, 'end');
  t.ok((await came(sent.length)).equals(sent));
  peer.resume();
  await ended;
});

t.test('a socket that breaks while some waits is closed, and nothing is told to have gone', async (t) => {
  for (const by of ['peer', 'socket'] as const) {
    const { peer, socket, writer, drained } = await connect(t);
    socket.on('error', () => {});
    fill(writer);
    if (by === 'peer') peer.resetAndDestroy();
    else socket.destroy();
    await new Promise((resolve) => socket.on('close', resolve));
    writer.write([Buffer.from('late')]);
    await new Promise((resolve) => setImmediate(resolve));
    t.equal(drained(), 0);
    t.equal(writer.bufferedBytes, 0);
  }
});

t.test('what is written before the socket is connected comes first', async (t) => {
  const { writer, came } = await connect(t, true);
  writer.write([Buffer.from(' and late')]);
  t.equal((await came(14)).toString(), 'early and late');
});
