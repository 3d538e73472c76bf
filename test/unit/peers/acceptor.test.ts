/** Who is let in, what linked replicas are told, and what happens to those that do not read. */
import t from 'tap';
import type { ForwardAnswer } from '../../../src/mvcc/forwarder.ts';
import { encodeHandshake, prove } from '../../../src/peers/handshake.ts';
import { linksMax } from '../../../src/peers/limits.ts';
import { Code } from '../../../src/transport/rpc.ts';
import { put } from '../mvcc/requests.ts';
import { turns, until } from '../mvcc/storage.ts';
import {
  Caller,
  encodeFrame,
  forwardFrame,
  helloOf,
  here,
  messageBytesMax,
  secret,
  startAcceptor,
  there,
} from './support.ts';

t.test('a replica that knows the secret is told of batches and has its writes made', async (t) => {
  const answer: ForwardAnswer = { kind: 'done', slot: 9, result: { kind: 'put', revision: 8, prevKv: undefined } };
  const asked: unknown[] = [];
  const f = await startAcceptor(t, {
    performer: (from) => (request, answered) => {
      asked.push([from, request]);
      answered(answer);
    },
  });
  const caller = new Caller(f);
  const { hello, welcome } = await caller.greet();
  t.equal(welcome.proof, prove(secret, 'acceptor', hello, welcome.nonce), 'it proves itself first');
  t.equal(welcome.messageBytesMax, messageBytesMax);
  t.equal(f.acceptor.followers, 0, 'nobody follows before they have proved themselves');
  caller.send(encodeHandshake({ proof: prove(secret, 'dialer', hello, welcome.nonce), entry: '{"name":"x"}' }));
  t.equal((await caller.next())?.length, 0, 'a sign of life');
  t.strictSame(f.linked, [[there, '{"name":"x"}']]);
  t.equal(f.acceptor.followers, 1);

  f.acceptor.push(7, 'id-7', Buffer.from('data'));
  t.same(await caller.nextFrames(), [{ kind: 'push', payload: [7, 'id-7', Buffer.from('data')] }]);
  const request = { sequence: 3, epoch: 2, command: put('k', 'v') };
  caller.send(forwardFrame(request));
  t.same(await caller.nextFrames(), [{ kind: 'answer', payload: [3, answer] }]);
  t.same(asked, [[there, request]]);

  caller.stream.cancel();
  await until('it has noticed', () => f.acceptor.followers === 0);
  f.acceptor.push(8, 'id-8', Buffer.from('data'));
  t.equal(f.acceptor.dropped, 0, 'nobody is there who could miss it');
  t.same(f.internalErrors, []);
});

t.test('several requests of one message are each answered, with what came between', async (t) => {
  const f = await startAcceptor(t);
  const caller = await Caller.linked(f);
  const requests = [1, 2, 3].map((sequence) => ({ sequence, epoch: 1, command: put('k', `${sequence}`) }));
  caller.send(
    Buffer.concat([...requests.map(forwardFrame), encodeFrame({ kind: 'answer', payload: [9, { kind: 'again' }] })]),
  );
  const answered: unknown[] = [];
  while (answered.length < 3) answered.push(...(await caller.nextFrames()).map(({ payload }) => payload));
  t.same(answered, [
    [1, { kind: 'again' }],
    [2, { kind: 'again' }],
    [3, { kind: 'again' }],
  ]);
  t.equal(f.performed.length, 3);
});

