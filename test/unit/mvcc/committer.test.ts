/** What becomes of requests, whatever becomes of appends. */
import t, { type Test } from 'tap';
import { type Committer, queueRequestsMax, requestTimeoutMs } from '../../../src/mvcc/committer.ts';
import type { Draft } from '../../../src/mvcc/draft.ts';
import { StoreError, StoreUnavailable } from '../../../src/mvcc/errors.ts';
import { decodeKeyValue } from '../../../src/mvcc/key-value.ts';
import { decodeBatch } from '../../../src/mvcc/records.ts';
import type { Replica } from '../../../src/mvcc/replica.ts';
import { type AppendOutcome, BackendError, batchBytesMaxLeast } from '../../../src/registry/log.ts';
import { type Clock, openReplica } from './replica.ts';
import { gate, openStorage, type TestStorage, turns, until } from './storage.ts';

interface Fixture {
  readonly storage: TestStorage;
  readonly replica: Replica;
  readonly committer: Committer;
  readonly troubles: string[];
  readonly clock: Clock;
  /** Another writer on the same log. */
  readonly other: () => Promise<{ put(key: string, value: string): Promise<unknown> }>;
}

async function fixture(t: Test, batchBytesMax = batchBytesMaxLeast): Promise<Fixture> {
  const storage = await openStorage({ batchBytesMax });
  const clock = { now: 0 };
  return {
    ...(await openReplica(t, storage, clock, 'one')),
    storage,
    clock,
    other: async () => {
      const second = await openReplica(t, await openStorage({ backend: storage.backend }), clock, 'two');
      return { put: (key, value) => second.committer.propose(100, put(key, value)) };
    },
  };
}

const put = (key: string, value: string) => (draft: Draft) => {
  draft.put(key, Buffer.from(value), 0n);
  return draft.revision;
};

/** Every change in the log: `key=value@revision`. */
async function written({ storage }: Fixture): Promise<string[]> {
  const batches = await storage.log.read(-1, { batches: 1000, bytes: 1e9 });
  return batches.flatMap(({ data }) =>
    decodeBatch(data).records.flatMap((record) => {
      if (record.kind !== 'revision') return [];
      return record.changes.map(({ version }) => {
        const bytes = (version.segment.bytes as Buffer).subarray(version.offset, version.offset + version.length);
        const kv = decodeKeyValue(bytes);
        return `${kv.key}=${Buffer.from(kv.value).toString()}@${kv.modRevision}`;
      });
    }),
  );
}

async function failure(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}

t.test('requests of one turn are one batch, in their order', async (t) => {
  const f = await fixture(t);
  const revisions = await Promise.all(['1', '2', '3'].map((value) => f.committer.propose(100, put('k', value))));
  t.strictSame(revisions, [2, 3, 4]);
  t.strictSame(await written(f), ['k=1@2', 'k=2@3', 'k=3@4']);
  t.equal(f.replica.state.slot, 1);
});

t.test('a request that throws leaves no trace, and the others go on', async (t) => {
  const f = await fixture(t);
  const answers = await Promise.allSettled([
    f.committer.propose(100, put('a', '1')),
    f.committer.propose(100, (draft) => {
      draft.grantLease(7n, 10);
      draft.put('b', Buffer.from('never'), 7n);
      draft.put('a', Buffer.from('never'), 7n);
      throw new StoreError('KeyNotFound');
    }),
    f.committer.propose(100, (draft) => {
      t.equal(draft.hasLease(7n), false);
      t.equal(draft.live('b'), undefined);
      t.equal(Buffer.from(draft.value('a', draft.live('a')!)).toString(), '1');
      return put('c', '2')(draft);
    }),
  ]);
  t.strictSame(
    answers.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  );
  t.strictSame(await written(f), ['a=1@2', 'c=2@3']);
});

t.test('nothing is visible before the log has it', async (t) => {
  const f = await fixture(t);
  let seen: unknown;
  f.storage.on.log.append = async (call, after, id, data) => {
    seen = [f.replica.state.revision, f.replica.state.index.get('a')];
    return await call(after, id, data);
  };
  await f.committer.propose(100, put('a', '1'));
  t.strictSame(seen, [1, undefined]);
  t.equal(f.replica.state.revision, 2);
});

