/** What goes through, in both directions, and what an etcd that goes, refuses or hangs looks like: against servers of the test. */
import t, { type Test } from 'tap';
import { etcd3 } from '../../../../src/backends/etcd3/backend.ts';
import { etcdserverpb as pb } from '../../../../src/proto/generated/etcd.js';
import { type RelayCall, RelayError, type RelayStream } from '../../../../src/registry/relay.ts';
import { type Call, Code, type Method, RpcError } from '../../../../src/transport/rpc.ts';
import { freePorts } from '../../../support/process.ts';
import { TcpProxy } from '../../../support/tcp-proxy.ts';
import { gate, until } from '../../mvcc/storage.ts';
import { bidi, type Fixture, start, unary } from '../../transport/grpc-support.ts';

const path = '/etcdserverpb.KV/Range';

/** Passes on to these; closed with the test. */
async function relayTo(t: Test, urls: readonly string[], more: Record<string, string | number> = {}) {
  const warnings: string[] = [];
  const options = new Map<string, string | number | readonly string[]>(
    Object.entries({ endpoints: urls, 'connect-timeout': 1000, ...more }).map(([name, value]) => [
      `etcd3-${name}`,
      value,
    ]),
  );
  const context = { dataDir: '', keyspace: 'default', warn: (message: string) => warnings.push(message) };
  const relay = await etcd3().relay(options, context);
  t.teardown(() => relay.close());
  return { relay, warnings };
}

const urlOf = ({ url }: Fixture): string => `http://${url}`;

function callOf(more: Partial<RelayCall> = {}): RelayCall {
  return { path, metadata: [], deadlineMs: undefined, signal: new AbortController().signal, ...more };
}

const text = (bytes: Uint8Array | undefined): string | undefined => bytes && Buffer.from(bytes).toString();

async function failure(work: Promise<unknown>): Promise<RelayError> {
  return await work.then(
    () => new RelayError(0, 'it was answered'),
    (error: RelayError) => error,
  );
}

async function all(stream: RelayStream): Promise<(string | undefined)[]> {
  const messages: (string | undefined)[] = [];
  for (let next = await stream.read(); next !== undefined; next = await stream.read()) messages.push(text(next));
  return messages;
}

t.test('bytes, metadata and deadline arrive as they were sent', async (t) => {
  const seen: { metadata: unknown; deadlineMs: number | undefined; path: string }[] = [];
  const look = (call: Call): void => {
    seen.unshift({ metadata: call.allMetadata(), deadlineMs: call.deadlineMs, path: call.path });
  };
  const etcd = await start(t, {
    [path]: unary((request, call) => {
      look(call);
      return request;
    }),
    '/other.Service/Stream': bidi(async (stream, call) => {
      look(call);
      for (let next = await stream.read(); next !== undefined; next = await stream.read()) stream.write(next);
    }),
  });
  const { relay, warnings } = await relayTo(t, [urlOf(etcd)]);
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  const metadata = [
    ['hasleader', 'true'],
    ['client-api-version', '3.6.0'],
    ['twice', 'a'],
    ['twice', 'b'],
    ['trace-bin', Buffer.from([0, 255, 10])],
  ] as const;
  const deadlineMs = Date.now() + 60_000;
  const call = { metadata, deadlineMs };
  t.same(await relay.unary(bytes.subarray(3, 200), callOf(call)), Buffer.from(bytes.subarray(3, 200)));
  const arrived = (): void => {
    t.same(seen[0]?.metadata, metadata);
    t.ok(Math.abs((seen[0]?.deadlineMs ?? 0) - deadlineMs) < 10_000, 'the deadline is the one of the client');
  };
  arrived();
  t.equal(seen[0]?.path, path);
  const stream = relay.stream(callOf({ ...call, path: '/other.Service/Stream' }));
  await stream.write(Buffer.from('one'));
  await stream.write(new Uint8Array(0));
  t.equal(text(await stream.read()), 'one');
  arrived();
  stream.end();
  t.same(await all(stream), [''], 'an empty message is one, and the half-close arrives');
  await relay.unary(bytes, callOf());
  t.equal(seen.length, 3);
  t.same([seen[0]?.metadata, seen[0]?.deadlineMs], [[], undefined], 'nothing is added');
  t.same(warnings, []);
});