t.test('who cannot prove to know the secret gets nothing', async (t) => {
  const f = await startAcceptor(t);
  const good = new Caller(f);
  const recorded = await good.greet();
  const proof = prove(secret, 'dialer', recorded.hello, recorded.welcome.nonce);
  good.send(encodeHandshake({ proof, entry: 'entry' }));
  await good.next();

  const attempts: Record<string, (caller: Caller) => Promise<string>> = {
    'another secret, as of another keyspace': async (caller) => {
      const { hello, welcome } = await caller.greet();
      return prove(Buffer.alloc(32, 2), 'dialer', hello, welcome.nonce);
    },
    'the proof of another link': async (caller) => {
      const { welcome } = await caller.greet(recorded.hello);
      t.not(welcome.nonce, recorded.welcome.nonce, 'each link has a nonce of its own');
      return proof;
    },
    'the proof of the acceptor itself': async (caller) => (await caller.greet()).welcome.proof,
    'for another replica than it says it is': async (caller) => {
      const { hello, welcome } = await caller.greet({ from: 'c'.repeat(16) });
      return prove(secret, 'dialer', { ...hello, from: there }, welcome.nonce);
    },
    'an empty one': async (caller) => {
      await caller.greet();
      return '';
    },
  };
  for (const [what, attempt] of Object.entries(attempts)) {
    const caller = new Caller(f);
    caller.send(encodeHandshake({ proof: await attempt(caller), entry: 'entry' }));
    caller.send(forwardFrame({ sequence: 1, epoch: 1, command: put('k', 'v') }));
    const details = 'plinth: this replica does not know the secret of the keyspace';
    t.same(await caller.status, { code: Code.UNAUTHENTICATED, details }, what);
    t.equal(await caller.next(), undefined, 'and was told nothing');
  }
  t.same(f.performed, []);
  t.equal(f.linked.length, 1);
  t.equal(f.acceptor.followers, 1);
});

t.test('a request in place of the proof is not read', async (t) => {
  const f = await startAcceptor(t);
  const caller = new Caller(f);
  await caller.greet();
  caller.send(forwardFrame({ sequence: 1, epoch: 1, command: put('k', 'v') }));
  t.match(await caller.status, { code: Code.INVALID_ARGUMENT, details: /not the handshake of a replica/ });
  t.same(f.performed, []);
});

t.test('each hello that is no good has its answer', async (t) => {
  const f = await startAcceptor(t);
  const hello = helloOf();
  const wrong: (readonly [message: Buffer, code: number, details: RegExp])[] = [
    [Buffer.alloc(0), Code.INVALID_ARGUMENT, /^plinth: not the handshake of a replica$/],
    [Buffer.from('junk'), Code.INVALID_ARGUMENT, /^plinth: not the handshake of a replica$/],
    [Buffer.alloc(64 * 1024 + 1, 0x20), Code.INVALID_ARGUMENT, /too long/],
    [Buffer.alloc(messageBytesMax + 1), Code.RESOURCE_EXHAUSTED, /larger than max/],
    [encodeHandshake({ proof: 'ff', entry: '' }), Code.INVALID_ARGUMENT, /no protocol/],
    [encodeHandshake({ ...hello, protocol: 1 }), Code.FAILED_PRECONDITION, /protocol 1, this is 3/],
    [encodeHandshake({ ...hello, to: there }), Code.FAILED_PRECONDITION, /another replica answers at this address/],
    [encodeHandshake({ ...hello, from: '' }), Code.FAILED_PRECONDITION, /not the id of a replica/],
    [encodeHandshake({ ...hello, from: `${there}0` }), Code.FAILED_PRECONDITION, /not the id of a replica/],
    [encodeHandshake({ ...hello, from: here.toUpperCase() }), Code.FAILED_PRECONDITION, /not the id of a replica/],
  ];
  for (const [message, code, details] of wrong) {
    const caller = new Caller(f);
    caller.send(message);
    t.match(await caller.status, { code, details }, message.subarray(0, 100).toString());
  }
  t.equal(f.acceptor.followers, 0);
});

t.test('a replica that does not know the secret yet itself', async (t) => {
  let known: Uint8Array | undefined;
  const f = await startAcceptor(t, { secret: () => known });
  const early = new Caller(f);
  early.send(encodeHandshake(helloOf()));
  t.same(await early.status, { code: Code.UNAVAILABLE, details: 'plinth: the replica is starting' });
  known = secret;
  await Caller.linked(f);
  t.equal(f.acceptor.followers, 1);
});

t.test('a handshake that is not finished', async (t) => {
  const f = await startAcceptor(t);
  const unfinished = { code: Code.FAILED_PRECONDITION, details: 'plinth: no link: the handshake was not finished' };
  const closed = new Caller(f);
  closed.stream.end();
  t.same(await closed.status, unfinished, 'no hello');
  const closedLater = new Caller(f);
  await closedLater.greet();
  closedLater.stream.end();
  t.same(await closedLater.status, unfinished, 'no proof');
  // These two just wait.
  const [silent, silentLater] = [new Caller(f), new Caller(f)];
  await silentLater.greet();
  t.same(await Promise.all([silent.status, silentLater.status]), [unfinished, unfinished], 'it is not waited for long');
  const gone = new Caller(f);
  await gone.greet();
  gone.stream.cancel();
  await until('it is over', () => f.server.activeCalls === 0);
  t.same(f.internalErrors, []);
  t.same(f.linked, []);
});

