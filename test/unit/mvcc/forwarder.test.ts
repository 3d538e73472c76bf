/** Where a write is made, and what becomes of it when the other replica answers, refuses, goes away or is slow. */
import t from 'tap';
import { queueRequestsMax, requestTimeoutMs } from '../../../src/mvcc/committer.ts';
import { epochsMax } from '../../../src/mvcc/epochs.ts';
import { StoreError } from '../../../src/mvcc/errors.ts';
import type { ForwardAnswer } from '../../../src/mvcc/forwarder.ts';
import { type AppendOutcome, BackendError } from '../../../src/registry/log.ts';
import { type Ask, cluster, cut, failure, type Node, textOf, warm, writerAndOther, written } from './forwarding.ts';
import { deleteRange, put, range, txn, versionIs } from './requests.ts';
import { gate, turns, until } from './storage.ts';

t.setTimeout(120_000);

t.test('without a writer a replica writes itself', async (t) => {
  const { clock, nodes } = await cluster(t, 2);
  const [a, b] = nodes as [Node, Node];
  t.equal(b.forwarder.yields(), false, 'nobody has written yet');
  await b.forwarder.execute(put('k', '1'));
  t.equal(b.forwarder.yields(), false, 'it is the writer');
  await a.replica.catchUp();
  t.equal(a.forwarder.yields(), true);
  clock.now += 10_001;
  t.equal(a.forwarder.yields(), false, 'the writer has been idle');
  t.equal(a.forwarder.leavesToOthers(), true, 'but can still be reached');
  await a.forwarder.execute(put('k', '2'));
  await b.replica.catchUp();
  b.wire.down.add(a.id);
  t.equal(b.forwarder.yields(), false, 'it cannot be reached');
  t.equal(b.forwarder.leavesToOthers(), false);
  await b.forwarder.execute(put('k', '3'));
  t.strictSame(await written(a), ['k=1@2', 'k=2@3', 'k=3@4']);
  t.strictSame([...a.wire.sent, ...b.wire.sent], []);
});

t.test('each kind of write is made by the writer, and answered as if it were made here', async (t) => {
  const { writer, other } = await writerAndOther(t);
  const { execute } = { execute: other.forwarder.execute.bind(other.forwarder) };
  t.same(await execute(put('k', '1')), { kind: 'put', revision: 3, prevKv: undefined });
  const { revision, prevKv } = await execute(put('k', '2', { prevKv: true }));
  t.strictSame([revision, textOf(prevKv)], [4, 'k=1@3']);
  const swap = txn([versionIs('k', 2)], [put('k', '3'), range('k'), deleteRange('warm', '', true)], [range('k')]);
  const swapped = await execute(swap);
  t.match(swapped, { succeeded: true, revision: 5, responses: [{}, { kind: 'range', count: 1 }, { deleted: 1 }] });
  const swappedAgain = await execute(swap);
  t.match(swappedAgain, { succeeded: false, revision: 5 });
  t.match(await execute(deleteRange('nothing')), { deleted: 0, revision: 5 });
  t.equal(await execute({ kind: 'leaseGrant', id: 7n, ttlSeconds: 100 }), undefined);
  await execute(put('leased', '1', { lease: 7n }));
  await execute({ kind: 'leaseRevoke', id: 7n });
  await execute({ kind: 'compact', revision: 5 });
  t.strictSame(await written(writer), [
    'warm=1@2',
    'epoch b 1',
    'forwarded b 2',
    'k=1@3',
    'forwarded b 3',
    'k=2@4',
    'forwarded b 4',
    'k=3@5',
    '-warm@5',
    'forwarded b 7',
    'leaseGrant',
    'forwarded b 8',
    'leased=1@6',
    'forwarded b 9',
    'leaseRevoke',
    '-leased@7',
    'forwarded b 10',
    'compact',
  ]);
  t.equal(other.replica.state.slot, writer.replica.state.slot, 'who reads here next finds it');
  t.same(other.forwarder.counts, { forwarded: 10, executed: 0, doubted: 0 });
  t.same(writer.forwarder.counts, { forwarded: 0, executed: 10, doubted: 0 });
  t.equal(other.forwarder.pending, 0);
});

