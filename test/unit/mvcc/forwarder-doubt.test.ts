/** Answers that never come: what became of the request is read from the log. Never made twice, never lost when acknowledged. */
import t, { type Test } from 'tap';
import { Compactor } from '../../../src/mvcc/compactor.ts';
import { StoreError, StoreUnavailable } from '../../../src/mvcc/errors.ts';
import { BackendError } from '../../../src/registry/log.ts';
import { Random } from '../../support/random.ts';
import { type Ask, cluster, cut, failure, type Node, textOf, warm, writerAndOther, written } from './forwarding.ts';
import { deleteRange, put, range, txn, versionIs } from './requests.ts';
import { turns, until } from './storage.ts';

t.setTimeout(120_000);

/** Requests reach the writer, and are carried out when the test says so; their answers are lost. */
function hold({ wire }: Node): Ask[] {
  const held: Ask[] = [];
  wire.deliver = (ask) => held.push(ask);
  return held;
}

/** Requests are carried out, and their answers are lost. Resolves once so many are done. */
function loseAnswers({ wire }: Node): (count: number) => Promise<void> {
  let done = 0;
  wire.deliver = (ask) => void ask().then(() => done++);
  return (count) => until(`${count} are done`, () => done >= count);
}

const changes = async (node: Node): Promise<string[]> => (await written(node)).filter((text) => /[=-]/.test(text));

t.test('the link is lost before the writer had the request', async (t) => {
  const { writer, other } = await writerAndOther(t);
  const held = hold(other);
  const write = other.forwarder.execute(put('k', 'v', { prevKv: true }));
  await until('it is sent', () => held.length === 1);
  cut(other, writer);
  t.match(await write, { kind: 'put', revision: 3, prevKv: undefined });
  t.same(await held[0]?.(), { kind: 'epochOver' }, 'it arrives all the same, too late');
  t.strictSame(await written(other), ['warm=1@2', 'epoch b 1', 'epoch b 2', 'k=v@3']);
  t.equal(other.forwarder.counts.doubted, 1);
});

t.test('the link is lost after the writer had committed', async (t) => {
  const { writer, other } = await writerAndOther(t);
  await other.forwarder.execute(put('k', 'old'));
  const done = loseAnswers(other);
  const write = other.forwarder.execute(put('k', 'new', { prevKv: true }));
  await done(1);
  // What others do meanwhile is not in the answer.
  await writer.forwarder.execute(put('k', 'newer'));
  await writer.forwarder.execute(deleteRange('k'));
  cut(other, writer);
  const { revision, prevKv } = await write;
  t.equal(revision, 4);
  t.equal(textOf(prevKv), 'k=old@3');
  t.strictSame(await changes(other), ['warm=1@2', 'k=old@3', 'k=new@4', 'k=newer@5', '-k@6']);
});

t.test('the log told of it already when the link is lost', async (t) => {
  const { writer, other } = await writerAndOther(t);
  const done = loseAnswers(other);
  const write = other.forwarder.execute(put('k', 'v'));
  await done(1);
  await other.replica.catchUp();
  cut(other, writer);
  t.match(await write, { revision: 3 });
  t.strictSame(await changes(other), ['warm=1@2', 'k=v@3']);
});

t.test('the link is lost while the writer commits: whichever has the slot', async (t) => {
  for (const first of ['writer', 'other'] as const) {
    await t.test(`the ${first} has it`, async (t) => {
      const { writer, other } = await writerAndOther(t);
      await other.forwarder.execute(put('k', '0'));
      const answers: unknown[] = [];
      other.wire.deliver = (ask) => void ask().then((answer) => answers.push(answer));
      let write: Promise<unknown> | undefined;
      writer.storage.on.log.append = async (call, after, id, data) => {
        delete writer.storage.on.log.append;
        const outcome = first === 'writer' ? await call(after, id, data) : undefined;
        cut(other, writer);
        await until('it has gone on without the writer', () => other.replica.state.epochs.get(idOf(other)) === 2);
        if (first === 'other') await write;
        return outcome ?? (await call(after, id, data));
      };
      write = other.forwarder.execute(put('k', '1', { prevKv: true }));
      t.match(await write, { revision: 4 });
      await until('the writer has answered', () => answers.length === 1);
      t.match(answers, [first === 'writer' ? { kind: 'done', slot: 4 } : { kind: 'epochOver' }]);
      t.strictSame(await changes(other), ['warm=1@2', 'k=0@3', 'k=1@4']);
    });
  }
});

