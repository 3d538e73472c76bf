/** A replica with its committer on a clock that the test moves. */
import type { Test } from 'tap';
import { Committer, type CommitterOptions } from '../../../src/mvcc/committer.ts';
import { genesisBatch, Replica } from '../../../src/mvcc/replica.ts';
import type { TestStorage } from './storage.ts';

export interface Clock {
  now: number;
}

/** `name`: unique among those on the storage's keyspace. */
export async function openReplica(
  t: Test,
  storage: TestStorage,
  clock: Clock,
  name: string,
  options: Partial<Pick<CommitterOptions, 'yields' | 'linked' | 'fatal'>> = {},
): Promise<{ replica: Replica; committer: Committer; troubles: string[] }> {
  await storage.log.append(-1, 'genesis', genesisBatch(1n));
  const troubles: string[] = [];
  const now = () => clock.now;
  const replica = await Replica.open(storage, { valueCacheBytes: 1024 * 1024, now });
  const committer = new Committer(replica, {
    replicaId: name,
    now,
    observer: { committed() {}, settled() {}, troubled: (kind) => troubles.push(kind) },
    fatal: (error) => {
      throw error;
    },
    ...options,
  });
  t.teardown(() => committer.close());
  return { replica, committer, troubles };
}
