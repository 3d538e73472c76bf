/** plinth before a real etcd: TLS, users, two endpoints, cancellation and deadlines. */
import { generateKeyPairSync } from 'node:crypto';
import path from 'node:path';
import * as grpc from '@grpc/grpc-js';
import t, { type Test } from 'tap';
import { etcd3 } from '../../src/backends/etcd3/backend.ts';
import { Code } from '../../src/transport/rpc.ts';
import { type Certificates, makeCertificates, withoutOpenssl } from '../support/certificates.ts';
import { isMissing } from '../support/demand.ts';
import { eventually, freePorts } from '../support/process.ts';
import { RawClient, type Status } from '../support/raw-client.ts';
import { type EtcdOptions, findEtcd, type Server, startEtcd, startPlinth } from '../support/server.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

t.setTimeout(590_000);

const noUser = 'etcdserver: user name is empty';
const password = 'pass: wörd';

/** Stopped with the test. */
async function etcdFor(t: Test, options: EtcdOptions = {}): Promise<Server> {
  const etcd = await startEtcd(options);
  t.teardown(() => etcd.close());
  return etcd;
}

async function plinthFor(t: Test, ...flags: string[]): Promise<Server> {
  const plinth = await startPlinth({ backend: 'etcd3', flags });
  t.teardown(() => plinth.close());
  return plinth;
}

/** The sum of a metric of the etcd, over the series whose labels match. */
async function metric(etcd: Server, name: string, labels = /(?:)/): Promise<number> {
  const text = await (await fetch(`${etcd.url}/metrics`)).text();
  return [...text.matchAll(new RegExp(`^${name}(\\{[^}]*\\})? (\\S+)$`, 'gm'))]
    .filter(([, given]) => labels.test(given ?? ''))
    .reduce((sum, [, , value]) => sum + Number(value), 0);
}

const watchers = (etcd: Server): Promise<number> => metric(etcd, 'etcd_debugging_mvcc_watcher_total');

async function becomes(t: Test, value: () => Promise<unknown>, expected: unknown, what: string): Promise<void> {
  await eventually(async () => {
    const now = await value();
    if (now !== expected) throw new Error(`${what}: ${String(now)}`);
  });
  t.equal(await value(), expected, what);
}

async function refusal(call: Promise<unknown>): Promise<Partial<Status>> {
  return await call.then(
    () => ({ details: 'it was answered' }),
    (error: Status) => error,
  );
}

async function watchOn(client: RawClient, key = 'k') {
  const stream = client.open('Watch/Watch');
  stream.send({ createRequest: { key } });
  const { created, cancelReason } = await stream.next();
  return { stream, created, cancelReason };
}

/** Unary, stream and lease: what is told if each works. */
async function useIt(t: Test, client: RawClient, value: string): Promise<void> {
  const { stream, created } = await watchOn(client, `k-${value}`);
  t.equal(created, true);
  const { ID } = await client.call('Lease/LeaseGrant', { TTL: 100 });
  await client.call('KV/Put', { key: `k-${value}`, value, lease: ID });
  t.match(await stream.next(), { events: [{ kv: { value } }] });
  const alive = client.open('Lease/LeaseKeepAlive');
  alive.send({ ID });
  t.equal((await alive.next()).TTL, 100);
  t.match((await client.serverStream('KV/RangeStream', { key: `k-${value}` }).all()).length, 1);
  alive.end();
  t.match(await alive.status, { code: Code.OK }, 'the half-close arrives');
  stream.cancel();
}

/** The names of what comes back with a Range, before the answer and after it, beside what belongs to HTTP and gRPC. */
async function metadataOf({ endpoint }: Server, request: Buffer): Promise<string[]> {
  const client = new grpc.Client(endpoint, grpc.credentials.createInsecure());
  const names: string[] = [];
  const take = (metadata: grpc.Metadata): void => {
    names.push(...Object.keys(metadata.getMap()).filter((name) => !/^(content-type|date|grpc-.*)$/.test(name)));
  };
  const identity = (bytes: Buffer): Buffer => bytes;
  await new Promise<void>((resolve) => {
    const call = client.makeUnaryRequest('/etcdserverpb.KV/Range', identity, identity, request, () => {});
    call.on('metadata', take);
    call.on('status', ({ metadata }) => {
      take(metadata);
      resolve();
    });
  });
  client.close();
  return names;
}

const etcdTls = ({ ca, server }: Certificates): string[] => [
  '--client-cert-auth',
  `--trusted-ca-file=${ca}`,
  `--cert-file=${server.cert}`,
  `--key-file=${server.key}`,
];