t.test('errors come back with code and text', async (t) => {
  const details = 'etcdserver: 100% "exact", ümläut\nsecond line';
  const etcd = await start(t, {
    '/test.Fail/Unary': unary(() => Promise.reject(new RpcError(Code.OUT_OF_RANGE, details))),
    '/test.Fail/Stream': bidi(async (stream) => {
      stream.write(Buffer.from('first'));
      throw new RpcError(Code.FAILED_PRECONDITION, details);
    }),
    '/test.Fail/Empty': bidi(async () => {}),
  });
  const { relay } = await relayTo(t, [urlOf(etcd)]);
  t.match(await failure(relay.unary(Buffer.alloc(0), callOf({ path: '/test.Fail/Unary' }))), {
    name: 'RelayError',
    code: Code.OUT_OF_RANGE,
    message: details,
  });
  t.match(await failure(relay.unary(Buffer.alloc(0), callOf({ path: '/test.Fail/None' }))), {
    code: Code.UNIMPLEMENTED,
    message: 'unknown method None for service test.Fail',
  });
  const stream = relay.stream(callOf({ path: '/test.Fail/Stream' }));
  t.equal(text(await stream.read()), 'first');
  t.match(await failure(stream.read()), { name: 'RelayError', code: Code.FAILED_PRECONDITION, message: details });
  await t.resolves(stream.write(Buffer.from('late')), 'writing to an ended stream does nothing');
  t.same(await all(relay.stream(callOf({ path: '/test.Fail/Empty' }))), [], 'an end without a message is an end');
});

t.test('a deadline that passes', async (t) => {
  const signals: AbortSignal[] = [];
  const etcd = await start(t, {
    [path]: unary((_request, { signal }) => {
      signals.push(signal);
      return new Promise(() => {});
    }),
    '/test.Watch/Watch': bidi((_stream, { signal }) => {
      signals.push(signal);
      return new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
    }),
  });
  const { relay } = await relayTo(t, [urlOf(etcd)]);
  const soon = () => ({ deadlineMs: Date.now() + 200 });
  t.match(await failure(relay.unary(Buffer.alloc(0), callOf(soon()))), { code: Code.DEADLINE_EXCEEDED });
  const stream = relay.stream(callOf({ ...soon(), path: '/test.Watch/Watch' }));
  t.match(await failure(stream.read()), { code: Code.DEADLINE_EXCEEDED });
  await until('the etcd knows', () => signals.length === 2 && signals.every(({ aborted }) => aborted));
});

t.test('a cancellation reaches the etcd', async (t) => {
  const signals: AbortSignal[] = [];
  const etcd = await start(t, {
    [path]: unary((_request, { signal }) => {
      signals.push(signal);
      return new Promise(() => {});
    }),
    '/test.Watch/Watch': bidi((stream, { signal }) => {
      signals.push(signal);
      stream.write(Buffer.from('created'));
      return new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
    }),
  });
  const { relay } = await relayTo(t, [urlOf(etcd)]);
  const client = new AbortController();
  const answer = failure(relay.unary(Buffer.alloc(0), callOf({ signal: client.signal })));
  const stream = relay.stream(callOf({ signal: client.signal, path: '/test.Watch/Watch' }));
  t.equal(text(await stream.read()), 'created');
  const end = failure(stream.read());
  await until('both are there', () => signals.length === 2);
  client.abort();
  t.match([await answer, await end], [{ code: Code.CANCELLED }, { code: Code.CANCELLED }]);
  await until('the etcd knows', () => signals.every(({ aborted }) => aborted));
  // Cancelled before it began.
  t.match(await failure(relay.unary(Buffer.alloc(0), callOf({ signal: client.signal }))), { code: Code.CANCELLED });
  t.match(await failure(relay.stream(callOf({ signal: client.signal, path: '/test.Watch/Watch' })).read()), {
    code: Code.CANCELLED,
  });
  await until('nothing is left', () => etcd.server.activeCalls <= 1);
});

t.test('a side that does not read stops the other', async (t) => {
  const reading = gate();
  let received = 0;
  const message = Buffer.alloc(512 * 1024);
  const etcd = await start(
    t,
    {
      '/test.Slow/Slow': bidi(async (stream) => {
        await reading.passed;
        for (let next = await stream.read(); next !== undefined; next = await stream.read()) received++;
      }),
    },
    { receivedMessageBytesMax: 1024 * 1024 },
  );
  const { relay } = await relayTo(t, [urlOf(etcd)]);
  const stream = relay.stream(callOf({ path: '/test.Slow/Slow' }));
  let written = 0;
  const writing = (async () => {
    for (; written < 400; written++) await stream.write(message);
  })();
  await until(
    'it is stopped',
    stalled(() => written),
  );
  t.ok(written < 200, `after ${written} of 400 messages`);
  reading.open();
  await writing;
  stream.end();
  t.same(await all(stream), []);
  t.equal(received, 400);
});

