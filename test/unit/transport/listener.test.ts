import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import t from 'tap';
import { formatListenUrl, parseListenUrl } from '../../../src/transport/address.ts';
import { identity } from './grpc-support.ts';
import { portOf, start } from './listener-support.ts';

/** Sends bytes, optionally in pieces, and gives back all that comes until the end. */
async function exchange(port: number, pieces: string[], end: boolean): Promise<string> {
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
  });
  socket.on('error', () => {});
  const closed = new Promise((resolve) => socket.once('end', resolve).once('close', resolve));
  for (const piece of pieces) {
    socket.write(piece);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  if (end) socket.end();
  await closed;
  socket.destroy();
  return received;
}

async function get(path: string, options: http.RequestOptions): Promise<http.IncomingMessage & { text: string }> {
  return new Promise((resolve, reject) => {
    http
      .request({ path, ...options }, (response) => {
        let text = '';
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => resolve(Object.assign(response, { text })));
      })
      .on('error', reject)
      .end();
  });
}

t.test('gRPC and HTTP/1.1 share one port', async (t) => {
  const { addresses } = await start(t, ['http://127.0.0.1:0']);
  const port = portOf(addresses[0]);
  const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
  t.teardown(() => client.close());
  const reply = await new Promise((resolve) =>
    client.makeUnaryRequest('/test.Echo/Echo', identity, identity, Buffer.from('hi'), (_error, value) =>
      resolve(value),
    ),
  );
  t.strictSame(reply, Buffer.from('hi'));
  t.equal(await (await fetch(`http://127.0.0.1:${port}/hello?name=x`)).text(), 'GET x\n');
});

t.test('first bytes that come one by one, in both protocols', async (t) => {
  const { addresses } = await start(t, ['http://127.0.0.1:0']);
  const port = portOf(addresses[0]);
  const answer = await exchange(
    port,
    'PUT /hello?name=y HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n'.split(''),
    false,
  );
  t.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
  t.match(answer, /\r\n\r\nPUT y\n$/);
  // An HTTP/2 preface in pieces, then an empty SETTINGS frame: the server answers with its own SETTINGS.
  const socket = net.connect({ port, host: '127.0.0.1' });
  const first = new Promise<Buffer>((resolve) => socket.once('data', resolve));
  for (const byte of 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n') {
    socket.write(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
  t.equal((await first)[3], 4, 'a SETTINGS frame');
  socket.destroy();
});

t.test('a client that ends its side right after the request gets the answer', async (t) => {
  const { addresses } = await start(t, ['http://127.0.0.1:0']);
  const answer = await exchange(portOf(addresses[0]), ['GET /hello?name=z HTTP/1.1\r\nHost: h\r\n\r\n'], true);
  t.match(answer, /\r\n\r\nGET z\n$/);
});

t.test('a connection that does not tell what it is gets closed, and so does one that hangs up', async (t) => {
  const { addresses } = await start(t, ['http://127.0.0.1:0'], { detectionTimeoutMs: 30 });
  t.equal(await exchange(portOf(addresses[0]), [], false), '', 'silent');
  t.equal(await exchange(portOf(addresses[0]), ['PRI * HT'], false), '', 'half a preface');
  t.equal(await exchange(portOf(addresses[0]), [], true), '', 'hung up');
});

t.test('a request whose head does not come is closed', async (t) => {
  const { addresses } = await start(t, ['http://127.0.0.1:0'], { headersTimeoutMs: 30 });
  t.match(await exchange(portOf(addresses[0]), ['GET /hello HTTP/1.1\r\nHo'], false), /^HTTP\/1\.1 408 /);
});

t.test('HTTP answers as etcd does', async (t) => {
  const { addresses, internalErrors } = await start(t, ['http://127.0.0.1:0']);
  const options = { host: '127.0.0.1', port: portOf(addresses[0]) };
  const missing = await get('/nope', options);
  t.equal(missing.statusCode, 404);
  t.equal(missing.text, '404 page not found\n');
  t.match(missing.headers, {
    'content-type': 'text/plain; charset=utf-8',
    'x-content-type-options': 'nosniff',
    'access-control-allow-origin': '*',
    'content-length': '19',
  });
  const preflight = await get('/nope', { ...options, method: 'OPTIONS' });
  t.equal(preflight.statusCode, 200);
  t.equal(preflight.text, '');
  const broken = await get('/broken', options);
  t.equal(broken.statusCode, 500);
  t.equal(broken.text, 'internal error\n');
  t.match(internalErrors, [/secret/]);
});

t.test('several URLs, a Unix socket among them', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'plinth-listener-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'plinth.sock');
  const { addresses, listener } = await start(t, ['http://localhost:0', `unix://${path}`]);
  t.equal((await get('/hello?name=a', { host: '127.0.0.1', port: portOf(addresses[0]) })).text, 'GET a\n');
  t.equal((await get('/hello?name=b', { socketPath: path })).text, 'GET b\n');
  t.equal(statSync(path).mode & 0o777, 0o600, 'only its owner may connect');
  const client = new grpc.Client(`unix://${path}`, grpc.credentials.createInsecure());
  t.teardown(() => client.close());
  const reply = await new Promise((resolve) =>
    client.makeUnaryRequest('/test.Echo/Echo', identity, identity, Buffer.from('hi'), (_error, value) =>
      resolve(value),
    ),
  );
  t.strictSame(reply, Buffer.from('hi'));
  await t.rejects(listener.listen(parseListenUrl(`unix://${path}`)), { code: 'EADDRINUSE' });
});

t.test('a socket file left behind is replaced', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'plinth-listener-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'plinth.sock');
  // Node removes its socket files when it closes them; SIGKILL leaves the file with nobody listening.
  const code = 'require("node:net").createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))';
  t.equal(spawnSync(process.execPath, ['-e', code, path]).signal, 'SIGKILL');
  t.ok(statSync(path).isSocket());
  await start(t, [`unix://${path}`]);
  t.equal((await get('/hello?name=b', { socketPath: path })).text, 'GET b\n');
});