t.test('the writer cannot tell what became of its append', async (t) => {
  for (const stored of [true, false]) {
    await t.test(stored ? 'it was stored' : 'it was not stored', async (t) => {
      const { writer, other } = await writerAndOther(t);
      await other.forwarder.execute(put('k', '0'));
      let tries = 0;
      writer.storage.on.log.append = async (call, after, id, data) => {
        if (++tries === 1) {
          if (stored) await call(after, id, data);
          // It stops, so it does not find out, and soon nobody can ask it.
          void writer.committer.close();
          setImmediate(() => other.wire.down.add(writer.id));
        }
        throw new BackendError('unknown', 'connection lost');
      };
      t.match(await other.forwarder.execute(put('k', '1', { prevKv: true })), { revision: 4 });
      t.strictSame(await changes(other), ['warm=1@2', 'k=0@3', 'k=1@4']);
      t.equal(other.forwarder.counts.doubted, 1);
    });
  }
});

t.test('each kind of write is answered from the log as the writer would have', async (t) => {
  const { writer, other } = await writerAndOther(t);
  await writer.forwarder.execute({ kind: 'leaseGrant', id: 5n, ttlSeconds: 100 });
  await writer.forwarder.execute(put('a', '1')); // 3
  await writer.forwarder.execute(put('b', '1', { lease: 5n })); // 4
  await other.replica.catchUp();
  const done = loseAnswers(other);
  const e = other.forwarder.execute.bind(other.forwarder);
  const nested = txn([versionIs('a', 1)], [range('a'), put('a', '2'), range('', '\0'), deleteRange('b', '', true)]);
  const answers = [
    e({ kind: 'leaseGrant', id: 7n, ttlSeconds: 100 }),
    e(txn([], [nested, range('a'), put('c', '1', { lease: 7n })])), // 5
    e(nested), // 6: takes the other branch, which is empty
    e(deleteRange('a', 'b', true)), // 6
    e(put('c', '', { ignoreValue: true, ignoreLease: true, prevKv: true })), // 7
    e({ kind: 'leaseRevoke', id: 7n }), // 8
    e({ kind: 'leaseRevoke', id: 5n }),
    e({ kind: 'alarm', memberId: 1n, alarm: 1, active: true }),
    e(deleteRange('nothing')),
  ] as const;
  await done(answers.length);
  cut(other, writer);
  const [grant, deep, none, deleted, kept, revoked, revokedEmpty, alarm, nothing] = await Promise.all(answers);
  t.strictSame([grant, revoked, revokedEmpty, alarm], [undefined, undefined, undefined, undefined]);
  t.match(deep, {
    kind: 'txn',
    succeeded: true,
    revision: 5,
    responses: [{ kind: 'txn' }, { count: 1 }, { revision: 5 }],
  });
  const [inner, after] = deep.responses as unknown as [
    { responses: { kvs: Uint8Array[]; prevKvs: Uint8Array[] }[] },
    { kvs: Uint8Array[] },
  ];
  t.strictSame(inner.responses[0]?.kvs.map(textOf), ['a=1@3'], 'as it was before');
  t.strictSame(inner.responses[2]?.kvs.map(textOf), ['a=2@5', 'b=1@4', 'warm=1@2'], 'with what it did itself');
  t.strictSame(inner.responses[3]?.prevKvs.map(textOf), ['b=1@4']);
  t.strictSame(after.kvs.map(textOf), ['a=2@5']);
  t.match(none, { succeeded: false, responses: [] }, 'it left no trace, and was made again');
  t.match(deleted, { deleted: 1, revision: 6 });
  t.strictSame(deleted.prevKvs.map(textOf), ['a=2@5']);
  t.match(kept, { revision: 7 });
  t.equal(textOf(kept.prevKv), 'c=1@5');
  t.match(nothing, { deleted: 0 });
  const log = 'warm=1@2 a=1@3 b=1@4 a=2@5 -b@5 c=1@5 -a@6 c=1@7 -c@8';
  t.equal((await changes(other)).join(' '), log);
});

