import type { Test } from 'tap';
import type { RequestMessage } from '../../support/wire.ts';
import { put, refused } from './assertions.ts';
import { fresh, type Target } from './target.ts';

const results = ['EQUAL', 'GREATER', 'LESS', 'NOT_EQUAL'] as const;
const targets = { VERSION: 0, CREATE: 1, MOD: 2, VALUE: 3, LEASE: 4 };

export async function txnCompare(t: Test, target: Target): Promise<void> {
  const { client } = await fresh(t, target);
  const holds = async (...compare: RequestMessage[]) => (await client.call('KV/Txn', { compare })).succeeded;
  /** Which of the four results hold. */
  const held = async (compare: RequestMessage) => {
    const which: string[] = [];
    for (const [result, name] of results.entries()) if (await holds({ ...compare, result })) which.push(name);
    return which.join(' ');
  };

  await client.call('Lease/LeaseGrant', { ID: 50, TTL: 600 });
  await put(client, 'a', 'm'); // 2
  await put(client, 'a', 'm'); // 3
  await put(client, 'a', 'm', { lease: 50 }); // 4: version 3
  await put(client, 'b', 'q'); // 5

  await t.test('every target and result on one key', async (t) => {
    const rows: [string, keyof typeof targets, RequestMessage, RequestMessage, RequestMessage][] = [
      ['version', 'VERSION', { version: 2 }, { version: 3 }, { version: 4 }],
      ['create', 'CREATE', { createRevision: 1 }, { createRevision: 2 }, { createRevision: 3 }],
      ['mod', 'MOD', { modRevision: 3 }, { modRevision: 4 }, { modRevision: 5 }],
      ['value', 'VALUE', { value: 'l' }, { value: 'm' }, { value: 'n' }],
      ['lease', 'LEASE', { lease: 49 }, { lease: 50 }, { lease: 51 }],
    ];
    for (const [name, kind, below, same, above] of rows) {
      const compare = { key: 'a', target: targets[kind] };
      t.equal(await held({ ...compare, ...below }), 'GREATER NOT_EQUAL', `${name} below`);
      t.equal(await held({ ...compare, ...same }), 'EQUAL', `${name} same`);
      t.equal(await held({ ...compare, ...above }), 'LESS NOT_EQUAL', `${name} above`);
    }
    t.equal(await held({ key: 'a', target: targets.VALUE, value: 'mm' }), 'LESS NOT_EQUAL', 'a longer value');
    t.equal(await held({ key: 'a', target: targets.VALUE, value: '\xff' }), 'LESS NOT_EQUAL', 'bytes, not text');
  });

  await t.test('a missing key compares as 0; its value never compares', async (t) => {
    for (const name of ['version', 'createRevision', 'modRevision', 'lease']) {
      const kind = { version: 0, createRevision: 1, modRevision: 2, lease: 4 }[name]!;
      t.equal(await held({ key: 'missing', target: kind, [name]: 0 }), 'EQUAL', `${name} 0`);
      t.equal(await held({ key: 'missing', target: kind, [name]: 1 }), 'LESS NOT_EQUAL', `${name} 1`);
      t.equal(await held({ key: 'missing', target: kind, [name]: -1 }), 'GREATER NOT_EQUAL', `${name} -1`);
    }
    t.equal(await held({ key: 'missing', target: targets.VALUE, value: 'x' }), '');
    t.equal(await held({ key: 'missing', target: targets.VALUE, value: '' }), '');
    t.equal(await held({ key: 'missing', target: targets.VALUE }), '');
  });

  await t.test('a missing target_union is zero', async (t) => {
    for (const kind of [targets.VERSION, targets.CREATE, targets.MOD, targets.LEASE]) {
      t.equal(await held({ key: 'missing', target: kind }), 'EQUAL');
      t.equal(await held({ key: 'a', target: kind }), 'GREATER NOT_EQUAL');
    }
    t.equal(await held({ key: 'a', target: targets.VALUE }), 'GREATER NOT_EQUAL', 'an empty value');
    t.equal(
      await held({ key: 'a', target: targets.VERSION, modRevision: 3 }),
      'GREATER NOT_EQUAL',
      'a member of another target',
    );
  });

  await t.test('over a range every key must hold', async (t) => {
    const both = { key: 'a', rangeEnd: 'c' };
    t.equal(await holds({ ...both, target: targets.VERSION, result: 1, version: 0 }), true);
    t.equal(await holds({ ...both, target: targets.VERSION, result: 1, version: 1 }), false);
    t.equal(await holds({ ...both, target: targets.VALUE, result: 2, value: 'r' }), true);
    t.equal(await holds({ ...both, target: targets.VALUE, result: 0, value: 'm' }), false);
    t.equal(await holds({ key: 'a', rangeEnd: '\0', target: targets.CREATE, result: 2, createRevision: 6 }), true);
    t.equal(await holds({ key: 'b', rangeEnd: '\0', target: targets.LEASE, result: 0, lease: 0 }), true);
    t.equal(
      await held({ key: 'x', rangeEnd: 'z', target: targets.VERSION, version: 0 }),
      'EQUAL',
      'an empty range is a missing key',
    );
    t.equal(await held({ key: 'x', rangeEnd: 'z', target: targets.VALUE, value: '' }), '');
    t.equal(await held({ key: 'b', rangeEnd: 'a', target: targets.MOD, modRevision: 0 }), 'EQUAL');
  });

  await t.test('all compares must hold', async (t) => {
    const yes = { key: 'a', target: targets.VERSION, version: 3 };
    const no = { key: 'b', target: targets.VERSION, version: 3 };
    t.equal(await holds(yes, yes), true);
    t.equal(await holds(yes, no), false);
    t.equal(await holds(no, yes), false);
  });

  await t.test('unknown enums', async (t) => {
    t.equal(await holds({ key: 'a', target: targets.VERSION, result: 9, version: 1 }), true, 'an unknown result holds');
    t.equal(await holds({ key: 'a', target: 9, result: 0, version: 99 }), true, 'an unknown target compares equal');
    t.equal(await holds({ key: 'a', target: 9, result: 1, version: 99 }), false);
  });

  await t.test('refused', async (t) => {
    const text = 'etcdserver: key is not provided';
    await refused(t, holds({ target: targets.VERSION, version: 0 }), 'INVALID_ARGUMENT', text);
    await refused(t, holds({ rangeEnd: '\0', target: targets.VERSION }), 'INVALID_ARGUMENT', text);
  });
}