t.test('a taken port is the system error', async (t) => {
  const { addresses, listener } = await start(t, ['http://127.0.0.1:0']);
  await t.rejects(listener.listen(addresses[0]!), { code: 'EADDRINUSE' });
});

t.test('stop: idle HTTP connections go at once, undecided ones too', async (t) => {
  const { addresses, listener, http: httpServer } = await start(t, ['http://127.0.0.1:0']);
  const port = portOf(addresses[0]);
  const agent = new http.Agent({ keepAlive: true });
  await get('/hello', { host: '127.0.0.1', port, agent });
  const undecided = net.connect(port, '127.0.0.1');
  undecided.on('error', () => {});
  await new Promise((resolve) => undecided.once('connect', resolve));
  // Its acceptance is seen when a connection that came later is answered.
  await exchange(port, ['GET /hello HTTP/1.0\r\n\r\n'], false);
  const closed = new Promise((resolve) => undecided.once('close', resolve));
  listener.close();
  await httpServer.stop(60_000);
  await closed;
  await t.rejects(get('/hello', { host: '127.0.0.1', port }), { code: 'ECONNREFUSED' });
  agent.destroy();
});

t.test('listen URLs', async (t) => {
  for (const [url, expected] of [
    ['http://127.0.0.1:2379', { kind: 'tcp', host: '127.0.0.1', port: 2379, tls: false }],
    ['http://localhost:2379', { kind: 'tcp', host: '127.0.0.1', port: 2379, tls: false }],
    ['http://[::1]:80', { kind: 'tcp', host: '::1', port: 80, tls: false }],
    ['http://0.0.0.0:80/', { kind: 'tcp', host: '0.0.0.0', port: 80, tls: false }],
    ['unix:///run/plinth.sock', { kind: 'unix', path: '/run/plinth.sock', tls: false }],
    ['unix://plinth.sock', { kind: 'unix', path: 'plinth.sock', tls: false }],
    ['https://127.0.0.1:2379', { kind: 'tcp', host: '127.0.0.1', port: 2379, tls: true }],
    ['HTTPS://localhost:443/', { kind: 'tcp', host: '127.0.0.1', port: 443, tls: true }],
    ['unixs:///run/plinth.sock', { kind: 'unix', path: '/run/plinth.sock', tls: true }],
  ] as const) {
    t.strictSame(parseListenUrl(url), expected, url);
  }
  t.equal(formatListenUrl({ kind: 'tcp', host: '::1', port: 80, tls: false }), 'http://[::1]:80');
  t.equal(formatListenUrl({ kind: 'tcp', host: '::1', port: 80, tls: true }), 'https://[::1]:80');
  t.equal(formatListenUrl({ kind: 'unix', path: '/a', tls: false }), 'unix:///a');
  t.equal(formatListenUrl({ kind: 'unix', path: '/a', tls: true }), 'unixs:///a');
  for (const [url, problem] of [
    ['foo', /scheme must be http, https, unix or unixs: foo/],
    ['tcp://127.0.0.1:1', /scheme must be/],
    ['https://127.0.0.1', /"host:port"/],
    ['unixs://', /no path/],
    ['http://127.0.0.1', /"host:port"/],
    ['http://etcd.example:2379', /expected an IP address or localhost/],
    ['http://127.0.0.1:2379/x', /must not have a path/],
    ['http://a:b@127.0.0.1:2379', /user name or password/],
    ['http://127.0.0.1:99999', /not a URL/],
    ['unix://', /no path/],
  ] as const) {
    t.throws(() => parseListenUrl(url), problem, url);
  }
});
