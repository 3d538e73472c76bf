/** The harness itself: two real etcds must be equal, and what is changed on one side must be found. */
import t from 'tap';
import { startEtcd } from '../../support/server.ts';
import { etcd, skipped } from '../suite/target.ts';
import { explain, type Pair, search, shrink } from './search.ts';
import type { Tamper } from './side.ts';

const pair: Pair = { reference: () => startEtcd(), other: () => startEtcd() };
const seed = 20_260_101;
const steps = 300;

/** Changes the first answer that has what it looks for, after some that it leaves alone. */
function once(change: (json: string) => string, afterChanges = 20): () => Tamper {
  return () => {
    let left = afterChanges;
    return (answer) => {
      const json = stringify(answer);
      const changed = change(json);
      if (changed === json || left-- > 0) return answer;
      return JSON.parse(changed, (_name, field: unknown) =>
        typeof field === 'string' && /^-?\d+n$/.test(field) ? BigInt(field.slice(0, -1)) : field,
      ) as unknown;
    };
  };
}

function stringify(answer: unknown): string {
  return JSON.stringify(answer, (_name, field: unknown) => (typeof field === 'bigint' ? `${field}n` : field));
}

if (!skipped(t, etcd)) {
  t.setTimeout(590_000);

  await t.test('two etcds give the same answers', async (t) => {
    const found = await search(pair, seed, steps);
    t.equal(found && explain(found), undefined);
  });

  const mutations: [string, () => Tamper][] = [
    ['a count', once((json) => json.replace(/"count":[1-9]/, '"count":77'))],
    ['a version', once((json) => json.replace(/"version":\d+/, '"version":77'))],
    ['a lease', once((json) => json.replace(/"lease":"[1-9]n"/, '"lease":"9n"'), 1)],
    ['the text of an error', once((json) => json.replace('"details":"etcdserver: ', '"details":"etcdserver:  '), 2)],
    ['a header inside a txn', once((json) => json.replace(/"clusterId":0/, '"clusterId":"set"'), 2)],
    ['an event left out', once((json) => json.replace(/\{"type":0,"kv":\{[^}]*\},"prevKv":null\},/, ''), 0)],
  ];
  for (const [name, tamper] of mutations) {
    await t.test(`finds ${name}`, async (t) => {
      t.ok(await search({ ...pair, tamper }, seed, steps), 'found');
    });
  }

  await t.test('makes a sequence shorter', async (t) => {
    const tampered = { ...pair, tamper: once((json) => json.replace(/"deleted":[1-9]/, '"deleted":0'), 0) };
    const found = await search(tampered, seed, steps);
    const shorter = await shrink(tampered, found!);
    t.ok(shorter.operations.length <= 3, explain(shorter));
    t.match(shorter.mismatch.other, { deleted: 0 });
  });
}
