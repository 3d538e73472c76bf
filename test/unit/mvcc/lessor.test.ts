import t, { type Test } from 'tap';
import { StoreError } from '../../../src/mvcc/errors.ts';
import { evaluateDeleteRange, evaluatePut } from '../../../src/mvcc/evaluate.ts';
import { Forwarder } from '../../../src/mvcc/forwarder.ts';
import { Lessor } from '../../../src/mvcc/lessor.ts';
import type { RevisionRecord } from '../../../src/mvcc/records.ts';
import { Replica } from '../../../src/mvcc/replica.ts';
import { BackendError } from '../../../src/registry/log.ts';
import { openReplica } from './replica.ts';
import { deleteRange, put } from './requests.ts';
import { openStorage, type TestStorage, until } from './storage.ts';

async function fixture(t: Test, options: { exclusive?: boolean; storage?: TestStorage } = {}) {
  const storage = options.storage ?? (await openStorage({ exclusive: options.exclusive ?? true }));
  const clock = { now: 1000 };
  const { replica, committer } = await openReplica(t, storage, clock, `lessor-${Math.random()}`);
  const lessor = new Lessor(
    replica,
    committer,
    new Forwarder(replica, committer, { replicaId: '0000000000000001', now: () => clock.now }),
    () => clock.now,
    () => undefined,
  );
  t.teardown(() => lessor.close());
  return {
    storage,
    clock,
    replica,
    lessor,
    put: (key: string, lease: bigint) => committer.propose(100, (draft) => evaluatePut(draft, put(key, '', { lease }))),
    delete: (key: string) => committer.propose(100, (draft) => evaluateDeleteRange(draft, deleteRange(key))),
    keys: () => {
      const keys: string[] = [];
      replica.state.index.forEach('', undefined, ({ key, latest }) => {
        if (!latest.deleted) keys.push(key);
        return true;
      });
      return keys;
    },
  };
}

t.test('granting: ids, limits, what is taken', async (t) => {
  const { lessor } = await fixture(t);
  t.strictSame(await lessor.grant(-(2n ** 63n), 10), { id: -(2n ** 63n), ttlSeconds: 10 });
  t.strictSame(await lessor.grant(2n ** 63n - 1n, 0), { id: 2n ** 63n - 1n, ttlSeconds: 2 }, 'the least there is');
  t.equal((await lessor.grant(3n, -5)).ttlSeconds, 2);
  t.equal((await lessor.grant(4n, 9_000_000_000)).ttlSeconds, 9_000_000_000);
  await t.rejects(lessor.grant(5n, 9_000_000_001), new StoreError('LeaseTtlTooLarge'));
  await t.rejects(lessor.grant(4n, 5), new StoreError('LeaseExists'));
  const { id } = await lessor.grant(0n, 5);
  t.ok(id > 0n && id < 2n ** 63n);
  t.strictSame(lessor.ids(), [-(2n ** 63n), 2n ** 63n - 1n, 3n, 4n, id]);
});

t.test('two grants of one id in the same batch', async (t) => {
  const { lessor } = await fixture(t);
  const answers = await Promise.allSettled([lessor.grant(7n, 10), lessor.grant(7n, 20)]);
  t.strictSame(
    answers.map(({ status }) => status),
    ['fulfilled', 'rejected'],
  );
  t.equal(lessor.timeToLive(7n)?.grantedTtlSeconds, 10);
});

t.test('the time that is left is floored; keys are in order', async (t) => {
  const f = await fixture(t);
  await f.lessor.grant(7n, 10);
  for (const key of ['b', 'a', 'c']) await f.put(key, 7n);
  await f.put('b', 0n);
  f.clock.now += 1;
  const seen = f.lessor.timeToLive(7n);
  t.strictSame([seen?.grantedTtlSeconds, seen?.ttlSeconds, seen?.keys()], [10, 9, ['a', 'c']]);
  t.equal(f.lessor.timeToLive(8n), undefined);
});

t.test('expires with its keys in one revision, never early', async (t) => {
  const f = await fixture(t);
  const revisions: RevisionRecord[] = [];
  await f.lessor.grant(7n, 10);
  for (const key of ['b', 'a']) await f.put(key, 7n);
  await f.put('other', 0n);
  f.replica.onApplied = (applied) => revisions.push(...applied);
  f.clock.now += 9_999;
  await new Promise((resolve) => setTimeout(resolve, 600)); // longer than the scan for expired leases waits
  t.strictSame(f.lessor.ids(), [7n]);
  f.clock.now += 1;
  t.equal(f.lessor.timeToLive(7n), undefined, 'over, although not yet revoked');
  t.equal(await f.lessor.keepAlive(7n), 0);
  await until('it is revoked', () => f.lessor.ids().length === 0);
  t.strictSame(f.keys(), ['other']);
  t.strictSame(
    revisions.map(({ changes }) => changes.map(({ key, version }) => `${key} ${version.deleted}`)),
    [['a true', 'b true']],
  );
});