t.test('many at once share one epoch, and go in few batches', async (t) => {
  const { writer, other } = await writerAndOther(t);
  const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => other.forwarder.execute(put(`k${i}`, 'v'))));
  t.strictSame(
    answers.map(({ revision }) => revision),
    Array.from({ length: 100 }, (_, i) => i + 3),
  );
  t.equal((await written(writer)).filter((text) => text.startsWith('epoch')).length, 1);
  t.ok(writer.replica.state.slot < 10);
});

t.test('what the other refuses is refused here', async (t) => {
  const { writer, other } = await writerAndOther(t);
  // What the refusal rests on was not known here.
  await writer.forwarder.execute({ kind: 'leaseGrant', id: 5n, ttlSeconds: 100 });
  const refused = [
    [put('k', 'v', { lease: 99n }), 'LeaseNotFound'],
    [put('none', 'v', { ignoreValue: true }), 'KeyNotFound'],
    [{ kind: 'leaseGrant', id: 5n, ttlSeconds: 5 }, 'LeaseExists'],
    [{ kind: 'compact', revision: 99 }, 'FutureRevision'],
    [txn([], [put('k', 'v'), put('k2', 'v', { lease: 99n })]), 'LeaseNotFound'],
  ] as const;
  for (const [command, reason] of refused) {
    t.strictSame(await failure(other.forwarder.execute(command)), new StoreError(reason), reason);
  }
  t.ok(other.replica.state.leases.get(5n), 'and it is known now why');
  t.strictSame(await written(writer), ['warm=1@2', 'leaseGrant', 'epoch b 1']);
  t.equal(other.forwarder.pending, 0);
});

t.test('what the link does not take is written here', async (t) => {
  const { other } = await writerAndOther(t);
  await other.forwarder.execute(put('k', '1'));
  other.wire.takes = false;
  await other.forwarder.execute(put('k', '2'));
  t.strictSame(await written(other), ['warm=1@2', 'epoch b 1', 'forwarded b 2', 'k=1@3', 'k=2@4']);
  t.equal(other.forwarder.counts.forwarded, 2);
});

t.test('and it stays here, although the writer has the next slot', async (t) => {
  const { writer, other } = await writerAndOther(t);
  other.wire.takes = false;
  let tries = 0;
  other.storage.on.log.append = async (call, after, id, data): Promise<AppendOutcome> => {
    if (++tries <= 3) await writer.forwarder.execute(put('busy', `${tries}`));
    return await call(after, id, data);
  };
  t.match(await other.forwarder.execute(put('k', '1')), { revision: 6 });
  t.equal(other.wire.sent.length, 0);
});

t.test('who loses a slot to a writer that can be reached asks it', async (t) => {
  const { clock, nodes } = await cluster(t, 2);
  const [a, b] = nodes as [Node, Node];
  await warm(a, b);
  clock.now += 10_001;
  b.storage.on.log.append = async (call, after, id, data) => {
    delete b.storage.on.log.append;
    await a.forwarder.execute(put('a', '1'));
    return await call(after, id, data);
  };
  const answers = await Promise.all([b.forwarder.execute(put('b', '1')), b.forwarder.execute(put('b', '2'))]);
  t.strictSame(
    answers.map(({ revision }) => revision),
    [4, 5],
  );
  t.equal(b.forwarder.counts.forwarded, 3);
});