const plinthTls = ({ ca, client }: Certificates): string[] => [
  `--etcd3-trusted-ca-file=${ca}`,
  `--etcd3-cert-file=${client.cert}`,
  `--etcd3-key-file=${client.key}`,
];

/** A user `root` who may do everything and `limited` who may read `open`, both with the same password. */
async function enableAuth(etcd: Server): Promise<void> {
  const { client } = etcd;
  for (const name of ['root', 'limited']) {
    await client.callAny('Auth/UserAdd', { name, password });
    await client.callAny('Auth/RoleAdd', { name });
    await client.callAny('Auth/UserGrantRole', { user: name, role: name });
  }
  await client.callAny('Auth/RoleGrantPermission', { name: 'limited', perm: { permType: 0, key: 'open' } });
  await client.callAny('Auth/AuthEnable');
}

async function tokenOf(client: RawClient, name: string): Promise<string> {
  return (await client.call('Auth/Authenticate', { name, password })).token;
}

/** All simple tokens of a user go when the password is set. */
async function throwTokensAway({ client }: Server): Promise<void> {
  const token = await tokenOf(client, 'root');
  await client.callAny('Auth/UserChangePassword', { name: 'root', password }, { metadata: { token } });
}

/** What a read is answered by a plinth with these flags, within this process: one that is never ready cannot be started. */
async function failureOfRelay(t: Test, flags: readonly string[]): Promise<unknown> {
  const options = new Map<string, string | number | readonly string[]>();
  for (const flag of flags) {
    const [, name, value] = /^--([^=]*)=(.*)$/.exec(flag) as unknown as [string, string, string];
    const parsed = name === 'etcd3-connect-timeout' ? Number(value) : value;
    options.set(name, name === 'etcd3-endpoints' ? value.split(',') : parsed);
  }
  const relay = await etcd3().relay(options, { dataDir: '', keyspace: 'default', warn() {} });
  t.teardown(() => relay.close());
  const call = { path: '/etcdserverpb.KV/Range', metadata: [], deadlineMs: undefined };
  return await relay.unary(Buffer.from([0x0a, 1, 0x6b]), { ...call, signal: new AbortController().signal }).then(
    () => 'it was answered',
    (error: unknown) => error,
  );
}

const asRoot = ['--etcd3-user=root', `--etcd3-password=${password}`];

const without = findEtcd() ? false : 'etcd is neither in build/bin nor on PATH';

if (!isMissing(t, without) && !isMissing(t, withoutOpenssl())) {
  t.test('TLS with client certificates', async (t) => {
    const certificates = makeCertificates(t.testdir({ ours: {}, others: {} }), 'root');
    const [tlsPort] = (await freePorts(1)) as [number];
    const etcd = await etcdFor(t, { tlsPort, flags: etcdTls(certificates) });
    const endpoint = `https://127.0.0.1:${tlsPort}`;
    const plinth = await plinthFor(t, `--etcd3-endpoints=${endpoint}`, ...plinthTls(certificates));
    await useIt(t, plinth.client, 'secure');

    const others = makeCertificates(path.join(t.testdirName, 'others'), 'root');
    const strangers: Record<string, string[]> = {
      'a certificate by another authority': plinthTls({ ...certificates, client: others.client }),
      'no certificate': plinthTls(certificates).slice(0, 1),
      'another authority trusted': plinthTls({ ...certificates, ca: others.ca }),
      'only the authorities of the system': plinthTls(certificates).slice(1),
    };
    for (const [what, flags] of Object.entries(strangers)) {
      const refused = await failureOfRelay(t, [
        `--etcd3-endpoints=${endpoint}`,
        '--etcd3-connect-timeout=1000',
        ...flags,
      ]);
      t.match(refused, { code: Code.UNAVAILABLE, message: `etcd3: no etcd can be reached at ${endpoint}: ` }, what);
    }

    // Where there are users, the common name of the certificate says who calls.
    await enableAuth(etcd);
    await plinth.client.call('KV/Put', { key: 'by', value: 'root' });
    t.match(await refusal(etcd.client.call('KV/Put', { key: 'by', value: 'nobody' })), { details: noUser });
  });
}

