/**
 * Bytes that no client sends. The server answers with proper errors, goes on serving, and does not grow. What it answers
 * to wrong messages is compared with etcd in the compat suite; here it must only be a gRPC error that is not the server's fault.
 */
import fs from 'node:fs';
import net from 'node:net';
import t, { type Test } from 'tap';
import { codes } from '../support/codes.ts';
import { Random } from '../support/random.ts';
import type { RawClient, Status } from '../support/raw-client.ts';
import { type Server, startPlinth } from '../support/server.ts';
import { methodNames, methodType } from '../support/wire.ts';

const seed = Number(process.env.BAD_INPUT_SEED ?? Date.now() % 1_000_000_000);
const random = new Random(seed);
const streams = new Set(['KV/RangeStream', 'Watch/Watch', 'Lease/LeaseKeepAlive', 'Health/Watch']);
/** They answer or stream for as long as the client stays. */
const endless = new Set(['Watch/Watch', 'Health/Watch']);
const growthBytesMax = 96 * 1024 * 1024;
const http2Preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

t.setTimeout(590_000);
const server = await startPlinth({ backend: 'memory' });
t.teardown(() => server.close());
t.comment(`BAD_INPUT_SEED=${seed}`);

function randomBytes(length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => random.integer(0, 255)));
}

/** Well-formed fields with numbers and wire types at random: they parse, but are of the wrong type for what they stand. */
function wrongFields(): Buffer {
  const parts: Buffer[] = [];
  for (let count = random.integer(1, 5); count > 0; count--) {
    const number = random.integer(1, 15);
    const payload = [
      () => Buffer.from([(number << 3) | 0, random.integer(0, 127)]),
      () => Buffer.concat([Buffer.from([(number << 3) | 1]), randomBytes(8)]),
      () => Buffer.concat([Buffer.from([(number << 3) | 2, 3]), randomBytes(3)]),
      () => Buffer.concat([Buffer.from([(number << 3) | 5]), randomBytes(4)]),
      () => Buffer.from([(number << 3) | 3, (number << 3) | 4]),
    ];
    parts.push(random.pick(payload)());
  }
  return Buffer.concat(parts);
}

async function serves(t: Test, what: string): Promise<void> {
  const client = server.connect();
  const key = `alive/${random.integer(0, 9)}`;
  await client.call('KV/Put', { key, value: what });
  t.equal((await client.call('KV/Range', { key })).kvs[0]?.value, what, `serves after ${what}`);
  client.close();
  t.ok(server.child.running);
}

/** Sends bytes to a method; gives the status of the answer. Streams are half-closed after the request. */
async function send(client: RawClient, name: string, bytes: Buffer): Promise<Status> {
  const { path } = methodType(name);
  if (!streams.has(name)) {
    return client.raw(path, bytes, { timeoutMs: 10_000 }).then(
      () => ({ code: codes.OK, details: '' }),
      ({ code, details }: Status) => ({ code, details }),
    );
  }
  const stream = client.openRaw(path);
  stream.send({ bytes });
  if (endless.has(name)) {
    // Goes on, or was refused: nobody says which, so the client leaves.
    setTimeout(() => stream.cancel(), 20);
  } else stream.end();
  return stream.status;
}

/** Codes that blame the server or the connection instead of the request. */
const serversFault: number[] = [codes.UNAVAILABLE, codes.DEADLINE_EXCEEDED, codes.UNKNOWN, codes.DATA_LOSS];

/** What etcd, too, answers with UNKNOWN: the action of a Downgrade that is none. */
const etcdsUnknown = 'etcdserver: unknown method';

function blamesServer({ code, details }: Status): boolean {
  return serversFault.includes(code) && details !== etcdsUnknown;
}

/** Methods that would change what this test needs. */
const harmful = new Set(['Maintenance/Alarm', 'Cluster/MemberAdd', 'Cluster/MemberRemove', 'Cluster/MemberUpdate']);

await t.test('random bytes and wrong fields to every method', async (t) => {
  const client = server.connect();
  t.teardown(() => client.close());
  const rounds = 12;
  for (const name of methodNames()) {
    const seen: Status[] = [];
    for (let round = 0; round < rounds; round++) {
      const bytes = round % 2 && !harmful.has(name) ? wrongFields() : randomBytes(random.integer(1, 200));
      seen.push(await send(client, name, bytes));
    }
    const codesSeen = new Set(seen.map(({ code }) => code));
    t.strictSame(seen.filter(blamesServer), [], `${name}: ${[...codesSeen].join(' ')}`);
  }
  await serves(t, 'random bytes');
});

await t.test('messages that are too large', async (t) => {
  const client = server.connect();
  t.teardown(() => client.close());
  const bytes = Buffer.alloc(3 * 1024 * 1024);
  for (const name of ['KV/Put', 'KV/Range', 'Lease/LeaseGrant', 'Watch/Watch', 'Lease/LeaseKeepAlive']) {
    const stream = client.openRaw(methodType(name).path);
    stream.send({ bytes });
    t.strictSame(
      await stream.status,
      {
        code: codes.RESOURCE_EXHAUSTED,
        details: `grpc: received message larger than max (${bytes.length} vs. 2097152)`,
      },
      name,
    );
  }
  await serves(t, 'large messages');
});

await t.test('methods and services that do not exist', async (t) => {
  const client = server.connect();
  t.teardown(() => client.close());
  for (const path of [
    '/etcdserverpb.KV/Nope',
    '/nope/Nope',
    '/',
    '/x',
    '/etcdserverpb.KV/',
    `/${'x'.repeat(8_000)}/y`,
  ]) {
    await t.rejects(client.raw(path, randomBytes(10)), { code: codes.UNIMPLEMENTED }, path.slice(0, 40));
    const stream = client.openRaw(path);
    stream.send({ bytes: randomBytes(10) });
    t.equal((await stream.status).code, codes.UNIMPLEMENTED, `${path.slice(0, 40)} as a stream`);
  }
  await serves(t, 'unknown methods');
});

