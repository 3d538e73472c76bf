/** Clients that do as they like on a few keys, and what each was answered. */
import type { Random } from '../support/random.ts';
import type { RawClient } from '../support/raw-client.ts';
import type { Server } from '../support/server.ts';
import type { Change, Operation } from './checker.ts';

const keys = ['a', 'b', 'c', 'd'];
const callTimeoutMs = 4000;
const pauseAfterErrorMs = 50;

/** The state of a run. */
export interface History {
  readonly operations: Operation[];
  /** Operations that were not answered, by the first line of what was said instead. */
  readonly errors: Map<string, number>;
  running: boolean;
}

/** Works until the history is ended. `serializable`: reads take what the replica has, which must not pass as linearizable. */
export async function work(
  server: Server,
  client: string,
  random: Random,
  history: History,
  serializable: boolean,
): Promise<void> {
  const connection = server.connect();
  /** The revisions at which this client last saw its keys changed, to swap on. */
  const seen = new Map<string, number>();
  for (let i = 0; history.running; i++) {
    const key = random.pick(keys);
    const value = `${client}/${i}`;
    const kind = random.weighted({ get: 5, put: 3, swap: 4 });
    const ask: Operation['ask'] =
      kind === 'get' ? { kind } : kind === 'put' ? { kind, value } : { kind, value, expected: seen.get(key) ?? 0 };
    const startedAt = performance.now();
    let answer: Operation['answer'];
    let endedAt = Number.POSITIVE_INFINITY;
    try {
      answer = await call(connection, key, ask, seen, serializable);
      endedAt = performance.now();
    } catch (error) {
      const said = (error as Error).message.replace(/\d+\.\d+\.\d+\.\d+:\d+/g, 'host').slice(0, 80);
      history.errors.set(said, (history.errors.get(said) ?? 0) + 1);
      await new Promise((resolve) => setTimeout(resolve, pauseAfterErrorMs));
    }
    if (answer !== undefined || kind !== 'get')
      history.operations.push({ client, startedAt, endedAt, key, ask, answer });
  }
  connection.close();
}

async function call(
  connection: RawClient,
  key: string,
  ask: Operation['ask'],
  seen: Map<string, number>,
  serializable: boolean,
): Promise<Operation['answer']> {
  const options = { timeoutMs: callTimeoutMs };
  if (ask.kind === 'get') {
    const { header, kvs } = await connection.call('KV/Range', { key, serializable }, options);
    seen.set(key, kvs[0]?.modRevision ?? 0);
    return { revision: header!.revision, value: kvs[0]?.value };
  }
  const requestPut = { key, value: ask.value };
  if (ask.kind === 'put') {
    const { header } = await connection.call('KV/Put', requestPut, options);
    seen.set(key, header!.revision);
    return { revision: header!.revision };
  }
  const compare = [{ key, result: 0, target: 2, modRevision: ask.expected }];
  const success = [{ requestPut }];
  const failure = [{ requestRange: { key } }];
  const { header, succeeded, responses } = await connection.call('KV/Txn', { compare, success, failure }, options);
  const found = responses[0]?.responseRange?.kvs[0]?.modRevision ?? 0;
  seen.set(key, succeeded ? header!.revision : found);
  return { revision: header!.revision, swapped: succeeded };
}

/** Everything that a replica tells of the log up to `revision`, by a watch from the beginning. */
export async function readLog(server: Server, revision: number): Promise<Change[]> {
  const connection = server.connect();
  const stream = connection.open('Watch/Watch');
  stream.send({ createRequest: { key: '\0', rangeEnd: '\0', startRevision: 1 } });
  const changes: Change[] = [];
  for (let last = 1; last < revision; ) {
    for (const { type, kv } of (await stream.next()).events) {
      last = kv!.modRevision;
      changes.push({ revision: last, key: kv!.key, value: type === 0 ? kv!.value : undefined });
    }
  }
  stream.cancel();
  connection.close();
  return changes;
}