if (!isMissing(t, without)) {
  t.test('calls are made as the user that plinth was given', async (t) => {
    const etcd = await etcdFor(t);
    const plinth = await plinthFor(t, `--etcd3-endpoints=${etcd.url}`, ...asRoot);
    const { client } = plinth;
    await useIt(t, client, 'no users yet');
    await enableAuth(etcd);
    t.match(await refusal(etcd.client.call('KV/Range', { key: 'k' })), { details: noUser });
    await useIt(t, client, 'users');

    // Each way to begin after the etcd has thrown all tokens of the user away.
    const beginnings: Record<string, () => Promise<unknown>> = {
      'a unary call': () => client.call('KV/Put', { key: 'k', value: 'v' }),
      'many at once': () => Promise.all([1, 2, 3].map((i) => client.call('KV/Put', { key: `k${i}` }))),
      'a watch': async () => {
        const { stream, created, cancelReason } = await watchOn(client);
        t.strictSame([created, cancelReason], [true, '']);
        await client.call('KV/Put', { key: 'k', value: 'seen' });
        t.match(await stream.next(), { events: [{ kv: { value: 'seen' } }] });
        stream.cancel();
      },
      'a server stream': () => client.serverStream('KV/RangeStream', { key: 'k' }).next(),
    };
    for (const [what, begin] of Object.entries(beginnings)) {
      await throwTokensAway(etcd);
      await t.resolves(begin(), what);
    }

    const limited = { metadata: { token: await tokenOf(etcd.client, 'limited') } };
    await t.resolves(client.call('KV/Range', { key: 'open' }, limited), 'who brings a token is that user');
    t.match(await refusal(client.call('KV/Put', { key: 'open' }, limited)), {
      details: 'etcdserver: permission denied',
    });
    t.match(await refusal(client.call('KV/Range', { key: 'k' }, { metadata: { token: 'bad' } })), {
      code: Code.UNAUTHENTICATED,
      details: 'etcdserver: invalid auth token',
    });

    const wrong = ['--etcd3-user=root', '--etcd3-password=wrong-secret'];
    const refused = await failureOfRelay(t, [`--etcd3-endpoints=${etcd.url}`, ...wrong]);
    const message = 'etcdserver: authentication failed, invalid user ID or password';
    t.match(refused, { code: Code.INVALID_ARGUMENT, message });
  });

  t.test('tokens that name a revision of the users', async (t) => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const directory = t.testdir({
      'public.pem': publicKey.export({ type: 'spki', format: 'pem' }),
      'private.pem': privateKey.export({ type: 'sec1', format: 'pem' }),
    });
    const keys = ['public', 'private'].map(
      (name) => `${name.slice(0, name === 'public' ? 3 : 4)}-key=${path.join(directory, `${name}.pem`)}`,
    );
    const etcd = await etcdFor(t, { flags: [`--auth-token=jwt,${keys.join(',')},sign-method=ES256,ttl=10m`] });
    const plinth = await plinthFor(t, `--etcd3-endpoints=${etcd.url}`, ...asRoot);
    await enableAuth(etcd);
    await plinth.client.call('KV/Put', { key: 'k', value: '1' });
    const change = async (role: string) =>
      await etcd.client.callAny(
        'Auth/RoleAdd',
        { name: role },
        { metadata: { token: await tokenOf(etcd.client, 'root') } },
      );
    await change('one');
    await t.resolves(plinth.client.call('KV/Put', { key: 'k', value: '2' }), 'a token of before is replaced');
    await change('two');
    const { created, cancelReason, stream } = await watchOn(plinth.client);
    t.strictSame([created, cancelReason], [true, '']);
    stream.cancel();
  });

  t.test('two endpoints, and one goes', async (t) => {
    const etcd = await etcdFor(t);
    const [nobody] = (await freePorts(1)) as [number];
    const ways = [await TcpProxy.start(etcd.endpoint), await TcpProxy.start(etcd.endpoint)];
    const [first, second] = ways as [TcpProxy, TcpProxy];
    t.teardown(() => {
      for (const way of ways) way.close();
    });
    second.set('cut');
    const endpoints = [`http://127.0.0.1:${nobody}`, ...ways.map(({ endpoint }) => `http://${endpoint}`)];
    const { client } = await plinthFor(t, `--etcd3-endpoints=${endpoints.join(',')}`);
    await useIt(t, client, 'first');
    const { stream } = await watchOn(client);
    second.set('pass');
    first.set('cut');
    t.match(await stream.status, { code: Code.UNAVAILABLE }, 'streams end, as clients of etcd know it');
    await useIt(t, client, 'second');
    second.set('cut');
    // The connection may go while the call is on it, or be gone before.
    t.match(await refusal(client.call('KV/Range', { key: 'k' })), { code: Code.UNAVAILABLE });
    t.match(await refusal(client.call('KV/Range', { key: 'k' })), {
      code: Code.UNAVAILABLE,
      details: `etcd3: no etcd can be reached at ${endpoints.join(', ')}: `,
    });
    first.set('pass');
    await eventually(() => client.call('KV/Range', { key: 'k' }));
    await useIt(t, client, 'first again');
  });

  t.test('an etcd answers without metadata of its own, so that none is lost on the way', async (t) => {
    const etcd = await etcdFor(t);
    const plinth = await plinthFor(t, `--etcd3-endpoints=${etcd.url}`);
    const requests = {
      answered: Buffer.from([0x0a, 1, 0x6b]),
      refused: Buffer.alloc(0),
      malformed: Buffer.from([0xff]),
    };
    for (const [what, request] of Object.entries(requests)) {
      const [direct, through] = [await metadataOf(etcd, request), await metadataOf(plinth, request)];
      t.strictSame(direct, [], `${what}: it would have to be passed on`);
      t.strictSame(through, direct, `${what}: and plinth adds nothing`);
    }
  });

  t.test('an etcd that is restarted', async (t) => {
    const etcd = await etcdFor(t);
    const { client } = await plinthFor(t, `--etcd3-endpoints=${etcd.url}`);
    await client.call('KV/Put', { key: 'k', value: 'before' });
    const { stream } = await watchOn(client);
    await etcd.restart('SIGKILL');
    t.match(await stream.status, { code: Code.UNAVAILABLE });
    const { kvs } = await eventually(() => client.call('KV/Range', { key: 'k' }));
    t.match(kvs, [{ value: 'before' }]);
    await useIt(t, client, 'after');
  });

  t.test('a watch that its client leaves is gone in the etcd', async (t) => {
    const etcd = await etcdFor(t);
    const plinth = await plinthFor(t, `--etcd3-endpoints=${etcd.url}`);
    const proxy = await TcpProxy.start(plinth.endpoint);
    t.teardown(() => proxy.close());
    const [one, two] = [plinth.connect(), new RawClient(proxy.endpoint)];
    t.teardown(() => {
      one.close();
      two.close();
    });
    t.equal(await watchers(etcd), 0);
    const first = await watchOn(one);
    const [second, third] = [await watchOn(one), await watchOn(one)];
    await watchOn(two);
    await watchOn(two);
    await becomes(t, () => watchers(etcd), 5, 'watches');
    first.stream.send({ cancelRequest: { watchId: 0n } });
    t.match(await first.stream.next(), { canceled: true });
    await becomes(t, () => watchers(etcd), 4, 'after a cancel request');
    second.stream.cancel();
    t.match(await second.stream.status, { code: Code.CANCELLED });
    await becomes(t, () => watchers(etcd), 3, 'after the stream was cancelled');
    third.stream.end();
    await one.call('KV/Put', { key: 'k', value: 'v' });
    t.match(
      await third.stream.next(),
      { events: [{ kv: { value: 'v' } }] },
      'who only asks nothing more is still told',
    );
    third.stream.cancel();
    await becomes(t, () => watchers(etcd), 2, 'until it leaves');
    proxy.cut();
    await becomes(t, () => watchers(etcd), 0, 'after the connection of the client broke');
    const last = await watchOn(one);
    await becomes(t, () => watchers(etcd), 1, 'and one more');
    await plinth.child.stop('SIGTERM');
    t.match(await last.stream.status, { code: Code.UNAVAILABLE });
    await becomes(t, () => watchers(etcd), 0, 'after plinth has stopped');
  });

  t.test('a call that its client no longer waits for ends in the etcd', async (t) => {
    const etcd = await etcdFor(t);
    const { client } = await plinthFor(t, `--etcd3-endpoints=${etcd.url}`);
    await client.callAny('Lock/Lock', { name: 'l' });
    const waiting = async (): Promise<number> =>
      (await etcd.client.call('KV/Range', { key: 'l/', rangeEnd: 'l0' })).count;
    t.equal(await waiting(), 1);
    const second = client.callAny('Lock/Lock', { name: 'l' }, { timeoutMs: 1000 });
    void refusal(second);
    await becomes(t, waiting, 2, 'one holds it, one waits');
    t.match(await refusal(second), { code: Code.DEADLINE_EXCEEDED });
    await becomes(t, waiting, 1, 'the deadline has passed there as well');
    const under = async () =>
      (await metric(etcd, 'grpc_server_started_total', /"Lock"/)) -
      (await metric(etcd, 'grpc_server_handled_total', /"Lock"/));
    await becomes(t, under, 0, 'and nothing is under way');
    t.equal(await metric(etcd, 'grpc_server_started_total', /"Lock"/), 2);
  });
}
