/** The link that a replica makes: to whom, what it does when it cannot be made or is lost, and what it takes. */
import t, { type Test } from 'tap';
import type { ForwardAnswer } from '../../../src/mvcc/forwarder.ts';
import { Dialer, type DialerOptions } from '../../../src/peers/dialer.ts';
import {
  decodeHandshake,
  encodeHandshake,
  type Hello,
  helloFields,
  isProof,
  type Proof,
  proofFields,
  prove,
} from '../../../src/peers/handshake.ts';
import { linkPath } from '../../../src/peers/limits.ts';
import type { ServerStream } from '../../../src/transport/rpc.ts';
import { freePorts } from '../../support/process.ts';
import { TcpProxy } from '../../support/tcp-proxy.ts';
import { put } from '../mvcc/requests.ts';
import { gate, turns, until } from '../mvcc/storage.ts';
import { start } from '../transport/grpc-support.ts';
import { accepting, encodeFrame, here, messageBytesMax, secret, startAcceptor, there } from './support.ts';

interface Dialed {
  readonly dialer: Dialer;
  readonly pushed: (readonly [slot: number, id: string, data: string])[];
  readonly answered: (readonly [sequence: number, answer: ForwardAnswer])[];
  readonly warnings: string[];
  lost: number;
}

/** A dialer with the id `there` that wants `here`; closed when the test ends. */
function dial(t: Test, urls: readonly string[], options: Partial<DialerOptions> = {}): Dialed {
  const pushed: Dialed['pushed'] = [];
  const answered: Dialed['answered'] = [];
  const warnings: string[] = [];
  const dialer = new Dialer({
    from: there,
    to: here,
    urls,
    secret,
    entry: () => Buffer.from('entry'),
    onPush: (slot, id, data) => pushed.push([slot, id, Buffer.from(data).toString()]),
    onAnswer: (sequence, answer) => answered.push([sequence, answer]),
    onLost: () => dialed.lost++,
    warn: (message) => warnings.push(message),
    ...options,
  });
  const dialed: Dialed = { dialer, pushed, answered, warnings, lost: 0 };
  t.teardown(() => dialer.close());
  return dialed;
}

/** Accepts whoever comes; then the test goes on with the stream. */
function welcoming(then: (stream: ServerStream) => Promise<void>, bytesMax = messageBytesMax) {
  return accepting(async (stream) => {
    const hello = decodeHandshake<Hello>((await stream.read()) as Uint8Array, helloFields);
    const proof = prove(secret, 'acceptor', hello, 'nonce');
    stream.write(encodeHandshake({ nonce: 'nonce', proof, messageBytesMax: bytesMax }));
    await stream.read();
    await then(stream);
  });
}

const untilTheEnd = async (stream: ServerStream): Promise<void> => {
  while ((await stream.read()) !== undefined);
};

const request = (sequence: number, value = 'v') => ({ sequence, epoch: 1, command: put('k', value) });

t.test('linked with the other end as it is', async (t) => {
  const f = await startAcceptor(t);
  const d = dial(t, [`http://${f.url}/`]);
  t.equal(d.dialer.forward(request(1)), false, 'not before there is a link');
  await until('linked', () => d.dialer.linked && f.acceptor.followers === 1);
  t.equal(d.dialer.alive, true);
  t.strictSame(f.linked, [[there, 'entry']]);
  t.equal(d.dialer.forward(request(2)), true);
  t.equal(d.dialer.forward(request(3)), true);
  await until('answered', () => d.answered.length === 2);
  t.same(d.answered, [
    [2, { kind: 'again' }],
    [3, { kind: 'again' }],
  ]);
  t.same(f.performed, [
    [there, request(2)],
    [there, request(3)],
  ]);
  f.acceptor.push(5, 'id-5', Buffer.from('five'));
  await until('told', () => d.pushed.length === 1);
  t.strictSame(d.pushed, [[5, 'id-5', 'five']]);
  t.same(d.warnings, []);
  t.equal(d.lost, 0);
});

t.test('closed: the other end notices, and no link is made again', async (t) => {
  const proxied = await startAcceptor(t);
  const proxy = await TcpProxy.start(proxied.url);
  t.teardown(() => proxy.close());
  const d = dial(t, [`http://${proxy.endpoint}`]);
  await until('linked', () => proxied.acceptor.followers === 1);
  d.dialer.close();
  await until('both ends know', () => d.lost === 1 && proxied.acceptor.followers === 0);
  t.equal(d.dialer.forward(request(1)), false);
  t.equal(d.dialer.linked, false);
  // Longer than the first pause.
  await new Promise((resolve) => setTimeout(resolve, 300));
  t.equal(proxy.connections, 1);
  t.equal(d.lost, 1);
  t.same(d.warnings, []);
});

