/** HTTP that is not gRPC by HTTP/2: the answers are those of HTTP/1.1. */
import http from 'node:http';
import http2 from 'node:http2';
import t, { type Test } from 'tap';
import { gate, until } from './grpc-support.ts';
import { type FixtureOptions, portOf, start } from './listener-support.ts';

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

async function connect(t: Test, options: FixtureOptions = {}, settings: http2.Settings = {}) {
  const { addresses, internalErrors } = await start(t, ['http://127.0.0.1:0'], options);
  const port = portOf(addresses[0]);
  const session = http2.connect(`http://127.0.0.1:${port}`, { settings });
  t.teardown(() => session.destroy());
  return { port, session, internalErrors };
}

/** Without what says how it was sent. */
function told(headers: NodeJS.Dict<unknown>): Readonly<Record<string, unknown>> {
  const { ':status': _status, connection: _connection, 'keep-alive': _keepAlive, date, ...rest } = headers;
  return { ...Object.fromEntries(Object.entries(rest)), dated: Number.isFinite(Date.parse(String(date))) };
}

function by2(session: http2.ClientHttp2Session, method: string, path: string, body = ''): Promise<Answer> {
  const stream = session.request({ ':method': method, ':path': path }, { endStream: body === '' });
  if (body !== '') stream.end(body);
  return new Promise((resolve, reject) => {
    let text = '';
    stream.on('error', reject);
    stream.on('response', (headers) => {
      stream.on('data', (bytes) => {
        text += bytes;
      });
      stream.on('end', () => resolve({ status: Number(headers[':status']), headers: told(headers), body: text }));
    });
  });
}

function by1(port: number, method: string, path: string, body = ''): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, method, path }, (response) => {
      let text = '';
      response.on('data', (bytes) => {
        text += bytes;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: told(response.headers), body: text }),
      );
    });
    request.on('error', reject);
    request.end(body);
  });
}

t.test('both versions of HTTP give the same answers', async (t) => {
  const { port, session, internalErrors } = await connect(t);
  for (const [method, path, body] of [
    ['GET', '/hello?name=x'],
    ['HEAD', '/hello?name=x'],
    ['POST', '/hello?name=y', 'some text'],
    ['GET', '/nope'],
    ['OPTIONS', '/hello'],
    ['GET', '/broken'],
  ] as const) {
    const answer = await by2(session, method, path, body);
    t.strictSame(answer, await by1(port, method, path, body), `${method} ${path}`);
    t.ok(answer.status >= 200 && answer.headers.dated);
  }
  t.equal((await by2(session, 'GET', '/hello?name=x')).body, 'GET x\n');
  t.match(internalErrors, [/secret/, /secret/]);
});

t.test('a body is taken, and thrown away', async (t) => {
  const { session } = await connect(t);
  // Much more than the windows, which are 100,000 bytes.
  t.equal((await by2(session, 'POST', '/hello', 'x'.repeat(1_000_000))).body, 'POST null\n');
  t.equal((await by2(session, 'GET', '/hello')).body, 'GET null\n');
});

t.test('a client that does not read gets no further requests started, and all when it reads', async (t) => {
  let started = 0;
  const big = 'x'.repeat(200_000);
  const routes = new Map([
    [
      '/big',
      () => {
        started++;
        return { status: 200, body: big };
      },
    ],
  ]);
  const { session } = await connect(t, { routes }, { initialWindowSize: 10 });
  const first = by2(session, 'GET', '/big');
  await until(() => started === 1);
  const later = Array.from({ length: 20 }, () => by2(session, 'GET', '/big'));
  // Answered behind them on the same connection, so they have come.
  await new Promise((resolve) => session.ping(resolve));
  t.equal(started, 1);
  session.settings({ initialWindowSize: 1_000_000 });
  for (const { body } of await Promise.all([first, ...later])) t.equal(body.length, big.length);
  t.equal(started, 21);
});

t.test('a request that is given up while its handler runs', async (t) => {
  const may = gate();
  let finished = 0;
  const routes = new Map([
    [
      '/slow',
      async () => {
        await may.passed;
        finished++;
        return { status: 200, body: 'late' };
      },
    ],
  ]);
  const { session, internalErrors } = await connect(t, { routes });
  const stream = session.request({ ':path': '/slow' });
  stream.on('error', () => {});
  await new Promise((resolve) => session.ping(resolve));
  stream.close(http2.constants.NGHTTP2_CANCEL);
  await new Promise((resolve) => session.ping(resolve));
  const answer = by2(session, 'GET', '/slow');
  may.open();
  t.equal((await answer).body, 'late');
  t.equal(finished, 2);
  t.strictSame(internalErrors, []);
});

t.test('what nearly is gRPC is refused', async (t) => {
  const { session } = await connect(t);
  for (const contentType of ['application/grpc-web', 'application/grpcx']) {
    const stream = session.request({ ':method': 'POST', ':path': '/hello', 'content-type': contentType });
    stream.end();
    const headers = await new Promise((resolve) => stream.once('response', resolve).resume());
    t.match(headers, { ':status': 415 }, contentType);
  }
});
