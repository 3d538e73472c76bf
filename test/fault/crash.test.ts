/**
 * The server on SQLite is killed under write load, at random moments and within compactions; after each restart everything
 * it promised must be there, and a watch that goes on where it was cut off must get everything once.
 *
 *   CRASH_ROUNDS=100   more rounds
 *   CRASH_SEED=…       the same choices again (printed; what the machine does in between is not the same)
 */
import { isDeepStrictEqual } from 'node:util';
import t, { type Test } from 'tap';
import type { Event, WatchResponse } from '../support/messages.ts';
import { eventually } from '../support/process.ts';
import { Random } from '../support/random.ts';
import type { RawClient, RequestStream } from '../support/raw-client.ts';
import { startPlinth } from '../support/server.ts';
import { compactUntilGone, Promises, writeUntilGone } from './crash-load.ts';

const rounds = Number(process.env.CRASH_ROUNDS ?? 5);
const seed = Number(process.env.CRASH_SEED ?? Date.now() % 2 ** 31);
const clients = 8;
/** A round runs for so long at most, from the moment at which its load begins. */
const roundMsMax = 900;

/** Everything that ever happened, as a watch of all keys was told, over all restarts. */
class History {
  /** Events by revision; dense from 2 on. */
  readonly events: Event[][] = [[], []];

  get revision(): number {
    return this.events.length - 1;
  }

  add(response: WatchResponse): void {
    if (response.canceled) throw new Error(`the watch was cancelled: ${JSON.stringify(response)}`);
    const before = this.revision;
    for (const event of response.events) {
      const revision = event.kv!.modRevision;
      // A revision is never split over two responses, so it can only be the last one of this response or the next.
      if (revision === this.revision + 1) this.events.push([]);
      else if (revision !== this.revision || revision === before) {
        throw new Error(`an event of revision ${revision} after revision ${this.revision}`);
      }
      (this.events[revision] as Event[]).push(event);
    }
  }

  /** The keys as they must be now. */
  state(): Map<string, { value: string; version: number; createRevision: number; modRevision: number }> {
    const keys: ReturnType<History['state']> = new Map();
    for (const { type, kv } of this.events.flat()) {
      const { key, value, modRevision } = kv!;
      const before = keys.get(key);
      if (type === 1) keys.delete(key);
      else {
        const [createRevision, version] = before ? [before.createRevision, before.version + 1] : [modRevision, 1];
        keys.set(key, { value, version, createRevision, modRevision });
      }
    }
    return keys;
  }
}

const everything = { key: '\0', rangeEnd: '\0' };

function openWatch(client: RawClient, startRevision: number): RequestStream<WatchResponse> {
  const stream = client.open('Watch/Watch');
  stream.send({ createRequest: { ...everything, startRevision } });
  return stream;
}

/** Follows the watch until the server is gone. */
async function follow(stream: RequestStream<WatchResponse>, history: History, promises: Promises): Promise<void> {
  for (let answer = await stream.nextOrEnd(600_000); answer; answer = await stream.nextOrEnd(600_000)) {
    history.add(answer);
    promises.compactable = history.revision;
  }
}

/** Follows a new watch up to a revision. */
async function followTo(client: RawClient, start: number, history: History, revision: number): Promise<void> {
  const stream = openWatch(client, start);
  while (history.revision < revision) history.add(await stream.next());
  stream.cancel();
}

async function verify(t: Test, client: RawClient, history: History, promises: Promises): Promise<void> {
  const all = await client.call('KV/Range', everything);
  const head = all.header!.revision;
  await followTo(client, history.revision + 1, history, head);
  t.equal(history.revision, head, 'revisions are dense and there is one event list for each');

  const lost = promises.writes.filter(({ revision, keys, value }) => {
    const events = history.events[revision] ?? [];
    return !keys.every((key) =>
      events.some(({ type, kv }) => kv!.key === key && (type === 1 ? value === undefined : kv!.value === value)),
    );
  });
  t.strictSame(lost, [], `all of ${promises.writes.length} acknowledged writes are there`);

  const seen = new Set<string>();
  const wrong: unknown[] = [];
  for (const events of history.events) {
    const [first] = events;
    if (
      first?.kv?.key.startsWith('txn/') &&
      (events.length !== 3 || events.some(({ kv }) => kv!.value !== first.kv!.value))
    ) {
      wrong.push(events);
    }
    const values = new Set(events.filter(({ type }) => type === 0).map(({ kv }) => kv!.value));
    for (const value of values) {
      if (seen.has(value)) wrong.push(['twice', value]);
      seen.add(value);
    }
  }
  t.strictSame(wrong, [], 'no write is half done or done twice');

  const expected = [...history.state()].sort(([a], [b]) => (a < b ? -1 : 1));
  const got = all.kvs.map(({ key, value, version, createRevision, modRevision }) => [
    key,
    { value, version, createRevision, modRevision },
  ]);
  const differs = got.findIndex((item, i) => !isDeepStrictEqual(item, expected[i]));
  t.strictSame(
    [got.length, got[differs]],
    [expected.length, expected[differs]],
    'the keys are what the events made of them',
  );

  const { leases } = await client.call('Lease/LeaseLeases', {});
  const ids = new Set(leases.map(({ ID }) => ID));
  const keys = new Map(expected);
  const gone = [...promises.leases].filter(([id, key]) => !ids.has(id) || !keys.has(key));
  t.strictSame(gone, [], `all of ${promises.leases.size} leases and their keys are there`);

  if (promises.compacted > 0) {
    const again = new History();
    const from = Math.max(promises.compacted, 2);
    again.events.length = 0;
    // One by one: so many are too many arguments for one call.
    for (let revision = 0; revision < from; revision++) again.events.push(history.events[revision] ?? []);
    await followTo(client, from, again, head);
    t.ok(isDeepStrictEqual(again.events, history.events), 'a watch from the compacted revision sees the same');
  }
}

t.setTimeout(0);

t.test(`killed ${rounds} times, seed ${seed}`, async (t) => {
  t.setTimeout(0);
  const random = new Random(seed);
  const server = await startPlinth({ backend: 'sqlite' });
  t.teardown(() => server.close());
  const [history, promises] = [new History(), new Promises()];
  for (let round = 0; round < rounds; round++) {
    // A connection of this round: one that lost its server waits ever longer before it tries again.
    const client = server.connect();
    const before = promises.writes.length;
    const watching = follow(openWatch(client, history.revision + 1), history, promises);
    const load = Array.from({ length: clients }, (_, worker) =>
      writeUntilGone(client, `${round}-${worker}`, new Random(random.integer(0, 2 ** 31)), promises),
    );
    const compacting = compactUntilGone(client, new Random(random.integer(0, 2 ** 31)), promises);
    await eventually(async () => {
      if (promises.writes.length === before) throw new Error('no write was acknowledged');
    });
    await new Promise((resolve) => setTimeout(resolve, random.integer(0, roundMsMax)));
    await server.child.stop('SIGKILL');
    await Promise.all([...load, compacting, watching]);
    client.close();
    await server.restart();
    const writes = promises.writes.length - before;
    await t.test(`round ${round}: ${writes} writes, compacted to ${promises.compacted}`, async (t) => {
      const again = server.connect();
      await verify(t, again, history, promises);
      again.close();
    });
  }
});
