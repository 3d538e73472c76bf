import type { Test } from 'tap';
import { codes } from '../../support/codes.ts';
import { briefEvents, createWatch, currentRevision, put, takeEvents, watchStream } from './assertions.ts';
import { fresh, type Target } from './target.ts';

export async function watchCancel(t: Test, target: Target): Promise<void> {
  const { client } = await fresh(t, target);

  await t.test('cancel: one answer without a reason, and no more events', async (t) => {
    const stream = watchStream(t, client);
    await createWatch(stream, { key: 'a' });
    await createWatch(stream, { key: 'a' });
    stream.send({ cancelRequest: { watchId: 0 } });
    const answer = await stream.next();
    t.match(answer, { watchId: 0n, created: false, canceled: true, cancelReason: '', compactRevision: 0, events: [] });
    t.equal(answer.header?.revision, await currentRevision(client));
    await put(client, 'a', '1');
    await put(client, 'a', '2');
    for (const value of ['1', '2']) {
      const event = await stream.next();
      t.equal(event.watchId, 1n, 'only the other watch');
      t.match(briefEvents(event)[0], `PUT a=${value}`);
    }
  });

  await t.test('an unknown id has no answer', async (t) => {
    const stream = watchStream(t, client);
    stream.send({ cancelRequest: { watchId: 5 } });
    await createWatch(stream, { key: 'a' });
    stream.send({ cancelRequest: { watchId: 0 } });
    stream.send({ cancelRequest: { watchId: 0 } });
    t.match(await stream.next(), { watchId: 0n, canceled: true });
    const next = await createWatch(stream, { key: 'a' });
    t.strictSame([next.watchId, next.created], [1n, true], 'cancelled twice, answered once; the id is not used again');
  });

  await t.test('a cancelled id can be chosen again', async (t) => {
    const stream = watchStream(t, client);
    await createWatch(stream, { key: 'a', watchId: 7 });
    stream.send({ cancelRequest: { watchId: 7 } });
    t.match(await stream.next(), { watchId: 7n, canceled: true });
    await createWatch(stream, { key: 'b', watchId: 7 });
    await put(client, 'a', '3');
    const revision = await put(client, 'b', '1');
    t.strictSame(await takeEvents(stream, 1), [`PUT b=1 @${revision}`]);
  });

  await t.test('a half-closed stream goes on', async (t) => {
    const stream = watchStream(t, client);
    await createWatch(stream, { key: 'a' });
    stream.end();
    for (const value of ['x', 'y']) {
      const revision = await put(client, 'a', value);
      t.strictSame(await takeEvents(stream, 1), [`PUT a=${value} @${revision}`]);
    }
    stream.cancel();
    t.equal((await stream.status).code, codes.CANCELLED);
  });
}