t.test('a link that is cut is made again, until it holds', async (t) => {
  const f = await startAcceptor(t);
  const proxy = await TcpProxy.start(f.url);
  t.teardown(() => proxy.close());
  const d = dial(t, [`http://${proxy.endpoint}`]);
  for (let lost = 1; lost <= 2; lost++) {
    await until('linked', () => d.dialer.linked);
    proxy.set('cut');
    await until('it is lost', () => d.lost === lost);
    t.equal(d.dialer.forward(request(1)), false);
    t.equal(d.dialer.alive, false);
    await until('and that is told once there is none', () => d.warnings.length === lost);
    proxy.set('pass');
  }
  await until('linked again', () => d.dialer.linked);
  t.equal(d.lost, 2);
  t.match(d.warnings, [/^no link to the replica at http:\/\/127\.0\.0\.1:\d+: /, /^no link/], 'once each time');
});

t.test('URLs are tried one after the other, whatever they are', async (t) => {
  const f = await startAcceptor(t);
  const [nobody] = (await freePorts(1)) as [number];
  const d = dial(t, [`http://127.0.0.1:${nobody}`, '', 'http://', 'nonsense', `http://${f.url}`]);
  await until('linked', () => d.dialer.linked);
  t.equal(d.warnings.length, 1, 'the first failure is told');
  t.match(d.warnings, [new RegExp(`no link to the replica at http://127.0.0.1:${nobody}: `)]);
});

t.test('an end that does not know the secret is told nothing', async (t) => {
  const received: Uint8Array[] = [];
  const tries = gate();
  let count = 0;
  const { url } = await start(t, {
    [linkPath]: accepting(async (stream) => {
      const hello = decodeHandshake<Hello>((await stream.read()) as Uint8Array, helloFields);
      const proofs = [
        prove(Buffer.alloc(32, 2), 'acceptor', hello, 'nonce'),
        prove(secret, 'dialer', hello, 'nonce'),
        prove(secret, 'acceptor', { ...hello, nonce: 'other' }, 'nonce'),
      ];
      const proof = proofs[count++];
      if (proof === undefined) return tries.open();
      stream.write(encodeHandshake({ nonce: 'nonce', proof, messageBytesMax }));
      stream.write(encodeFrame({ kind: 'push', payload: [1, 'id', Buffer.from('x')] }));
      for (let more = await stream.read(); more !== undefined; more = await stream.read()) received.push(more);
    }),
  });
  const d = dial(t, [`http://${url}`]);
  await tries.passed;
  t.same(received, [], 'neither its own proof nor its entry');
  t.same(d.pushed, [], 'nor believed');
  t.equal(d.lost, 0, 'there was no link that could be lost');
  t.match(d.warnings, [/it does not know the secret of this keyspace$/]);
  t.equal(d.warnings.length, 1, 'told once, however often it is tried');
});

t.test('what is no welcome is not taken for one', async (t) => {
  const answers = ['junk', '{}', '{"nonce":"n","proof":"ff"}', ' '.repeat(64 * 1024 + 1), ''];
  let count = 0;
  const over = gate();
  const { url } = await start(t, {
    [linkPath]: accepting(async (stream) => {
      await stream.read();
      const answer = answers[count++];
      if (answer === undefined) return over.open();
      stream.write(Buffer.from(answer));
      await untilTheEnd(stream);
    }),
  });
  const d = dial(t, [`http://${url}`]);
  await over.passed;
  t.equal(d.dialer.linked, false);
  t.match(d.warnings, [/not the handshake of a replica$/]);
});

t.test('a message of a megabyte is refused before the other end has proved itself, and taken then', async (t) => {
  const large = Buffer.alloc(1024 * 1024);
  const early = await start(t, {
    [linkPath]: accepting(async (stream) => {
      await stream.read();
      stream.write(large);
      await untilTheEnd(stream);
    }),
  });
  const refused = dial(t, [`http://${early.url}`]);
  await until('refused', () => refused.warnings.length > 0);
  t.match(refused.warnings, [/: a message of 1048576 bytes$/]);
  const late = await start(t, {
    [linkPath]: welcoming(async (stream) => {
      stream.write(encodeFrame({ kind: 'push', payload: [1, 'id', large] }));
      await untilTheEnd(stream);
    }),
  });
  const taken = dial(t, [`http://${late.url}`]);
  await until('taken', () => taken.pushed.length > 0);
  t.equal(taken.pushed[0]?.[2].length, large.length);
});