t.test('of two endpoints one is enough', async (t) => {
  const [nobody] = (await freePorts(1)) as [number];
  const etcd = await start(t, { [path]: unary((request) => request) });
  const { relay, warnings } = await relayTo(t, [`http://127.0.0.1:${nobody}`, urlOf(etcd)]);
  for (const word of ['one', 'two', 'three']) t.equal(text(await relay.unary(Buffer.from(word), callOf())), word);
  t.same(warnings, []);
});

t.test('the endpoint in use goes: streams end, calls go to the other, and back', async (t) => {
  const answering = (name: string): Record<string, Method> => ({
    [path]: unary(() => Buffer.from(name)),
    '/test.Watch/Watch': bidi(async (stream) => {
      stream.write(Buffer.from(name));
      await stream.read();
    }),
  });
  const proxies = await Promise.all(
    ['a', 'b'].map(async (name) => {
      const proxy = await TcpProxy.start((await start(t, answering(name))).url);
      t.teardown(() => proxy.close());
      return proxy;
    }),
  );
  const [a, b] = proxies as [TcpProxy, TcpProxy];
  b.set('cut');
  const { relay } = await relayTo(t, [`http://${a.endpoint}`, `http://${b.endpoint}`]);
  const ask = async (): Promise<string | undefined> => text(await relay.unary(Buffer.alloc(0), callOf()));
  t.equal(await ask(), 'a');
  const stream = relay.stream(callOf({ path: '/test.Watch/Watch' }));
  t.equal(text(await stream.read()), 'a');
  b.set('pass');
  a.set('cut');
  t.match(await failure(stream.read()), { code: Code.UNAVAILABLE });
  t.equal(await ask(), 'b');
  const again = relay.stream(callOf({ path: '/test.Watch/Watch' }));
  t.equal(text(await again.read()), 'b');
  a.set('pass');
  b.set('cut');
  t.match(await failure(again.read()), { code: Code.UNAVAILABLE });
  t.equal(await ask(), 'a');
});

t.test('no endpoint answers: each call is told where, and it recovers by itself', async (t) => {
  const etcd = await start(t, { [path]: unary((request) => request) });
  const proxy = await TcpProxy.start(etcd.url);
  t.teardown(() => proxy.close());
  proxy.set('cut');
  const { relay, warnings } = await relayTo(t, [`http://${proxy.endpoint}`], { password: 'secret', user: 'root' });
  const names = `http://${proxy.endpoint}`;
  t.same(warnings, [`no etcd can be reached at ${names} yet: every call is answered UNAVAILABLE until then`]);
  const message = `etcd3: no etcd can be reached at ${names}: check that it runs, the network, and certificates if it has any`;
  t.match(await failure(relay.unary(Buffer.alloc(0), callOf())), { code: Code.UNAVAILABLE, message });
  t.match(await failure(relay.stream(callOf()).read()), { code: Code.UNAVAILABLE, message });
  t.match(
    await failure(relay.unary(Buffer.alloc(0), callOf({ deadlineMs: Date.now() + 50, metadata: [['token', 'x']] }))),
    {
      code: Code.DEADLINE_EXCEEDED,
      message: 'context deadline exceeded',
    },
  );
  proxy.set('pass');
  const withToken = callOf({ metadata: [['token', 'x']] });
  let answer: string | undefined;
  for (const untilMs = Date.now() + 20_000; answer === undefined && Date.now() < untilMs; ) {
    answer = await relay.unary(Buffer.from('back'), withToken).then(text, () => undefined);
  }
  t.equal(answer, 'back');
});

t.test('closed: what is under way ends, and nothing more is taken', async (t) => {
  const etcd = await start(t, {
    [path]: unary(() => new Promise(() => {})),
    '/test.Watch/Watch': bidi(async (stream) => {
      stream.write(Buffer.from('created'));
      await stream.read();
    }),
  });
  const { relay } = await relayTo(t, [urlOf(etcd)]);
  const answer = failure(relay.unary(Buffer.alloc(0), callOf()));
  const stream = relay.stream(callOf({ path: '/test.Watch/Watch' }));
  await stream.read();
  const end = failure(stream.read());
  await until('both are there', () => etcd.server.activeCalls === 2);
  await relay.close();
  t.match([await answer, await end], [{ code: Code.CANCELLED }, { code: Code.CANCELLED }]);
  t.match(await failure(relay.unary(Buffer.alloc(0), callOf())), {
    code: Code.UNAVAILABLE,
    message: 'etcd3: the server stops',
  });
  await t.resolves(relay.close());
});