t.test('the link is lost while the epoch is begun through it', async (t) => {
  const { writer, other } = await writerAndOther(t);
  for (const committed of [false, true]) {
    other.wire.down.clear();
    await writer.forwarder.execute(put('w', 'x'));
    await warm(writer, other);
    let asked = 0;
    other.wire.deliverEpoch = (ask) => {
      asked++;
      void (committed ? ask() : Promise.resolve()).then(() => cut(other, writer));
    };
    // Each begins an epoch first: the clock stands still, so it must not need the time limit of anybody.
    const before = other.replica.state.epochs.get(idOf(other)) ?? 0;
    other.wire.deliver = (_ask, { sequence }) => {
      setImmediate(() => other.forwarder.answered(sequence, { kind: 'epochOver' }));
    };
    const { revision } = await other.forwarder.execute(put('k', `${committed}`));
    t.equal(revision, other.replica.state.revision);
    t.equal(asked, 1);
    t.ok((other.replica.state.epochs.get(idOf(other)) ?? 0) > before);
  }
  t.strictSame(
    (await changes(other)).filter((text) => text.startsWith('k=')).map((text) => text.split('@')[0]),
    ['k=false', 'k=true'],
  );
});

t.test('the epoch is begun through a third one, which is lost as well', async (t) => {
  const { nodes } = await cluster(t, 3);
  const [a, b, c] = nodes as [Node, Node, Node];
  await warm(a, b, c);
  const done = loseAnswers(b);
  const write = b.forwarder.execute(put('k', 'v'));
  await done(1);
  c.wire.down.add(a.id);
  await c.forwarder.execute(put('c', '1'));
  await b.replica.catchUp();
  b.wire.deliverEpoch = (_ask, _request, to) => {
    t.equal(to, c.id);
    setImmediate(() => cut(b, c));
  };
  cut(b, a);
  t.match(await write, { revision: 3 });
  t.strictSame(await changes(b), ['warm=1@2', 'k=v@3', 'c=1@4']);
});

t.test('the database fails while it is found out: nobody is told that nothing was written', async (t) => {
  const { writer, other } = await writerAndOther(t);
  const done = loseAnswers(other);
  const write = failure(other.forwarder.execute(put('k', 'v')));
  await done(1);
  other.storage.on.log.append = () => Promise.reject(new BackendError('failed', 'disk full'));
  cut(other, writer);
  const error = await write;
  t.ok(error instanceof StoreUnavailable && error.unknown, String(error));
  t.match(error, { message: 'disk full' });
  delete other.storage.on.log.append;
  t.strictSame(await changes(other), ['warm=1@2', 'k=v@3']);
  t.match(await other.forwarder.execute(put('k', 'w')), { revision: 4 }, 'and it goes on');
});

t.test('the answer needs a value that the database does not give', async (t) => {
  const { writer, other } = await writerAndOther(t);
  await other.forwarder.execute(put('k', 'x'.repeat(2 * 1024 * 1024)));
  const done = loseAnswers(other);
  const write = failure(other.forwarder.execute(put('k', 'v', { prevKv: true })));
  await done(1);
  await writer.forwarder.execute(put('k', 'y'.repeat(2 * 1024 * 1024)));
  other.storage.on.log.load = () => Promise.reject(new BackendError('failed', 'cannot read'));
  cut(other, writer);
  const error = await write;
  t.ok(error instanceof StoreUnavailable && error.unknown && error.message === 'cannot read', String(error));
});

t.test('what it found there is compacted by now', async (t) => {
  const { writer, other } = await writerAndOther(t);
  await writer.forwarder.execute(put('k', '1')); // 3
  await other.replica.catchUp();
  const done = loseAnswers(other);
  const writes = [
    other.forwarder.execute(put('k', '2', { prevKv: true })), // 4
    other.forwarder.execute(txn([], [put('k', '3'), range('k', '', { revision: 3 })])), // 5
    other.forwarder.execute(txn([], [put('k', '4'), range('k', '', { revision: 4 })])), // 6
    other.forwarder.execute(txn([], [put('k', '5'), range('k', '', { revision: 5 })])), // 7
    other.forwarder.execute(put('k', '6')), // 8
  ];
  await done(5);
  await writer.forwarder.execute({ kind: 'compact', revision: 5 });
  cut(other, writer);
  const [first, second, third, fourth, fifth] = await Promise.all(writes.map(failure));
  for (const [what, error] of Object.entries({ first, second, third })) {
    t.ok(error instanceof StoreUnavailable && error.unknown, `${what}: ${String(error)}`);
    t.match(error, { message: /the write was made, but what it found there is compacted by now/ });
  }
  t.match(fourth, { resolved: { revision: 7 } }, 'that is still there');
  t.match(fifth, { resolved: { revision: 8 } });
  t.strictSame(await changes(other), ['warm=1@2', 'k=1@3', 'k=2@4', 'k=3@5', 'k=4@6', 'k=5@7', 'k=6@8']);
});

