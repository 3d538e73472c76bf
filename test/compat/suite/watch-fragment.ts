import type { Test } from 'tap';
import type { WatchResponse } from '../../support/messages.ts';
import type { RequestStream } from '../../support/raw-client.ts';
import { createWatch, put, watchStream } from './assertions.ts';
import { fresh, type Target } from './target.ts';

const keys = Array.from({ length: 8 }, (_, index) => `f/${index}`);
const value = 'x'.repeat(450_000);
/** --max-request-bytes and 512 KiB on top of it: what etcd compares a response with. */
const fragmentBytesMax = 1.5 * 1024 * 1024 + 512 * 1024;

/** The pieces up to the one that is not marked as a fragment. */
async function pieces(stream: RequestStream<WatchResponse>): Promise<WatchResponse[]> {
  const answers = [await stream.next()];
  while (answers.at(-1)!.fragment) answers.push(await stream.next());
  return answers;
}

const keysOfEvents = (answers: WatchResponse[]) =>
  answers.flatMap((answer) => answer.events.map((event) => event.kv!.key));

export async function watchFragment(t: Test, target: Target): Promise<void> {
  const { client } = await fresh(t, target);
  const whole = watchStream(t, client);
  await createWatch(whole, { key: 'f/', rangeEnd: 'f0', prevKv: true });
  const fragmented = watchStream(t, client);
  await createWatch(fragmented, { key: 'f/', rangeEnd: 'f0', prevKv: true, fragment: true });
  for (const key of keys) {
    await put(client, key, value);
    t.equal((await whole.next()).events.length, 1);
    t.strictSame([(await fragmented.next()).fragment], [false], 'small responses are not fragmented');
  }

  // One revision of 3.6 MB: the values that a delete takes away are in prev_kv.
  const { header } = await client.call('KV/DeleteRange', { key: 'f/', rangeEnd: 'f0' });

  await t.test('without fragment: one response of any size', async (t) => {
    const answer = await whole.next();
    t.equal(answer.fragment, false);
    t.strictSame(keysOfEvents([answer]), keys);
  });

  await t.test('with fragment: pieces of one revision', async (t) => {
    const answers = await pieces(fragmented);
    t.ok(answers.length > 1, `${answers.length} pieces`);
    t.strictSame(keysOfEvents(answers), keys);
    for (const answer of answers) {
      t.equal(answer.header?.revision, header?.revision);
      const bytes = answer.events.reduce((sum, event) => sum + event.prevKv!.value.length, 0);
      t.ok(bytes <= fragmentBytesMax, `${bytes} bytes in a piece`);
    }
    t.strictSame(
      answers.map((answer) => answer.fragment),
      [...answers.slice(1).map(() => true), false],
    );
  });

  await t.test('a response of many revisions from history', async (t) => {
    const stream = watchStream(t, client);
    await createWatch(stream, { key: 'f/', rangeEnd: 'f0', startRevision: 2, fragment: true });
    let events: string[] = [];
    while (events.length < 2 * keys.length) events = [...events, ...keysOfEvents(await pieces(stream))];
    t.strictSame(events, [...keys, ...keys]);
  });

  await t.test('after the pieces the stream goes on', async (t) => {
    const revision = await put(client, 'f/next', '1');
    for (const stream of [whole, fragmented]) {
      t.match(await stream.next(), { fragment: false, events: [{ kv: { key: 'f/next', modRevision: revision } }] });
    }
  });
}