await t.test('requests without a message, and streams that are left', async (t) => {
  const client = server.connect();
  t.teardown(() => client.close());
  for (const name of ['KV/Range', 'KV/Put', 'KV/Txn', 'KV/RangeStream', 'Maintenance/Status']) {
    const { path } = methodType(name);
    const none = client.openRaw(path);
    none.end();
    t.not((await none.status).code, codes.OK, `${name} without a message`);
    const left = client.openRaw(path);
    left.cancel();
    t.equal((await left.status).code, codes.CANCELLED, `${name} left`);
  }
  for (let count = 0; count < 200; count++) {
    const stream = client.open('Watch/Watch');
    stream.send({ createRequest: { key: 'a', rangeEnd: '\0' } });
    if (count % 3 === 0) stream.end();
    if (count % 3 === 1) stream.cancel();
    if (count % 3 === 2) await stream.next();
    stream.cancel();
    await stream.status;
  }
  await serves(t, 'streams that are left');
});

/** Writes to a plain connection and gives what came back until it was closed, by whom or when. */
function converse(bytes: Buffer | string, until: 'closed' | number): Promise<{ answer: Buffer; closed: boolean }> {
  return new Promise((resolve, reject) => {
    const [host, port] = server.endpoint.split(':');
    const socket = net.connect(Number(port), host);
    const chunks: Buffer[] = [];
    const finish = (closed: boolean) => {
      socket.destroy();
      resolve({ answer: Buffer.concat(chunks), closed });
    };
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', () => finish(true));
    socket.on('close', () => finish(true));
    socket.on('connect', () => socket.write(bytes));
    if (typeof until === 'number') setTimeout(() => finish(false), until);
    else setTimeout(() => reject(new Error(`not closed after ${String(bytes).slice(0, 40)}`)), 60_000).unref();
  });
}

await t.test('garbage on a connection', async (t) => {
  const http1 = await converse('GET / SOMETHING\r\n\r\n', 'closed');
  t.match(http1.answer.toString(), /^HTTP\/1\.1 400 /, 'an HTTP/1 request that is none');
  const long = await converse(`GET /health HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(200_000)}\r\n\r\n`, 'closed');
  t.match(long.answer.toString(), /^HTTP\/1\.1 431 |^$/, 'headers without an end');
  for (let count = 0; count < 20; count++) {
    const bytes = randomBytes(random.integer(1, 2_000));
    const { answer } = await converse(Buffer.concat([bytes, Buffer.from('\r\n\r\n')]), 'closed');
    t.match(answer.toString('latin1'), /^(HTTP\/1\.1 4\d\d |$)/, 'random bytes');
  }
  for (let count = 0; count < 20; count++) {
    // The preface, then a frame head of a length and type that make no sense.
    const bytes = Buffer.concat([Buffer.from(http2Preface), randomBytes(random.integer(9, 400))]);
    await converse(bytes, 200);
  }
  const closed = await converse(Buffer.concat([Buffer.from(http2Preface), Buffer.alloc(100, 0xff)]), 'closed');
  t.ok(closed.closed, 'a frame larger than any is the end of the connection');
  for (const part of [1, 3, 10, 23]) await converse(http2Preface.slice(0, part), 50);
  await serves(t, 'garbage');
});

await t.test('connections that send nothing, or a byte at a time, take nobody else their turn', async (t) => {
  const [host, port] = server.endpoint.split(':');
  const silent = Array.from({ length: 200 }, () => net.connect(Number(port), host).on('error', () => {}));
  const slow = Array.from({ length: 50 }, () => net.connect(Number(port), host).on('error', () => {}));
  t.teardown(() => {
    for (const socket of [...silent, ...slow]) socket.destroy();
  });
  const requests = ['GET /health HTTP/1.1\r\nHost: x\r\n', http2Preface];
  for (let byte = 0; byte < 20; byte++) {
    for (const [index, socket] of slow.entries()) socket.write(requests[index % 2]![byte]!);
    await serves(t, `byte ${byte} of slow requests`);
  }
});

/** Resident memory of the server; undefined where the system does not tell. */
function residentBytes(running: Server): number | undefined {
  try {
    const status = fs.readFileSync(`/proc/${running.child.process.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
  } catch {
    return undefined;
  }
}

await t.test('memory does not grow', async (t) => {
  const client = server.connect();
  t.teardown(() => client.close());
  const names = methodNames().filter((name) => !harmful.has(name) && !endless.has(name));
  const round = async () => {
    for (let count = 0; count < 300; count++)
      await send(client, random.pick(names), randomBytes(random.integer(1, 5_000)));
    for (let count = 0; count < 10; count++) {
      await client.raw(methodType('KV/Put').path, Buffer.alloc(3_000_000)).catch(() => {});
      await converse(Buffer.concat([Buffer.from(http2Preface), randomBytes(1_000)]), 20);
    }
  };
  for (let count = 0; count < 3; count++) await round();
  const before = residentBytes(server);
  for (let count = 0; count < 9; count++) await round();
  const after = residentBytes(server);
  if (before === undefined || after === undefined) t.pass('no /proc here', { skip: 'no /proc here' });
  else t.ok(after - before < growthBytesMax, `${before} bytes after warming up, ${after} after three times as much`);
  await serves(t, 'all of it');
});