t.test('its proof is good for this link, and comes with its entry', async (t) => {
  let good: boolean | undefined;
  let entry: string | undefined;
  const { url } = await start(t, {
    [linkPath]: accepting(async (stream) => {
      const hello = decodeHandshake<Hello>((await stream.read()) as Uint8Array, helloFields);
      const welcome = { nonce: 'mine', proof: prove(secret, 'acceptor', hello, 'mine'), messageBytesMax };
      stream.write(encodeHandshake(welcome));
      const given = decodeHandshake<Proof>((await stream.read()) as Uint8Array, proofFields);
      good = isProof(prove(secret, 'dialer', hello, 'mine'), given.proof);
      entry = given.entry;
    }),
  });
  dial(t, [`http://${url}`], { entry: () => Buffer.from('{"name":"ü"}') });
  await until('it has come', () => entry !== undefined);
  t.equal(good, true);
  t.equal(entry, '{"name":"ü"}');
});

t.test('each problem of the other end is told by its own words', async (t) => {
  const another = await startAcceptor(t, { self: 'c'.repeat(16) });
  const starting = await startAcceptor(t, { secret: () => undefined });
  const foreign = await startAcceptor(t, { secret: () => Buffer.alloc(32, 2) });
  const noReplica = await start(t, {});
  for (const [{ url }, problem] of [
    [another, /another replica answers at this address/],
    [starting, /the replica is starting/],
    [foreign, /it does not know the secret of this keyspace/],
    [noReplica, /UNIMPLEMENTED/],
  ] as const) {
    const d = dial(t, [`http://${url}`]);
    await until('it is told', () => d.warnings.length > 0);
    t.match(d.warnings, [problem]);
    d.dialer.close();
  }
});

t.test('damaged messages end the link', async (t) => {
  let links = 0;
  const { url } = await start(t, {
    [linkPath]: welcoming(async (stream) => {
      links++;
      stream.write(encodeFrame({ kind: 'push', payload: [links, 'id', Buffer.from('good')] }));
      if (links === 1) stream.write(Buffer.from([0, 0, 0]));
      await untilTheEnd(stream);
    }),
  });
  const d = dial(t, [`http://${url}`]);
  await until('it has begun anew', () => d.pushed.length === 2);
  t.equal(d.lost, 1);
  t.strictSame(d.pushed, [
    [1, 'id', 'good'],
    [2, 'id', 'good'],
  ]);
});

t.test('requests are not asked from who is silent, and a link that stays silent is made anew', async (t) => {
  let links = 0;
  const { url } = await start(t, {
    [linkPath]: welcoming(async (stream) => {
      links++;
      await untilTheEnd(stream);
    }),
  });
  const d = dial(t, [`http://${url}`]);
  await until('linked', () => d.dialer.alive);
  await until('silent for too long', () => !d.dialer.alive);
  t.equal(d.dialer.linked, true, 'it may only be slow');
  await until('given up, and made again', () => links === 2);
  t.equal(d.lost, 1);
});

t.test('a request that the other end would not take is not sent', async (t) => {
  const received: Uint8Array[] = [];
  const { url } = await start(t, {
    [linkPath]: welcoming(async (stream) => {
      for (let more = await stream.read(); more !== undefined; more = await stream.read()) received.push(more);
    }, 1000),
  });
  const d = dial(t, [`http://${url}`]);
  await until('linked', () => d.dialer.linked);
  t.equal(d.dialer.forward(request(1, 'x'.repeat(1000))), false);
  t.equal(d.dialer.forward(request(2, 'x'.repeat(700))), true);
  t.equal(d.dialer.forward(request(3, 'x'.repeat(700))), true);
  await until('sent', () => received.length === 2);
  t.ok(
    received.every(({ length }) => length <= 1000),
    'and what is sent together is not larger either',
  );
});

t.test('so much may wait for the network, and no more', async (t) => {
  const reading = gate();
  let received = 0;
  const { url } = await start(
    t,
    {
      [linkPath]: welcoming(async (stream) => {
        await reading.passed;
        for (let more = await stream.read(); more !== undefined; more = await stream.read()) received++;
      }, 2 * messageBytesMax),
    },
    { receivedMessageBytesMax: 2 * messageBytesMax },
  );
  const d = dial(t, [`http://${url}`]);
  await until('linked', () => d.dialer.linked);
  const value = 'x'.repeat(messageBytesMax);
  let taken = 0;
  // 32 MiB, and what the windows and the sockets of both ends hold.
  while (taken < 64 && d.dialer.forward(request(taken, value))) {
    taken++;
    await turns(1);
  }
  t.ok(taken >= 32 && taken < 64, `${taken} MiB taken`);
  reading.open();
  await until('there is room again', () => d.dialer.forward(request(99)));
  await until('nothing of it was lost', () => received === taken + 1);
});
