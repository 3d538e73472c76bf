import type { Test } from 'tap';
import type { RawClient } from '../../support/raw-client.ts';
import { createWatch, currentRevision, put, watchStream } from './assertions.ts';
import { fresh, type Target } from './target.ts';

const revisions = 3500;

/** Revisions 2 to `revisions` + 1; every tenth is a txn of three keys. */
async function history(client: RawClient): Promise<void> {
  for (let next = 0; next < revisions; ) {
    const batch: Promise<unknown>[] = [];
    for (let end = Math.min(next + 100, revisions); next < end; next++) {
      const value = `${next}`;
      const ops = ['c/1', 'c/2', 'c/3'].map((key) => ({ requestPut: { key, value } }));
      batch.push(next % 10 ? put(client, `c/${next % 50}`, value) : client.call('KV/Txn', { success: ops }));
    }
    await Promise.all(batch);
  }
}

export async function watchCatchUp(t: Test, target: Target): Promise<void> {
  const server = await fresh(t, target);
  const { client } = server;
  await history(client);

  await t.test('thousands of revisions: in order, none missing, none split', async (t) => {
    t.equal(await currentRevision(client), revisions + 1);
    const stream = watchStream(t, client);
    await createWatch(stream, { key: 'c/', rangeEnd: 'c0', startRevision: 2, prevKv: true });
    const live = (async () => {
      for (let index = 0; index < 100; index++) await put(client, 'c/live', `${index}`);
    })();
    const end = revisions + 101;
    let last = 1;
    let largest = 0;
    let events = 0;
    while (last < end) {
      const answer = await stream.next();
      const seen = answer.events.map((event) => event.kv!.modRevision);
      t.equal(answer.watchId, 0n);
      if (seen[0] !== last + 1) t.equal(seen[0], last + 1, 'a response begins with the revision after the last one');
      for (const revision of seen) {
        if (revision !== last && revision !== last + 1) t.equal(revision, last + 1, 'a gap, or out of order');
        last = revision;
      }
      events += seen.length;
      largest = Math.max(largest, new Set(seen).size);
      if (answer.header!.revision < last) t.equal(answer.header?.revision, last, 'a header behind its events');
      for (const event of answer.events) {
        const before = event.prevKv?.modRevision ?? 0;
        const missing = event.kv!.version > 1 ? !before : before;
        if (missing) t.fail(`prev_kv of ${event.kv?.key} at ${event.kv?.modRevision}: ${before}`);
      }
    }
    await live;
    t.ok(largest <= 1000, `at most 1000 revisions in a response: ${largest}`);
    t.equal(events, revisions + 2 * (revisions / 10) + 100);
  });

  await t.test('watches from everywhere at once on one stream', async (t) => {
    const stream = watchStream(t, client);
    const end = await currentRevision(client);
    const starts = [2, 3, 500, 1001, 1500, 2999, end - 1, end];
    const next = new Map(starts.map((startRevision, id) => [BigInt(id + 1), startRevision]));
    for (const [watchId, startRevision] of next) {
      stream.send({ createRequest: { key: '\0', rangeEnd: '\0', watchId, startRevision } });
    }
    const created = new Set<bigint>();
    while ([...next.values()].some((revision) => revision <= end)) {
      const answer = await stream.next();
      if (answer.created) created.add(answer.watchId);
      else t.ok(created.has(answer.watchId), 'created comes first');
      for (const event of answer.events) {
        const expected = next.get(answer.watchId)!;
        const revision = event.kv!.modRevision;
        if (revision !== expected && revision !== expected - 1) t.equal(revision, expected, `watch ${answer.watchId}`);
        next.set(answer.watchId, revision + 1);
      }
    }
    t.equal(created.size, starts.length);
  });

  await t.test('a slow client loses nothing and harms nobody', async (t) => {
    const slowClient = server.connect();
    t.teardown(() => slowClient.close());
    const slow = watchStream(t, slowClient);
    await createWatch(slow, { key: 's/', rangeEnd: 's0' });
    const quick = watchStream(t, client);
    await createWatch(quick, { key: 's/', rangeEnd: 's0' });
    slow.pause();
    const start = await currentRevision(client);
    const value = 'v'.repeat(50_000);
    const count = 400;
    for (let index = 0; index < count; index++) await put(client, `s/${index % 10}`, value);
    for (const stream of [quick, slow]) {
      if (stream === slow) slow.resume();
      let last = start;
      while (last < start + count) {
        for (const event of (await stream.next()).events) {
          if (event.kv!.modRevision !== last + 1) t.equal(event.kv?.modRevision, last + 1, 'a gap');
          last = event.kv!.modRevision;
        }
      }
      t.equal(last, start + count);
    }
  });
}