t.test('after a slow append the next batch waits for those who were just answered, but not for long', async (t) => {
  const f = await fixture(t);
  const inAppend = gate();
  const answer = gate();
  f.storage.on.log.append = async (call, after, id, data) => {
    inAppend.open();
    await answer.passed;
    f.clock.now += 16;
    return await call(after, id, data);
  };
  const first = f.committer.propose(100, put('a', '1'));
  await inAppend.passed;
  const second = f.committer.propose(100, put('b', '1'));
  answer.open();
  await first;
  await turns();
  t.equal(f.replica.state.slot, 1, 'b waits for the client of a');
  await Promise.all([second, f.committer.propose(100, put('a', '2'))]);
  t.equal(f.replica.state.slot, 2, 'and both go together');
  await f.committer.propose(100, put('a', '3'));
  t.strictSame(await written(f), ['a=1@2', 'b=1@3', 'a=2@4', 'a=3@5'], 'the client of b does not come again');
});

t.test('while writers change, who has won a slot lets the others go first', async (t) => {
  const f = await fixture(t);
  const other = await f.other();
  await other.put('theirs', '1');
  f.storage.on.log.append = async (call, after, id, data) => {
    f.clock.now += 15;
    return await call(after, id, data);
  };
  await f.committer.propose(100, put('mine', '1'));
  const waiting = f.committer.propose(100, put('mine', '2'));
  await turns(3);
  t.equal(f.replica.state.slot, 2, 'the next one waits');
  await other.put('theirs', '2');
  await waiting;
  t.strictSame(await written(f), ['theirs=1@2', 'mine=1@3', 'theirs=2@4', 'mine=2@5']);
  f.clock.now += 2000;
  await f.committer.propose(100, put('mine', '3'));
  await f.committer.propose(100, put('mine', '4'));
  t.equal(f.replica.state.revision, 7);
});

t.test('while writers change, a batch looks at what the others wrote before it is tried', async (t) => {
  const f = await fixture(t);
  const other = await f.other();
  await other.put('theirs', '1');
  await f.committer.propose(100, put('mine', '1'));
  t.strictSame(f.troubles, ['conflict'], 'nothing was known of another writer');
  await other.put('theirs', '2');
  await f.committer.propose(100, put('mine', '2'));
  t.strictSame(f.troubles, ['conflict'], 'no slot is lost');
  t.strictSame(await written(f), ['theirs=1@2', 'mine=1@3', 'theirs=2@4', 'mine=2@5']);
});

t.test('writers that are linked take no turns', async (t) => {
  const storage = await openStorage();
  const clock = { now: 0 };
  const linked = new Set(['two']);
  const one = await openReplica(t, storage, clock, 'one', { linked: (id) => linked.has(id) });
  const two = await openReplica(t, await openStorage({ backend: storage.backend }), clock, 'two');
  await two.committer.propose(100, put('theirs', '1'));
  await one.committer.propose(100, put('mine', '1'));
  t.match(one.replica.writerChange, { from: 'two', to: 'one' });
  let looks = 0;
  storage.on.log.read = async (call, after, limit) => {
    looks++;
    return await call(after, limit);
  };
  await one.committer.propose(100, put('mine', '2'));
  t.equal(looks, 0, 'nobody else can have written');
  linked.clear();
  await one.committer.propose(100, put('mine', '3'));
  t.equal(looks, 1, 'without the link the other one may have had its turn');
});

t.test('who writes alone takes no turns, from the first write on', async (t) => {
  const f = await fixture(t);
  await f.committer.propose(100, put('a', '1'));
  await f.committer.propose(100, put('a', '2'));
  t.equal(f.replica.writerChange, undefined);
  await (await f.other()).put('a', '3');
  await f.replica.catchUp();
  t.strictSame(f.replica.writerChange, { from: 'one', to: 'two', atMs: f.clock.now }, 'another one has come');
});

