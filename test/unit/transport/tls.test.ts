/** Plain connections and TLS in one process: who is served by whom, who is refused, and who is told of it. */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import * as grpc from '@grpc/grpc-js';
import t, { type Test } from 'tap';
import { grpcTransports } from '../../../src/transport/grpc-server.ts';
import type { TlsOptions } from '../../../src/transport/tls.ts';
import { withoutOpenssl } from '../../support/certificates.ts';
import { isMissing } from '../../support/demand.ts';
import { identity, until } from './grpc-support.ts';
import { type FixtureOptions, portOf, start } from './listener-support.ts';
import { authority, serverIdentity } from './tls-support.ts';

interface Failure {
  readonly peer: string;
  readonly error: NodeJS.ErrnoException;
}

async function listen(
  t: Test,
  {
    handshakeTimeoutMs = 60_000,
    urls = ['https://127.0.0.1:0'],
    ...options
  }: Partial<TlsOptions & FixtureOptions> & {
    readonly urls?: string[];
  } = {},
) {
  const failures: Failure[] = [];
  const onHandshakeFailed = (peer: string, error: Error): number => failures.push({ peer, error });
  const tls = { identity: serverIdentity(), handshakeTimeoutMs, onHandshakeFailed };
  const fixture = await start(t, urls, { ...options, tls });
  return { ...fixture, failures, port: portOf(fixture.addresses[0]) };
}

/** Connects, sends `text`, and gives back what came until the end, and how it ended. */
async function talk(
  port: number,
  text: string | Buffer,
  options: tls.ConnectionOptions = {},
): Promise<{ received: Buffer; protocol: string | false | null; error: NodeJS.ErrnoException | undefined }> {
  const socket = tls.connect({ host: '127.0.0.1', port, ca: authority(), ...options });
  const pieces: Buffer[] = [];
  let error: NodeJS.ErrnoException | undefined;
  let protocol: string | false | null = null;
  socket.on('secureConnect', () => {
    protocol = socket.alpnProtocol;
    socket.write(text);
  });
  socket.on('data', (bytes: Buffer) => {
    pieces.push(bytes);
    // The first frame of the server, SETTINGS, tells enough.
    if (bytes[3] === 4) socket.destroy();
  });
  socket.on('error', (reason) => {
    error = reason;
  });
  await new Promise((resolve) => socket.once('close', resolve));
  return { received: Buffer.concat(pieces), protocol, error };
}

/** What came in plain text on a connection without TLS, until its end. */
async function talkPlainly(port: number, text: string | Buffer): Promise<string> {
  const socket = net.connect({ host: '127.0.0.1', port });
  let received = '';
  socket.on('data', (bytes) => {
    received += bytes.toString('latin1');
  });
  socket.on('error', () => {});
  if (text.length > 0) socket.write(text);
  await new Promise((resolve) => socket.once('close', resolve));
  return received;
}

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 'latin1');
const get = 'GET /hello?name=x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n';
const answer = /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nGET x\n$/;
const isHttp2 = ({ received }: { received: Buffer }): boolean => received[3] === 4;

async function echo(url: string, credentials: grpc.ChannelCredentials, message: string): Promise<unknown> {
  const client = new grpc.Client(url, credentials);
  const reply = await new Promise((resolve) =>
    client.makeUnaryRequest('/test.Echo/Echo', identity, identity, Buffer.from(message), (error, value) =>
      resolve(error ?? value?.toString()),
    ),
  );
  client.close();
  return reply;
}

