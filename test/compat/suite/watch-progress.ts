import type { Test } from 'tap';
import type { WatchResponse } from '../../support/messages.ts';
import type { RequestStream } from '../../support/raw-client.ts';
import { briefEvents, createWatch, currentRevision, put, takeEvents, watchStream } from './assertions.ts';
import { fresh, type Target } from './target.ts';

const whole = { key: '\0', rangeEnd: '\0' };

/** Asks until an answer comes: a watch that was just created in the past may not be synced yet, and then nothing comes. */
async function progress(stream: RequestStream<WatchResponse>): Promise<WatchResponse> {
  for (let attempt = 0; attempt < 100; attempt++) {
    stream.send({ progressRequest: {} });
    const answer = await stream.next(200).catch(() => undefined);
    if (answer) return answer;
  }
  throw new Error('no answer to 100 progress requests');
}

export async function watchProgress(t: Test, target: Target): Promise<void> {
  await t.test('asked for', async (t) => {
    const { client } = await fresh(t, target);
    await put(client, 'a', '1'); // 2

    await t.test('one answer on watch -1 for the whole stream', async (t) => {
      const stream = watchStream(t, client);
      for (const watchId of [1, 2, 3]) await createWatch(stream, { key: 'z', watchId });
      await put(client, 'a', '2'); // 3
      const answer = await progress(stream);
      t.match(answer, { watchId: -1n, created: false, canceled: false, compactRevision: 0, events: [] });
      t.equal(answer.header?.revision, 3);
      t.not(answer.header?.clusterId, 0n);
      const revision = await put(client, 'z', 'x');
      for (let count = 0; count < 3; count++) t.strictSame(briefEvents(await stream.next()), [`PUT z=x @${revision}`]);
      t.strictSame(stream.pending, [], 'no second answer');
    });

    await t.test('never ahead of the events of the stream', async (t) => {
      const stream = watchStream(t, client);
      await createWatch(stream, whole);
      let seen = await currentRevision(client);
      const writes = (async () => {
        for (let index = 0; index < 300; index++) await put(client, `p/${index % 7}`, `${index}`);
      })();
      const end = seen + 300;
      let answers = 0;
      const asking = setInterval(() => stream.send({ progressRequest: {} }), 2);
      t.teardown(() => clearInterval(asking));
      while (seen < end) {
        const { watchId, events, header } = await stream.next();
        if (watchId === -1n) {
          answers++;
          if (header!.revision > seen) t.equal(header?.revision, seen, 'a header ahead of the events');
        } else {
          for (const event of events) {
            if (event.kv!.modRevision !== seen + 1) t.equal(event.kv?.modRevision, seen + 1, 'a gap');
            seen = event.kv!.modRevision;
          }
        }
      }
      clearInterval(asking);
      await writes;
      t.ok(answers > 0, 'there were answers');
    });

    await t.test('nothing without a watch', async (t) => {
      const stream = watchStream(t, client);
      stream.send({ progressRequest: {} });
      await createWatch(stream, { key: 'q' });
      const revision = await put(client, 'q', '1');
      t.strictSame(briefEvents(await stream.next()), [`PUT q=1 @${revision}`]);
    });

    await t.test('nothing while a watch is in the future', async (t) => {
      const stream = watchStream(t, client);
      const revision = await currentRevision(client);
      await createWatch(stream, { key: 'q', watchId: 1 });
      await createWatch(stream, { key: 'other', watchId: 2, startRevision: revision + 2 });
      stream.send({ progressRequest: {} });
      await put(client, 'q', '2');
      t.strictSame(await takeEvents(stream, 1), [`PUT q=2 @${revision + 1}`], 'no answer before the event');
      await put(client, 'x', '1');
      t.match(await progress(stream), { watchId: -1n, header: { revision: revision + 2 } });
    });

    await t.test('after the past was sent', async (t) => {
      const stream = watchStream(t, client);
      await createWatch(stream, { ...whole, startRevision: 2 });
      stream.send({ progressRequest: {} });
      const current = await currentRevision(client);
      let last = 1;
      while (last < current) {
        const { watchId, header, events } = await stream.next();
        if (watchId === -1n) t.equal(header?.revision, last, 'an answer before all events');
        for (const event of events) last = event.kv!.modRevision;
      }
      t.equal((await progress(stream)).header?.revision, current);
    });
  });

  await t.test('periodic', async (t) => {
    const { client } = await fresh(t, target, '--watch-progress-notify-interval=150ms');
    await put(client, 'a', '1'); // 2
    const stream = watchStream(t, client);
    await createWatch(stream, { key: 'a', watchId: 1, progressNotify: true });
    await createWatch(stream, { key: 'a', watchId: 2 });
    await createWatch(stream, { key: 'z', watchId: 3, progressNotify: true });
    const ids = new Set<bigint>();
    for (let count = 0; count < 6; count++) {
      const answer = await stream.next();
      t.match(answer, { created: false, canceled: false, events: [], header: { revision: 2 } });
      ids.add(answer.watchId);
    }
    t.strictSame(ids, new Set([1n, 3n]), 'on each watch that asked for it');
    await put(client, 'b', '1'); // 3
    let answer = await stream.next();
    while (answer.header?.revision === 2) answer = await stream.next();
    t.match(answer, { events: [], header: { revision: 3 } }, 'with the current revision');
    await put(client, 'a', '2'); // 4
    const order: string[] = [];
    while (order.filter((entry) => entry.startsWith('1')).length < 3) {
      const next = await stream.next();
      order.push(`${next.watchId} ${briefEvents(next).join()} ${next.header?.revision}`);
    }
    const first = order.findIndex((entry) => entry.startsWith('1 PUT a=2 @4'));
    t.ok(first >= 0);
    t.ok(
      order.slice(0, first).every((entry) => !entry.startsWith('1') || entry.endsWith(' 3')),
      `no progress to 4 before the event of 4: ${order.join('; ')}`,
    );

    await t.test('not to a watch in the future', async (t) => {
      const stream = watchStream(t, client);
      await createWatch(stream, { key: 'a', watchId: 1, progressNotify: true, startRevision: 1000 });
      await createWatch(stream, { key: 'a', watchId: 2, progressNotify: true });
      for (let count = 0; count < 3; count++) t.equal((await stream.next()).watchId, 2n);
    });
  });
}