t.test('another writer has the slot: the requests are evaluated again', async (t) => {
  const f = await fixture(t);
  const other = await f.other();
  await other.put('a', 'other');
  let evaluations = 0;
  const seen = await f.committer.propose(100, (draft) => {
    evaluations++;
    const before = draft.live('a');
    put('a', 'mine')(draft);
    return before?.modRevision;
  });
  t.equal(seen, 2, 'on what the other wrote');
  t.equal(evaluations, 2);
  t.strictSame(f.troubles, ['conflict']);
  t.strictSame(await written(f), ['a=other@2', 'a=mine@3']);
});

t.test('certainly not stored: the client is told, and the next write goes on', async (t) => {
  const f = await fixture(t);
  f.storage.on.log.append = () => Promise.reject(new BackendError('failed', 'disk full'));
  const error = await failure(f.committer.propose(100, put('a', '1')));
  t.ok(error instanceof StoreUnavailable && !error.unknown && error.message === 'disk full');
  delete f.storage.on.log.append;
  await f.committer.propose(100, put('a', '2'));
  t.strictSame(await written(f), ['a=2@2']);
});

/** What a try does: to the log (stores or not) and to the caller. */
type Try = 'stored, unknown' | 'not stored, unknown' | 'failed' | 'goes through';

const sequences: Try[][] = [
  ['stored, unknown', 'goes through'],
  ['not stored, unknown', 'goes through'],
  ['not stored, unknown', 'failed', 'goes through'],
  ['stored, unknown', 'failed', 'failed', 'goes through'],
  ['not stored, unknown', 'stored, unknown', 'failed', 'not stored, unknown', 'goes through'],
];

for (const tries of sequences) {
  t.test(`exactly once: ${tries.join('; ')}`, async (t) => {
    const f = await fixture(t);
    const calls: { after: number; id: string; data: string }[] = [];
    f.storage.on.log.append = async (call, after, id, data): Promise<AppendOutcome> => {
      calls.push({ after, id, data: Buffer.from(data).toString('hex') });
      const now = tries[calls.length - 1] ?? 'goes through';
      if (now === 'goes through') return await call(after, id, data);
      if (now === 'failed') throw new BackendError('failed', 'not now');
      if (now === 'stored, unknown') await call(after, id, data);
      throw new BackendError('unknown', 'connection lost');
    };
    const [first, meanwhile] = [
      f.committer.propose(100, put('a', '1')),
      until('the first try is out', () => calls.length > 0).then(() => f.committer.propose(100, put('b', '2'))),
    ];
    t.equal(await first, 2);
    t.equal(await meanwhile, 3);
    t.strictSame(await written(f), ['a=1@2', 'b=2@3']);
    const repeated = calls.slice(0, tries.length);
    t.equal(new Set(repeated.map(({ after, id, data }) => `${after} ${id} ${data}`)).size, 1, 'the same until decided');
    t.not(calls.at(-1)?.id, repeated[0]?.id, 'and another id for other content');
  });
}

t.test('unknown, and another writer came in between: evaluated again, once', async (t) => {
  const f = await fixture(t);
  const other = await f.other();
  let tries = 0;
  f.storage.on.log.append = async (call, after, id, data) => {
    if (++tries > 1) return await call(after, id, data);
    await other.put('a', 'other');
    throw new BackendError('unknown', 'connection lost');
  };
  t.equal(await f.committer.propose(100, put('a', 'mine')), 3);
  t.strictSame(await written(f), ['a=other@2', 'a=mine@3']);
});

t.test('unknown, and the log was truncated past it: the client is told that nobody knows', async (t) => {
  const f = await fixture(t);
  let tries = 0;
  f.storage.on.log.append = async (call, after, id, data) => {
    if (++tries > 2) return await call(after, id, data);
    if (tries === 2) return 'gone';
    throw new BackendError('unknown', 'connection lost');
  };
  const error = await failure(f.committer.propose(100, put('a', '1')));
  t.ok(error instanceof StoreUnavailable && error.unknown);
  t.equal(tries, 2, 'and it is not tried again');
  t.ok(f.troubles.includes('fate-unknown'));
  await f.committer.propose(100, put('b', '2'));
  t.strictSame(await written(f), ['b=2@2']);
});

