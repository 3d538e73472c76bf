/** The process as an operator sees it: a child that is started, used and stopped. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import http2 from 'node:http2';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import t from 'tap';

const main = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
const identity = (bytes: Buffer): Buffer => bytes;

/** `key: "k", value: "v"` */
const putRequest = Buffer.from([0x0a, 1, 0x6b, 0x12, 1, 0x76]);
/** `create_request { key: "k" }` */
const watchRequest = Buffer.from([0x0a, 3, 0x0a, 1, 0x6b]);

interface Plinth {
  readonly child: ChildProcess;
  readonly exit: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  out: string;
  err: string;
}

function spawnPlinth(
  test: Pick<typeof t, 'teardown'>,
  args: string[],
  environment: Record<string, string> = {},
): Plinth {
  const child = spawn(process.execPath, ['--import=tsx', main, 'serve', ...args], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const plinth: Plinth = {
    child,
    exit: new Promise((resolve) => child.once('close', (code, signal) => resolve({ code, signal }))),
    out: '',
    err: '',
  };
  child.stdout?.on('data', (chunk) => {
    plinth.out += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    plinth.err += chunk;
  });
  test.teardown(() => child.kill('SIGKILL'));
  return plinth;
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within a minute: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Starts on a free port with the memory backend and waits for the line that says so. */
async function start(
  test: Pick<typeof t, 'teardown'>,
  args: string[] = [],
): Promise<{ plinth: Plinth; endpoint: string; client: grpc.Client }> {
  const plinth = spawnPlinth(test, ['--storage-backend=memory', '--listen-client-urls=http://127.0.0.1:0', ...args]);
  await until(() => plinth.out.includes('\n') || plinth.child.exitCode !== null);
  const endpoint = /serves http:\/\/(\S+) from/.exec(plinth.out)?.[1];
  if (!endpoint) throw new Error(`did not start: ${plinth.err}`);
  const client = new grpc.Client(endpoint, grpc.credentials.createInsecure());
  test.teardown(() => client.close());
  return { plinth, endpoint, client };
}

function put(client: grpc.Client): Promise<grpc.ServiceError | null> {
  return new Promise((resolve) =>
    client.makeUnaryRequest('/etcdserverpb.KV/Put', identity, identity, putRequest, (error) => resolve(error)),
  );
}

t.test('start prints one line; the port answers gRPC and HTTP', async (t) => {
  const { plinth, endpoint, client } = await start(t);
  t.equal(
    plinth.out.replace(/^plinth \S+ /, ''),
    `serves http://${endpoint} from memory; try: etcdctl --endpoints=http://${endpoint} put hello world\n`,
  );
  t.equal(await put(client), null);
  t.match(await (await fetch(`http://${endpoint}/version`)).json(), { etcdserver: /^3\./ });
  t.equal(await (await fetch(`http://${endpoint}/readyz`)).text(), 'ok\n');
  const metrics = await (await fetch(`http://${endpoint}/metrics`)).text();
  t.match(metrics, /\ngrpc_server_handled_total\{[^}]*grpc_method="Put",grpc_code="OK"\} 1\n/);
  t.match(metrics, /\netcd_debugging_mvcc_current_revision 2\n/);
  for (const line of plinth.err.trim().split('\n')) t.match(JSON.parse(line), { level: /.+/, ts: /.+/, msg: /.+/ });
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`${signal} ends watches with a reason and the process with 0`, async (t) => {
    const { plinth, client } = await start(t);
    const watch = client.makeBidiStreamRequest('/etcdserverpb.Watch/Watch', identity, identity);
    watch.on('error', () => {});
    const status = new Promise<grpc.StatusObject>((resolve) => watch.once('status', resolve));
    const created = new Promise((resolve) => watch.once('data', resolve));
    watch.write(watchRequest);
    await created;
    plinth.child.kill(signal);
    t.match(await status, { code: grpc.status.UNAVAILABLE, details: 'etcdserver: server stopped' });
    t.strictSame(await plinth.exit, { code: 0, signal: null });
    t.match(plinth.err, /"msg":"stopped"/);
  });
}

t.test('an idle process with open connections stops without waiting for the grace time', async (t) => {
  const { plinth, endpoint, client } = await start(t, ['--shutdown-grace=1h']);
  t.equal(await put(client), null);
  await (await fetch(`http://${endpoint}/health`)).text();
  const [host, port] = endpoint.split(':');
  const silent = net.connect(Number(port), host);
  silent.on('error', () => {});
  await new Promise((resolve) => silent.once('connect', resolve));
  plinth.child.kill('SIGTERM');
  t.match(await plinth.exit, { code: 0 });
});

/** A call whose answer cannot be sent, because the client gives it no room: it keeps a server from stopping. */
async function stuckCall(test: Pick<typeof t, 'teardown'>, endpoint: string): Promise<void> {
  const session = http2.connect(`http://${endpoint}`, { settings: { initialWindowSize: 0 } });
  session.on('error', () => {});
  test.teardown(() => session.destroy());
  const stream = session.request({
    ':method': 'POST',
    ':path': '/etcdserverpb.KV/Put',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('error', () => {});
  const response = new Promise((resolve) => stream.once('response', resolve));
  stream.end(Buffer.concat([Buffer.from([0, 0, 0, 0, putRequest.length]), putRequest]));
  await response;
}

t.test('a second signal ends the process at once', async (t) => {
  const { plinth, endpoint } = await start(t, ['--shutdown-grace=1h']);
  await stuckCall(t, endpoint);
  plinth.child.kill('SIGTERM');
  await until(() => plinth.err.includes('"stopping"'));
  plinth.child.kill('SIGINT');
  t.match(await plinth.exit, { code: 130 });
  t.match(plinth.err, /"second signal, ending at once"/);
});

t.test('what does not finish within the grace time is cut, and the process still ends with 0', async (t) => {
  const { plinth, endpoint } = await start(t, ['--shutdown-grace=50ms']);
  await stuckCall(t, endpoint);
  plinth.child.kill('SIGTERM');
  t.match(await plinth.exit, { code: 0 });
});

t.test('a taken port is one clear line and code 1', async (t) => {
  const { endpoint } = await start(t);
  const second = spawnPlinth(t, ['--storage-backend=memory', `--listen-client-urls=http://${endpoint}`]);
  t.match(await second.exit, { code: 1 });
  t.equal(
    second.err,
    `plinth: cannot start: cannot listen on http://${endpoint}: the address is already in use, perhaps by another plinth or etcd\n`,
  );
  t.equal(second.out, '');
});

t.test('two processes on one data directory: the second says so and ends with code 1', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'plinth-serve-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const common = ['--storage-backend=sqlite', `--data-dir=${directory}`];
  const { plinth } = await start(t, common);
  const second = spawnPlinth(t, [...common, '--listen-client-urls=http://127.0.0.1:0']);
  t.match(await second.exit, { code: 1 });
  t.equal(second.err.trim().split('\n').length, 1, second.err);
  t.match(second.err, /^plinth: cannot start: /);
  t.ok(second.err.includes(directory), second.err);
  plinth.child.kill('SIGTERM');
  t.match(await plinth.exit, { code: 0 });
});

t.test('what was acknowledged before SIGTERM is there after the next start', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'plinth-serve-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const args = ['--storage-backend=sqlite', `--data-dir=${directory}`];
  const first = await start(t, args);
  let acknowledged = 0;
  const writer = (async () => {
    while ((await put(first.client)) === null) acknowledged++;
  })();
  await until(() => acknowledged > 20);
  first.plinth.child.kill('SIGTERM');
  t.match(await first.plinth.exit, { code: 0 });
  await writer;
  const second = await start(t, args);
  const text = await (await fetch(`http://${second.endpoint}/metrics`)).text();
  const revision = Number(/\netcd_debugging_mvcc_current_revision (\d+)\n/.exec(text)?.[1]);
  t.ok(revision >= acknowledged + 1, `revision ${revision} after ${acknowledged} acknowledged puts`);
  t.ok(revision <= acknowledged + 2, 'one put may have been on its way');
});

t.test('metrics and probes on a port of their own, without gRPC', async (t) => {
  const free = net.createServer();
  await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve));
  const { port } = free.address() as net.AddressInfo;
  await new Promise((resolve) => free.close(resolve));
  await start(t, [`--listen-metrics-urls=http://127.0.0.1:${port}`]);
  t.equal(await (await fetch(`http://127.0.0.1:${port}/livez`)).text(), 'ok\n');
  const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
  t.teardown(() => client.close());
  t.match(await put(client), { code: grpc.status.UNAVAILABLE });
});
