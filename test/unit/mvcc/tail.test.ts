import t, { type Test } from 'tap';
import { genesisBatch, Replica } from '../../../src/mvcc/replica.ts';
import { TailFollower } from '../../../src/mvcc/tail.ts';
import { BackendError, type Wake } from '../../../src/registry/log.ts';
import { openStorage, until } from './storage.ts';

const never = { found: 3_600_000, nothing: 3_600_000 };

/** A follower whose hints come from the test. */
async function follower(t: Test, pushed: boolean, pollMs = never) {
  const storage = await openStorage();
  await storage.log.append(-1, 'genesis', genesisBatch(1n));
  let hint: Wake = () => t.fail('nobody listens');
  storage.on.log.onAppend = (_call, wake) => {
    hint = wake;
    return () => {};
  };
  const replica = await Replica.open(storage, { valueCacheBytes: 1000, now: () => performance.now() });
  let reads = 0;
  storage.on.log.read = (call, after, limit) => {
    reads++;
    return call(after, limit);
  };
  const warnings: string[] = [];
  const tail = new TailFollower(replica, {
    pollMs,
    pushed: () => pushed,
    warn: (message) => warnings.push(message),
    fatal: (error) => {
      throw error;
    },
  });
  t.teardown(() => tail.stop());
  return { storage, replica, warnings, tail, hint: (slot?: number) => hint(slot), reads: () => reads };
}

const batch = genesisBatch(1n);
/** Longer than a hint waits. */
const afterHint = () => new Promise((resolve) => setTimeout(resolve, 30));

t.test('a hint of a slot that is here makes nobody read', async (t) => {
  const { replica, hint, reads, storage } = await follower(t, true);
  hint(0);
  await storage.log.append(0, 'a-1', batch);
  hint(1);
  t.ok(replica.applyNext(1, 'a-1', batch), 'it comes by the link');
  await afterHint();
  t.equal(reads(), 0);
});

for (const pushed of [true, false]) {
  t.test(`a hint of a slot that does not come is looked into, ${pushed ? 'linked' : 'not linked'}`, async (t) => {
    const { storage, replica, hint, reads } = await follower(t, pushed);
    await storage.log.append(0, 'a-1', batch);
    hint(1);
    await until('it is read', () => replica.state.slot === 1);
    t.equal(reads(), 1);
  });
}

t.test('hints that come while one waits are not forgotten', async (t) => {
  const { storage, replica, hint } = await follower(t, true);
  await storage.log.append(0, 'a-1', batch);
  hint(1);
  await storage.log.append(1, 'a-2', batch);
  hint(2);
  replica.applyNext(1, 'a-1', batch);
  await until('the second is read', () => replica.state.slot === 2);
});

t.test('a hint without a slot is looked into at once', async (t) => {
  const { storage, replica, hint, reads } = await follower(t, true);
  await storage.log.append(0, 'a-1', batch);
  hint();
  await until('it is read', () => replica.state.slot === 1);
  t.equal(reads(), 1);
});

t.test('only what a read of the log brings counts as found, not what was pushed', async (t) => {
  const { storage, replica, reads } = await follower(t, true, { found: 5, nothing: 60 });
  await storage.log.append(0, 'a-1', batch);
  t.ok(replica.applyNext(1, 'a-1', batch));
  t.equal(replica.foundBatches, 0);
  await until('there was a poll', () => reads() === 1);
  t.equal(replica.foundBatches, 0, 'it found nothing');
  await storage.log.append(1, 'a-2', batch);
  await until('another finds it', () => replica.state.slot === 2);
  t.equal(replica.foundBatches, 1);
});

t.test('without any hint the poll finds it; a failure is told once; stopped it reads no more', async (t) => {
  const { storage, replica, warnings, tail, reads, hint } = await follower(t, false, { found: 1, nothing: 1 });
  await storage.log.append(0, 'a-1', batch);
  await until('it is read', () => replica.state.slot === 1);
  let failures = 0;
  storage.on.log.read = async () => {
    failures++;
    throw new BackendError('failed', 'no database');
  };
  await until('it has failed twice', () => failures > 1);
  t.same(warnings, ['cannot follow the log: no database']);
  delete storage.on.log.read;
  tail.stop();
  const before = reads();
  hint(5);
  hint();
  await afterHint();
  t.equal(reads(), before);
});