t.test('a writer whose database fails is not asked for a while; one that cannot know is not believed', async (t) => {
  const { clock, writer, other } = await writerAndOther(t);
  const takeOver = async () => {
    await writer.replica.catchUp();
    writer.wire.down.add(other.id);
    await warm(writer, other);
    writer.wire.down.delete(other.id);
  };
  await other.forwarder.execute(put('k', '1'));
  writer.storage.on.log.append = () => Promise.reject(new BackendError('failed', 'disk full'));
  t.match(await other.forwarder.execute(put('k', '2')), { revision: 4 }, 'written here');
  delete writer.storage.on.log.append;
  t.equal(other.forwarder.counts.forwarded, 3);
  await takeOver(); // 5
  await other.forwarder.execute(put('k', '3'));
  t.equal(other.forwarder.counts.forwarded, 3, 'not asked again');
  clock.now += 5001;
  await takeOver(); // 7
  await other.forwarder.execute(put('k', '4'));
  t.equal(other.forwarder.counts.forwarded, 4, 'asked again');
  t.strictSame(
    (await written(other)).filter((text) => text.startsWith('k=')),
    ['k=1@3', 'k=2@4', 'k=3@6', 'k=4@8'],
  );
});

t.test('a writer that stops answers that it did nothing', async (t) => {
  const { writer, other } = await writerAndOther(t);
  await other.forwarder.execute(put('k', '1'));
  await writer.committer.close();
  // Until the link ends, which it does soon.
  let asked = 0;
  other.wire.deliver = (ask, { sequence }) => {
    if (++asked === 3) other.wire.down.add(writer.id);
    void ask().then((answer) => {
      t.same(answer, { kind: 'again' });
      return other.forwarder.answered(sequence, answer);
    });
  };
  t.match(await other.forwarder.execute(put('k', '2')), { revision: 4 });
  t.equal(asked, 3);
});

t.test('an epoch that is over begins anew', async (t) => {
  const { writer, other } = await writerAndOther(t);
  await other.forwarder.execute(put('k', '1'));
  // As many others as are remembered have begun one since, so this one is forgotten.
  await writer.committer.propose(64 * epochsMax, (draft) => {
    for (let i = 0; i < epochsMax; i++) draft.record({ kind: 'epoch', replica: 2n ** 60n + BigInt(i), epoch: 1 });
  });
  const answers = await Promise.all([2, 3, 4].map((i) => other.forwarder.execute(put('k', `${i}`))));
  t.strictSame(new Set(answers.map(({ revision }) => revision)), new Set([4, 5, 6]));
  const log = (await written(writer)).filter((text) => text.startsWith('k=') || text.startsWith('epoch b'));
  t.strictSame(log.length, 6, 'each once');
  t.strictSame([log[0], log[1], log[2]], ['epoch b 1', 'k=1@3', 'epoch b 2']);
});

t.test('no answer in time: found out about, and not asked for a while', async (t) => {
  const { clock, writer, other } = await writerAndOther(t);
  const held: Ask[] = [];
  other.wire.deliver = (ask) => held.push(ask);
  const [first, second] = [other.forwarder.execute(put('k', '1')), other.forwarder.execute(put('k', '2'))];
  await until('both are sent', () => held.length === 2);
  clock.now += 1999;
  await new Promise((resolve) => setTimeout(resolve, 600));
  t.equal(other.forwarder.pending, 2, 'waited for');
  clock.now += 2;
  const answers = await Promise.all([first, second]);
  t.same(new Set(answers.map(({ revision }) => revision)), new Set([3, 4]));
  t.equal(other.forwarder.counts.doubted, 2);
  await warm(writer, other);
  await other.forwarder.execute(put('k', '3'));
  t.equal(held.length, 2, 'not asked');
  for (const ask of held) t.same(await ask(), { kind: 'epochOver' }, 'and it does nothing when it comes to it');
  t.equal((await written(other)).filter((text) => /^k=[12]@/.test(text)).length, 2);
});

t.test('a writer that falls silent is not waited for', async (t) => {
  const { writer, other } = await writerAndOther(t);
  other.wire.deliver = () => {};
  const write = other.forwarder.execute(put('k', '1'));
  await until('it is sent', () => other.forwarder.pending === 1);
  other.wire.down.add(writer.id);
  t.match(await write, { revision: 3 });
});

