import type { Test } from 'tap';
import { codes } from '../../support/codes.ts';
import type { KeyValue, RangeResponse, WatchResponse } from '../../support/messages.ts';
import type { RawClient, RequestStream } from '../../support/raw-client.ts';
import type { RequestMessage } from '../../support/wire.ts';

/** The call fails with exactly this code and text. */
export async function refused(
  t: Test,
  call: Promise<unknown>,
  code: keyof typeof codes,
  text: string,
  name = text,
): Promise<void> {
  const outcome = await call.then(
    (answer) => ({ answer }),
    (error: { code: number; details: string }) => ({ code: error.code, text: error.details }),
  );
  t.strictSame(outcome, { code: codes[code], text }, name);
}

export function keysOf(answer: RangeResponse): string[] {
  return answer.kvs.map((kv) => kv.key);
}

/** The fields of a KeyValue that matter in most tests, in one line. */
export function brief(kv: KeyValue | null): string {
  if (!kv) return 'none';
  return `${kv.key}=${kv.value} create ${kv.createRevision} mod ${kv.modRevision} version ${kv.version}`;
}

/** `PUT a=1 @5` or `DELETE a @6`, in order. */
export function briefEvents(answer: WatchResponse): string[] {
  return answer.events.map(({ type, kv }) =>
    type === 0 ? `PUT ${kv?.key}=${kv?.value} @${kv?.modRevision}` : `DELETE ${kv?.key} @${kv?.modRevision}`,
  );
}

/** Puts and gives the revision of the write. */
export async function put(client: RawClient, key: string, value = '', more: RequestMessage = {}): Promise<number> {
  return (await client.call('KV/Put', { key, value, ...more })).header!.revision;
}

export async function currentRevision(client: RawClient): Promise<number> {
  return (await client.call('KV/Range', { key: 'x', countOnly: true })).header!.revision;
}

/** Opens a watch stream that is cancelled with the test. */
export function watchStream(t: Test, client: RawClient): RequestStream<WatchResponse> {
  const stream = client.open('Watch/Watch');
  t.teardown(() => stream.cancel());
  return stream;
}

/** Creates a watch and waits for its `created`. */
export async function createWatch(
  stream: RequestStream<WatchResponse>,
  request: RequestMessage,
): Promise<WatchResponse> {
  stream.send({ createRequest: request });
  const created = await stream.next();
  if (!created.created) throw new Error(`expected a created, got ${describe(created)}`);
  return created;
}

/** Takes responses until `count` events have come. */
export async function takeEvents(stream: RequestStream<WatchResponse>, count: number): Promise<string[]> {
  const events: string[] = [];
  while (events.length < count) events.push(...briefEvents(await stream.next()));
  return events;
}

export function describe(value: unknown): string {
  return JSON.stringify(value, (_key, field: unknown) => (typeof field === 'bigint' ? `${field}n` : field));
}