t.test('a damaged message ends the link, and only that', async (t) => {
  const f = await startAcceptor(t);
  const [bad, good] = [await Caller.linked(f), await Caller.linked(f, 'c'.repeat(16))];
  bad.send(Buffer.concat([forwardFrame({ sequence: 1, epoch: 1, command: put('k') }), Buffer.from([9, 0, 0])]));
  t.match(await bad.status, { code: Code.INVALID_ARGUMENT, details: 'plinth: a damaged message between replicas' });
  t.same(f.performed, [], 'nothing of it is executed');
  t.equal(f.acceptor.followers, 1);
  f.acceptor.push(1, 'id', Buffer.from('x'));
  t.match(await good.nextFrames(), [{ kind: 'push' }]);
});

t.test('so many links and no more', async (t) => {
  const f = await startAcceptor(t);
  const callers: Caller[] = [];
  for (let i = 0; i < linksMax; i++) callers.push(await Caller.linked(f, i.toString(16).padStart(16, '0')));
  t.equal(f.acceptor.followers, linksMax);
  const one = new Caller(f);
  t.same(await one.status, { code: Code.RESOURCE_EXHAUSTED, details: `more than ${linksMax} links` });
  callers[0]?.stream.cancel();
  await until('there is room', () => f.acceptor.followers < linksMax);
  await Caller.linked(f);
  t.equal(f.acceptor.followers, linksMax);
});

t.test('who does not read misses batches, and gets every answer', async (t) => {
  const answers = 20;
  const data = Buffer.alloc(256 * 1024, 7);
  const f = await startAcceptor(t, {
    performer: () => (_request, answer) => {
      answer({ kind: 'done', slot: 1, result: { kind: 'put', revision: 1, prevKv: data } });
    },
  });
  const [slow, quick] = [await Caller.linked(f), await Caller.linked(f, 'c'.repeat(16))];
  slow.stream.pause();
  let slot = 0;
  await until('it is behind', () => {
    f.acceptor.push(++slot, 'id', data);
    return f.acceptor.dropped > 0;
  });
  for (let sequence = 1; sequence <= answers; sequence++) {
    slow.send(forwardFrame({ sequence, epoch: 1, command: put('k', 'v') }));
  }
  const [first] = await quick.nextFrames();
  t.match(first, { kind: 'push', payload: [1] }, 'others do not wait for it');
  await turns();
  slow.stream.resume();
  const answered: number[] = [];
  const pushed: number[] = [];
  while (answered.length < answers) {
    for (const { kind, payload } of await slow.nextFrames()) {
      if (kind === 'answer') answered.push(payload[0]);
      if (kind === 'push') pushed.push(payload[0]);
    }
  }
  t.strictSame(
    answered,
    Array.from({ length: answers }, (_, i) => i + 1),
  );
  t.ok(pushed.length < slot, `${pushed.length} of ${slot} batches`);
  f.acceptor.push(++slot, 'id', data);
  t.match(await slow.nextFrames(), [{ kind: 'push', payload: [slot] }], 'and is told again');
});

t.test('who leaves too many answers unread is told nothing more', async (t) => {
  const data = Buffer.alloc(1024 * 1024, 7);
  const f = await startAcceptor(t, {
    performer: () => (_request, answer) => {
      answer({ kind: 'done', slot: 1, result: { kind: 'put', revision: 1, prevKv: data } });
    },
  });
  const slow = await Caller.linked(f);
  slow.stream.pause();
  let sequence = 0;
  await until('it is given up', () => {
    if (sequence < 128) slow.send(forwardFrame({ sequence: ++sequence, epoch: 1, command: put('k', 'v') }));
    return f.acceptor.followers === 0;
  });
  t.ok(sequence > 60, `after ${sequence} MiB`);
  slow.stream.resume();
  slow.send(forwardFrame({ sequence: ++sequence, epoch: 1, command: put('k', 'v') }));
  t.match(await slow.status, { code: Code.OK }, 'the next request finds the link at its end');
});