t.test('gone without an unknown try before: rebuilt and evaluated again', async (t) => {
  const f = await fixture(t);
  let tries = 0;
  f.storage.on.log.append = async (call, after, id, data) => (++tries === 1 ? 'gone' : await call(after, id, data));
  t.equal(await f.committer.propose(100, put('a', '1')), 2);
  t.strictSame(await written(f), ['a=1@2']);
});

t.test('clients are told at their time limit; the batch is still decided', async (t) => {
  const f = await fixture(t);
  let reachable = false;
  f.storage.on.log.append = async (call, after, id, data) => {
    if (!reachable) throw new BackendError('unknown', 'connection lost');
    return await call(after, id, data);
  };
  const first = failure(f.committer.propose(100, put('a', '1')));
  await until('it is under way', () => f.troubles.length > 0);
  const queued = failure(f.committer.propose(100, put('b', 'never')));
  f.clock.now += requestTimeoutMs + 1;
  for (const error of await Promise.all([first, queued])) t.match(error, { reason: 'Timeout' });
  t.equal(f.replica.state.revision, 1);
  reachable = true;
  await f.committer.propose(100, put('c', '3'));
  t.strictSame(await written(f), ['a=1@2', 'c=3@3'], 'what was only queued is not done any more');
});

t.test('more than the queue takes is refused', async (t) => {
  const f = await fixture(t);
  const accepted = Array.from({ length: queueRequestsMax }, () => f.committer.propose(1, () => undefined));
  t.match(await failure(f.committer.propose(1, () => undefined)), { reason: 'TooManyRequests' });
  await Promise.all(accepted);
  t.match(await failure(f.committer.propose(1e9, () => undefined)), { reason: 'TooManyRequests' });
  t.equal(f.committer.pending, 0);
});

t.test('a batch is cut by what it really came to', async (t) => {
  const f = await fixture(t);
  const mebibyte = 'x'.repeat(1024 * 1024);
  // Nothing estimated: as of a delete of many keys, or a put that keeps the value that is there.
  const writes = Array.from({ length: 20 }, (_, i) => f.committer.propose(0, put(`k${i}`, mebibyte)));
  t.strictSame(
    await Promise.all(writes),
    Array.from({ length: 20 }, (_, i) => i + 2),
  );
  t.ok(f.replica.state.slot > 3);
  const error = await failure(
    f.committer.propose(0, (draft) => {
      for (let i = 0; i < 9; i++) put(`big${i}`, mebibyte)(draft);
    }),
  );
  t.match(error, { reason: 'RequestTooLarge' });
  t.notOk(f.replica.state.index.get('big0'));
});

t.test('a broken invariant behind a request ends the process', async (t) => {
  const fatal: unknown[] = [];
  const storage = await openStorage();
  const { committer } = await openReplica(t, storage, { now: 0 }, 'one', { fatal: (error) => fatal.push(error) });
  const broken = (): never => {
    throw new Error('broken');
  };
  let answers = 0;
  const answered = () => answers++;
  committer.submit({ run: broken, bytes: 1, origin: undefined, stays: false, resolve: answered, reject: answered });
  await until('it is told', () => fatal.length > 0);
  t.match(fatal, [{ message: 'broken' }]);
  t.equal(answers, 0, 'nobody can know what became of it');
});

t.test('failed compares are answered although another replica never stops writing', async (t) => {
  const f = await fixture(t);
  const other = await f.other();
  // Whenever this replica reads the tail, somebody has written again by then, and while it reads.
  let writes = 0;
  f.storage.on.log.read = async (call, after, limit) => {
    await other.put('busy', String(++writes));
    const answer = await call(after, limit);
    await other.put('busy', String(++writes));
    return answer;
  };
  const seen = await f.committer.propose(0, (draft) => draft.revision);
  t.ok(seen >= 2);
  t.ok(writes < 20, `${writes} writes meanwhile`);
});

t.test('after close nothing is taken, and what was taken is decided', async (t) => {
  const f = await fixture(t);
  const last = f.committer.propose(100, put('a', '1'));
  const closing = f.committer.close();
  t.match(await failure(f.committer.propose(100, put('b', '2'))), { reason: 'Stopped' });
  await closing;
  t.equal(await last, 2);
});