t.test('the log is truncated past what may hold the request', async (t) => {
  const { writer, other } = await writerAndOther(t);
  const done = loseAnswers(other);
  const write = failure(other.forwarder.execute(put('k', 'v')));
  await done(1);
  await writer.forwarder.execute(put('k', 'w')); // 4
  await writer.forwarder.execute({ kind: 'compact', revision: 4 });
  const compactor = new Compactor(writer.replica, { compacted() {}, warn() {} }, () => 0, fail);
  await compactor.wake();
  await compactor.close();
  t.ok((await writer.storage.log.read(0, { batches: 9, bytes: 1e6 }))[0]?.slot !== 1, 'it is truncated');
  cut(other, writer);
  const error = await write;
  t.ok(error instanceof StoreUnavailable && error.unknown, String(error));
  t.match(error, { message: /the outcome of the write is unknown: the log was truncated meanwhile/ });
  t.match(await other.forwarder.execute(put('k', 'x')), { revision: 5 }, 'and it goes on');
});

t.test('whatever the network does: nothing is made twice, and nothing acknowledged is lost', async (t) => {
  const total = { acknowledged: 0, forwarded: 0, doubted: 0 };
  for (let seed = 1; seed <= 8; seed++) {
    const { acknowledged, nodes } = await chaos(t, seed);
    total.acknowledged += acknowledged;
    for (const { forwarder } of nodes) {
      total.forwarded += forwarder.counts.forwarded;
      total.doubted += forwarder.counts.doubted;
    }
  }
  const { acknowledged, forwarded, doubted } = total;
  t.ok(acknowledged > 800 && forwarded > 80 && doubted > 8, `it was a test: ${JSON.stringify(total)}`);
});

/** Three replicas, all write, and requests and answers are late, lost or doubled; links come and go. */
async function chaos(t: Test, seed: number): Promise<{ acknowledged: number; nodes: readonly Node[] }> {
  const random = new Random(seed);
  const { nodes, clock } = await cluster(t, 3);
  for (const node of nodes) disturb(random, nodes, node);
  let running = true;
  const time = (async () => {
    while (running) {
      clock.now += random.integer(0, 3);
      for (const { wire } of nodes) if (random.chance(0.3)) wire.down.clear();
      // The tail, as it is followed.
      for (const { replica } of nodes) if (random.chance(0.5)) await replica.catchUp();
      await turns(1);
    }
  })();
  const acknowledged: string[] = [];
  const refused: unknown[] = [];
  const clients = nodes.flatMap((node, n) =>
    [0, 1, 2].map(async (client) => {
      for (let i = 0; i < 25; i++) {
        const key = `${n}/${client}/${i}`;
        try {
          const { revision, prevKv } = await node.forwarder.execute(put(key, 'v', { prevKv: true }));
          acknowledged.push(`${key}=v@${revision}`);
          if (prevKv !== undefined) t.fail(`seed ${seed}: ${key} was there before it was made`);
        } catch (error) {
          refused.push(error);
        }
      }
    }),
  );
  await Promise.all(clients);
  running = false;
  await time;
  const log = await changes(nodes[0] as Node);
  const keys = log.map((text) => text.split('=')[0]);
  t.equal(new Set(keys).size, keys.length, `seed ${seed}: nothing is made twice`);
  const lost = acknowledged.filter((text) => !log.includes(text));
  t.strictSame(lost, [], `seed ${seed}: nothing acknowledged is lost or elsewhere`);
  const odd = refused.filter((error) => !(error instanceof StoreError && error.reason === 'Timeout'));
  t.strictSame(odd, [], `seed ${seed}: ${acknowledged.length} acknowledged, ${refused.length} timed out`);
  for (const { forwarder } of nodes) t.equal(forwarder.pending, 0);
  return { acknowledged: acknowledged.length, nodes };
}

/** What is asked of others by this one meets a bad network. */
function disturb(random: Random, nodes: readonly Node[], self: Node): void {
  const { forwarder, wire } = self;
  const deliver: Node['wire']['deliver'] = (ask, { sequence }, to) => {
    const late = async () => await turns(random.integer(0, 20));
    const answer = async () => {
      await late();
      const told = await ask();
      await late();
      if (random.chance(0.95)) forwarder.answered(sequence, told);
      if (random.chance(0.1)) forwarder.answered(sequence, told);
    };
    if (random.chance(0.97)) void answer();
    if (random.chance(0.05)) {
      const node = nodes.find(({ id }) => id === to) as Node;
      void late().then(() => cut(self, node));
    }
  };
  wire.deliver = deliver;
  wire.deliverEpoch = deliver;
}

const idOf = ({ id }: Node): bigint => BigInt(`0x${id}`);

function fail(error: unknown): never {
  throw error;
}