/** An etcd with users: `root` with the password `secret`. Tokens are good until the test says otherwise. */
function withUsers(): {
  methods: Record<string, Method>;
  good: Set<string>;
  authenticated: () => number;
  seen: unknown[];
} {
  const good = new Set<string>();
  const seen: unknown[] = [];
  let count = 0;
  const check = (call: Call): void => {
    const token = call.metadata('token') ?? call.metadata('authorization');
    seen.push(token);
    if (token === undefined) throw new RpcError(Code.INVALID_ARGUMENT, 'etcdserver: user name is empty');
    if (!good.has(token)) throw new RpcError(Code.UNAUTHENTICATED, 'etcdserver: invalid auth token');
  };
  const methods = {
    '/etcdserverpb.Auth/Authenticate': unary((request) => {
      const { name, password } = pb.AuthenticateRequest.decode(request);
      count++;
      if (name !== 'root' || password !== 'secret') {
        throw new RpcError(Code.INVALID_ARGUMENT, 'etcdserver: authentication failed, invalid user ID or password');
      }
      const token = `token-${count}`;
      good.add(token);
      return pb.AuthenticateResponse.encode({ token }).finish();
    }),
    [path]: unary((request, call) => {
      check(call);
      return request;
    }),
    '/etcdserverpb.Maintenance/Snapshot': bidi(async (stream, call) => {
      check(call);
      stream.write(Buffer.from('snapshot'));
    }),
    // As etcd does: the stream itself is let in, each watch is checked, and refused within the stream.
    '/etcdserverpb.Watch/Watch': bidi(async (stream, call) => {
      const token = call.metadata('token');
      for (let next = await stream.read(); next !== undefined; next = await stream.read()) {
        stream.write(Buffer.from(good.has(token ?? '') ? 'created' : 'etcdserver: invalid auth token'));
      }
    }),
  };
  return { methods, good, authenticated: () => count, seen };
}

t.test('calls are made as the user, with one token, which is replaced when it is refused', async (t) => {
  const users = withUsers();
  const etcd = await start(t, users.methods);
  const { relay } = await relayTo(t, [urlOf(etcd)], { user: 'root', password: 'secret' });
  const ask = async (metadata: RelayCall['metadata'] = []) =>
    text(await relay.unary(Buffer.from('x'), callOf({ metadata })));
  t.same(await Promise.all([ask(), ask(), ask()]), ['x', 'x', 'x']);
  t.equal(users.authenticated(), 1);
  users.good.clear();
  t.same(await Promise.all([ask(), ask(), ask()]), ['x', 'x', 'x'], 'made again with a new one');
  t.equal(users.authenticated(), 2);
  users.good.add('mine');
  t.same([await ask([['token', 'mine']]), await ask([['authorization', 'mine']])], ['x', 'x']);
  t.same(users.seen.slice(-2), ['mine', 'mine'], 'a client that brings its own is left alone');
  t.match(await failure(ask([['token', 'bad']])), {
    code: Code.UNAUTHENTICATED,
    message: 'etcdserver: invalid auth token',
  });
  t.equal(users.authenticated(), 2, 'and is told that it is refused');
});

t.test('a stream begins with a token that is good', async (t) => {
  const users = withUsers();
  const etcd = await start(t, users.methods);
  const { relay } = await relayTo(t, [urlOf(etcd)], { user: 'root', password: 'secret' });
  await relay.unary(Buffer.from('x'), callOf());
  const watch = async (): Promise<string | undefined> => {
    const stream = relay.stream(callOf({ path: '/etcdserverpb.Watch/Watch' }));
    await stream.write(Buffer.from('create'));
    const answer = text(await stream.read());
    stream.end();
    await all(stream);
    return answer;
  };
  t.equal(await watch(), 'created');
  // Nothing on a watch stream says that its token is bad, before a client has met it.
  users.good.clear();
  t.equal(await watch(), 'created');
  users.good.clear();
  t.same(await all(relay.stream(callOf({ path: '/etcdserverpb.Maintenance/Snapshot' }))), ['snapshot']);
});

t.test('a password that is wrong is told by etcd’s words', async (t) => {
  const etcd = await start(t, withUsers().methods);
  const { relay } = await relayTo(t, [urlOf(etcd)], { user: 'root', password: 'wrong-secret' });
  const message = 'etcdserver: authentication failed, invalid user ID or password';
  t.match(await failure(relay.unary(Buffer.alloc(0), callOf())), { code: Code.INVALID_ARGUMENT, message });
  t.match(await failure(relay.stream(callOf({ path: '/etcdserverpb.Watch/Watch' })).read()), { message });
});

/** True once a number has not changed for 50 looks. */
function stalled(value: () => number): () => boolean {
  let [last, looks] = [-1, 0];
  return () => {
    looks = value() === last ? looks + 1 : 0;
    last = value();
    return looks > 50;
  };
}