t.test('an answer that comes when it is found out about already changes nothing', async (t) => {
  const { writer, other } = await writerAndOther(t);
  const answers: (readonly [number, ForwardAnswer])[] = [];
  other.wire.deliver = (ask, { sequence }) => void ask().then((answer) => answers.push([sequence, answer]));
  const write = other.forwarder.execute(put('k', '1', { prevKv: true }));
  await until('it is done there', () => answers.length === 1);
  const { passed, open } = gate();
  other.storage.on.log.append = async (call, after, id, data) => {
    await passed;
    return await call(after, id, data);
  };
  cut(other, writer);
  const [sequence] = answers[0] as [number, ForwardAnswer];
  other.forwarder.answered(sequence, { kind: 'again' });
  other.forwarder.answered(sequence, { kind: 'refused', slot: 1, reason: 'NoSpace' });
  other.forwarder.answered(12345, { kind: 'again' });
  open();
  t.match(await write, { revision: 3 });
  other.forwarder.answered(sequence, { kind: 'done', slot: 99, result: undefined });
  t.equal((await written(other)).filter((text) => text.startsWith('k=')).length, 1);
});

t.test('so many wait for another replica, and no more', async (t) => {
  const { nodes } = await cluster(t, 3);
  const [a, b, c] = nodes as [Node, Node, Node];
  await warm(a, b, c);
  await b.forwarder.execute(put('k', '0'));
  b.wire.deliver = () => {};
  const taken = Array.from({ length: queueRequestsMax }, (_, i) => b.forwarder.execute(put(`k${i}`, 'v')));
  await turns();
  t.equal(b.forwarder.pending, queueRequestsMax);
  t.match(await failure(b.forwarder.execute(put('k', 'v'))), { reason: 'TooManyRequests' });
  // What became of them is found out although another one writes now, and could be asked for that: it has no place.
  await c.forwarder.execute(put('c', '1'));
  c.wire.down.add(a.id);
  await c.forwarder.execute(put('c', '2'));
  await b.replica.catchUp();
  t.equal(b.replica.lastWriter.replicaId, c.id);
  b.wire.deliver = undefined;
  cut(b, a);
  const outcomes = new Map<string, number>();
  for (const answer of await Promise.allSettled(taken)) {
    const outcome = answer.status === 'fulfilled' ? 'done' : String(answer.reason);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  t.strictSame([...outcomes], [['done', queueRequestsMax]]);
  t.equal(b.forwarder.pending, 0);
  t.equal((await written(c)).filter((text) => /^k\d+=v@/.test(text)).length, queueRequestsMax, 'each once');
});

t.test('clients are told at their time limit, whatever is found out later', async (t) => {
  const { clock, writer, other } = await writerAndOther(t);
  other.wire.deliver = () => {};
  const write = failure(other.forwarder.execute(put('k', '1')));
  await until('it is sent', () => other.forwarder.pending === 1);
  // The database is gone too: nothing can be found out.
  other.storage.on.log.append = () => Promise.reject(new BackendError('unknown', 'connection lost'));
  cut(other, writer);
  clock.now += requestTimeoutMs + 1;
  t.match(await write, { reason: 'Timeout' });
  t.equal(other.forwarder.pending, 0);
  delete other.storage.on.log.append;
});

t.test('closed: what waits is told so, and nothing more is asked', async (t) => {
  const { writer, other } = await writerAndOther(t);
  other.wire.deliver = () => {};
  const waiting = failure(other.forwarder.execute(put('k', '1')));
  await until('it is sent', () => other.forwarder.pending === 1);
  other.forwarder.close();
  t.match(await waiting, { reason: 'Stopped' });
  t.equal(other.forwarder.pending, 0);
  cut(other, writer);
  t.equal(other.forwarder.counts.doubted, 0);
});