t.test('kept alive it does not expire; an exclusive log has no record of that', async (t) => {
  const f = await fixture(t);
  await f.lessor.grant(7n, 10);
  await f.put('a', 7n);
  const { slot } = f.replica.state;
  for (let i = 0; i < 8; i++) {
    f.clock.now += 6000;
    t.equal(await f.lessor.keepAlive(7n), 10);
  }
  t.equal(f.replica.state.slot, slot);
  t.equal(f.lessor.timeToLive(7n)?.ttlSeconds, 10);
  t.equal(await f.lessor.keepAlive(8n), 0);
});

t.test('on a shared log one record is enough for a third of the time, and so much longer all wait', async (t) => {
  const f = await fixture(t, { exclusive: false });
  await f.lessor.grant(7n, 30);
  const { slot } = f.replica.state;
  for (let i = 0; i < 20; i++) {
    f.clock.now += 1000;
    t.equal(await f.lessor.keepAlive(7n), 30);
  }
  t.equal(f.replica.state.slot, slot + 2);
  // Another replica knows what is in the log only. The last renewal came just before a third was over.
  const other = await fixture(t, { storage: await openStorage({ backend: f.storage.backend }) });
  other.clock.now += 30_000;
  t.ok(other.lessor.timeToLive(7n), 'not over for it at its nominal end');
  other.clock.now += 9_999;
  t.ok(other.lessor.timeToLive(7n));
  other.clock.now += 1;
  t.equal(other.lessor.timeToLive(7n), undefined);
});

t.test('leases that wait for their slack do not hold up those that are over', async (t) => {
  const f = await fixture(t, { exclusive: false });
  await Promise.all(Array.from({ length: 600 }, (_, i) => f.lessor.grant(BigInt(i + 1), 100)));
  f.clock.now += 90_000;
  await f.lessor.grant(1000n, 6);
  f.clock.now += 20_000; // the first ones: 110 of 100 s, to go at 133 s; the last one: 20 of 6
  await until('the short one is revoked', () => !f.lessor.ids().includes(1000n));
  t.equal(f.lessor.ids().length, 600);
});

t.test('a restart gives the whole time again', async (t) => {
  const f = await fixture(t);
  await f.lessor.grant(7n, 10);
  f.clock.now += 9000;
  const again = await Replica.open(f.storage, { valueCacheBytes: 1000, now: () => f.clock.now });
  t.equal(again.state.leases.get(7n)?.expiresAtMs, f.clock.now + 10_000);
});

t.test('revoking: also what was attached in the same batch', async (t) => {
  const f = await fixture(t);
  await f.lessor.grant(7n, 10);
  await f.put('before', 7n);
  const answers = await Promise.allSettled([
    f.put('same', 7n),
    f.put('moved', 7n),
    f.put('moved', 0n),
    f.put('gone', 7n),
    f.delete('gone'),
    f.lessor.revoke(7n),
    f.put('late', 7n),
    f.lessor.revoke(7n),
    f.lessor.grant(7n, 20),
    f.put('again', 7n),
  ]);
  t.strictSame(
    answers.map((answer) => (answer.status === 'rejected' ? (answer.reason as StoreError).reason : 'ok')),
    ['ok', 'ok', 'ok', 'ok', 'ok', 'ok', 'LeaseNotFound', 'LeaseNotFound', 'ok', 'ok'],
  );
  t.strictSame(f.keys(), ['again', 'moved']);
  t.strictSame(f.lessor.timeToLive(7n)?.keys(), ['again']);
});

t.test('a database out of reach: expiry waits', async (t) => {
  const f = await fixture(t);
  await f.lessor.grant(7n, 2);
  await f.put('a', 7n);
  let refused = 0;
  f.storage.on.log.append = () => {
    refused++;
    return Promise.reject(new BackendError('failed', 'out of reach'));
  };
  f.clock.now += 5000;
  await until('it was tried twice', () => refused >= 2);
  t.strictSame(f.lessor.ids(), [7n]);
  delete f.storage.on.log.append;
  await until('it is revoked', () => f.lessor.ids().length === 0);
  t.strictSame(f.keys(), []);
});