async function main(t: Test): Promise<void> {
  if (isMissing(t, withoutOpenssl())) return;

  for (const transport of grpcTransports) {
    await t.test(`gRPC and HTTP, plain and by TLS, in one process: ${transport}`, async (t) => {
      const urls = ['https://127.0.0.1:0', 'http://127.0.0.1:0'];
      const { addresses, failures, port } = await listen(t, { urls, transport });
      const plainPort = portOf(addresses[1]);
      const secure = grpc.credentials.createSsl(authority());
      t.equal(await echo(`127.0.0.1:${port}`, secure, 'by TLS'), 'by TLS');
      t.equal(await echo(`127.0.0.1:${plainPort}`, grpc.credentials.createInsecure(), 'plain'), 'plain');
      t.match((await talk(port, get)).received.toString(), answer);
      t.match(await talkPlainly(plainPort, get), answer);
      t.strictSame(failures, []);
    });
  }

  await t.test('ALPN decides; without it the first bytes do', async (t) => {
    const { port, failures } = await listen(t);
    const h2 = await talk(port, preface, { ALPNProtocols: ['h2'] });
    t.ok(isHttp2(h2));
    t.equal(h2.protocol, 'h2');
    const either = await talk(port, preface, { ALPNProtocols: ['http/1.1', 'h2'] });
    t.ok(isHttp2(either));
    t.equal(either.protocol, 'h2', 'preferred by the server');
    const http1 = await talk(port, get, { ALPNProtocols: ['http/1.1'] });
    t.match(http1.received.toString(), answer);
    t.equal(http1.protocol, 'http/1.1');
    const none = await talk(port, get);
    t.match(none.received.toString(), answer);
    t.equal(none.protocol, false);
    t.ok(isHttp2(await talk(port, preface)));
    t.strictSame(failures, []);
  });

  await t.test('HTTP by the HTTP/2 that was agreed on, as curl, Go and browsers ask', async (t) => {
    const { port, failures } = await listen(t);
    const session = http2.connect(`https://127.0.0.1:${port}`, { ca: authority(), ALPNProtocols: ['h2', 'http/1.1'] });
    const stream = session.request({ ':path': '/hello?name=x' });
    t.match(await new Promise((resolve) => stream.once('response', resolve)), { ':status': 200 });
    let body = '';
    for await (const bytes of stream) body += bytes;
    t.equal(body, 'GET x\n');
    session.destroy();
    t.strictSame(failures, []);
  });

  await t.test('who agrees on one protocol and speaks the other is not served', async (t) => {
    const { port, failures } = await listen(t);
    const { received } = await talk(port, get, { ALPNProtocols: ['h2'] });
    t.notMatch(received.toString('latin1'), /HTTP\/1\.1 200/);
    const other = await talk(port, preface, { ALPNProtocols: ['http/1.1'] });
    t.match(other.received.toString('latin1'), /^HTTP\/1\.1 400 /);
    t.strictSame(failures, []);
  });

  await t.test('a client that wants another protocol is refused in the handshake', async (t) => {
    const { port, failures } = await listen(t);
    const { error, protocol } = await talk(port, get, { ALPNProtocols: ['spdy/3'] });
    t.match(error, { code: 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL' });
    t.equal(protocol, null);
    await until(() => failures.length === 1);
    t.match(failures[0]?.peer, /^127\.0\.0\.1:\d+$/);
  });

  await t.test('where no gRPC is served, HTTP/2 is not agreed on', async (t) => {
    const { port } = await listen(t, { httpOnly: true });
    const { received, protocol } = await talk(port, get, { ALPNProtocols: ['h2', 'http/1.1'] });
    t.match(received.toString(), answer);
    t.equal(protocol, 'http/1.1');
  });

  await t.test('versions from 1.2 on, with forward secrecy', async (t) => {
    const { port, failures } = await listen(t);
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const { received } = await talk(port, get, { minVersion: version, maxVersion: version });
      t.match(received.toString(), answer, version);
    }
    // SECLEVEL=0: this client would not offer it either.
    const old = { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
    t.match((await talk(port, get, old)).error, { code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION' });
    const forbidden = { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA' } as const;
    t.match((await talk(port, get, forbidden)).error, { code: 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE' });
    await until(() => failures.length === 2);
  });

  await t.test('what is no TLS on a port with TLS loses its connection, and the next client is served', async (t) => {
    const { port, failures } = await listen(t);
    for (const [bytes, what] of [
      [get, 'HTTP/1.1'],
      [preface, 'the preface of HTTP/2'],
      [Buffer.from([0x16, 3, 1, 0xff, 0xff, 1, 2, 3]), 'a record that is too long'],
      [Buffer.alloc(3000, 0x80), 'rubbish'],
    ] as const) {
      const before = failures.length;
      const received = await talkPlainly(port, bytes);
      t.notMatch(received, /HTTP|hello/, `${what} gets no answer in it`);
      await until(() => failures.length > before);
      t.match(failures.at(-1), { peer: /^127\.0\.0\.1:\d+$/, error: /./ }, what);
    }
    t.equal(failures.length, 4, 'each is told of once');
    t.match((await talk(port, get)).received.toString(), answer);
  });

  await t.test('a handshake that is not finished in time, and one that is given up', async (t) => {
    const { port, failures } = await listen(t, { handshakeTimeoutMs: 50 });
    t.equal(await talkPlainly(port, ''), '', 'not a byte');
    t.equal(await talkPlainly(port, Buffer.from([0x16, 3, 1, 0, 200, 1])), '', 'the beginning of a ClientHello');
    t.strictSame(
      failures.map(({ error }) => error.code),
      ['ERR_TLS_HANDSHAKE_TIMEOUT', 'ERR_TLS_HANDSHAKE_TIMEOUT'],
    );
    const socket = net.connect({ host: '127.0.0.1', port });
    socket.once('connect', () => socket.destroy());
    await until(() => failures.length === 3);
    t.equal(failures[2]?.error.code, 'ECONNRESET');
    // On a busy machine a good handshake may take longer, too.
    while (!answer.test((await talk(port, get)).received.toString())) t.comment('once more');
  });

  await t.test('a connection that says nothing after its handshake is closed', async (t) => {
    const { port, failures } = await listen(t, { detectionTimeoutMs: 30 });
    t.equal((await talk(port, '')).received.length, 0);
    t.equal((await talk(port, preface.subarray(0, 8))).received.length, 0);
    t.strictSame(failures, [], 'its handshake was in order');
  });

  await t.test('a client that ends its side right after the request gets the answer', async (t) => {
    const { port } = await listen(t);
    const options: tls.ConnectionOptions & net.TcpNetConnectOpts = { host: '127.0.0.1', port, allowHalfOpen: true };
    const socket = tls.connect({ ...options, ca: authority() });
    socket.end('GET /hello?name=z HTTP/1.1\r\nHost: h\r\n\r\n');
    let received = '';
    for await (const bytes of socket) received += bytes;
    t.match(received, /\r\n\r\nGET z\n$/);
  });

  await t.test('unixs', async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'plinth-tls-'));
    t.teardown(() => rmSync(directory, { recursive: true }));
    const path = join(directory, 'plinth.sock');
    const { failures } = await listen(t, { urls: ['https://127.0.0.1:0', `unixs://${path}`] });
    t.equal(statSync(path).mode & 0o777, 0o600, 'only its owner may connect');
    t.equal(await echo(`unix://${path}`, grpc.credentials.createSsl(authority()), 'hi'), 'hi');
    const socket = net.connect({ path });
    socket.on('error', () => {});
    socket.end(get);
    await until(() => failures.length === 1);
    t.equal(failures[0]?.peer, 'unknown');
  });

  await t.test('stop: what is in the middle of its handshake is not served any more', async (t) => {
    const { port, listener, http } = await listen(t);
    const agent = new https.Agent({ keepAlive: true });
    const request = (): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        https
          .get({ host: '127.0.0.1', port, path: '/hello', ca: authority(), agent }, (response) => {
            response.resume().once('end', () => resolve(response.statusCode));
          })
          .on('error', reject);
      });
    const late = net.connect({ host: '127.0.0.1', port });
    await new Promise((resolve) => late.once('connect', resolve));
    // Its acceptance is seen when a connection that came later is answered.
    t.equal(await request(), 200);
    listener.close();
    await http.stop(60_000);
    const secured = tls.connect({ socket: late, ca: authority(), servername: 'localhost' });
    secured.on('error', () => {});
    secured.write(get);
    let received = '';
    secured.on('data', (bytes) => {
      received += bytes;
    });
    await new Promise((resolve) => secured.once('close', resolve));
    t.equal(received, '');
    await t.rejects(request(), { code: 'ECONNREFUSED' });
    agent.destroy();
  });
}

void t.test('TLS', main);
