import type { Test } from 'tap';
import type { codes } from '../../support/codes.ts';
import type { RequestMessage } from '../../support/wire.ts';
import { currentRevision, put, refused } from './assertions.ts';
import { fresh, type Target } from './target.ts';

const putOp = (key: string, value = '', more: RequestMessage = {}) => ({ requestPut: { key, value, ...more } });
const rangeOp = (key: string, more: RequestMessage = {}) => ({ requestRange: { key, ...more } });
const deleteOp = (key: string, rangeEnd = '') => ({ requestDeleteRange: { key, rangeEnd } });
const txnOp = (success: RequestMessage[], failure: RequestMessage[] = []) => ({ requestTxn: { success, failure } });
const many = (count: number, op: (index: number) => RequestMessage) => Array.from({ length: count }, (_, i) => op(i));

const duplicate = 'etcdserver: duplicate key given in txn request';
const tooMany = 'etcdserver: too many operations in txn request';
const emptyKey = 'etcdserver: key is not provided';
const notFound = 'etcdserver: key not found';

export async function txnRefused(t: Test, target: Target): Promise<void> {
  const { client } = await fresh(t, target);
  await put(client, 'a', '1'); // 2
  await put(client, 'a', '2'); // 3
  await put(client, 'b', '1'); // 4

  const check = async (t: Test, rows: [RequestMessage, keyof typeof codes, string][]) => {
    for (const [request, code, text] of rows) {
      const name = `${JSON.stringify(request).slice(0, 120)}: ${text}`;
      await refused(t, client.call('KV/Txn', request), code, text, name);
    }
    t.equal(await currentRevision(client), 4, 'nothing was written');
  };

  await t.test('the form of the request', (t) =>
    check(t, [
      [{ success: [{}] }, 'INVALID_ARGUMENT', notFound],
      [{ failure: [{}] }, 'INVALID_ARGUMENT', notFound],
      [{ success: [putOp('')] }, 'INVALID_ARGUMENT', emptyKey],
      [{ success: [rangeOp('')] }, 'INVALID_ARGUMENT', emptyKey],
      [{ success: [deleteOp('')] }, 'INVALID_ARGUMENT', emptyKey],
      [{ failure: [putOp('')] }, 'INVALID_ARGUMENT', emptyKey],
      [{ success: [txnOp([putOp('')])] }, 'INVALID_ARGUMENT', emptyKey],
      [{ success: [{ requestTxn: { compare: [{}] } }] }, 'INVALID_ARGUMENT', emptyKey],
      [{ success: [rangeOp('a', { sortOrder: 7 })] }, 'INVALID_ARGUMENT', 'etcdserver: invalid sort option'],
      [{ success: [putOp('a', 'x', { ignoreValue: true })] }, 'INVALID_ARGUMENT', 'etcdserver: value is provided'],
      [
        { success: [putOp('a', 'x', { ignoreLease: true, lease: 1 })] },
        'INVALID_ARGUMENT',
        'etcdserver: lease is provided',
      ],
    ]),
  );

  await t.test('too many operations', async (t) => {
    await check(t, [
      [{ success: many(129, () => rangeOp('a')) }, 'INVALID_ARGUMENT', tooMany],
      [{ failure: many(129, () => rangeOp('a')) }, 'INVALID_ARGUMENT', tooMany],
      [{ compare: many(129, () => ({ key: 'a', version: 9 })) }, 'INVALID_ARGUMENT', tooMany],
      [{ success: [txnOp(many(128, () => rangeOp('a')))] }, 'INVALID_ARGUMENT', tooMany],
      [
        { compare: many(100, () => ({ key: 'a' })), success: [txnOp(many(29, () => rangeOp('a')))] },
        'INVALID_ARGUMENT',
        tooMany,
      ],
      [{ success: [...many(127, () => rangeOp('a')), txnOp([txnOp([])])] }, 'INVALID_ARGUMENT', tooMany],
    ]);
    const full = await client.call('KV/Txn', {
      compare: many(128, () => ({ key: 'a', target: 0, version: 2 })),
      success: many(128, () => rangeOp('a')),
      failure: many(128, () => rangeOp('b')),
    });
    t.equal(full.succeeded, true);
    t.equal(full.responses.length, 128, '128 of each are allowed');
    const nested = await client.call('KV/Txn', { success: [txnOp(many(127, () => rangeOp('a')))] });
    t.equal(nested.responses[0]?.responseTxn?.responses.length, 127);
  });

  await t.test('duplicate keys', (t) =>
    check(t, [
      [{ success: [putOp('k'), putOp('k')] }, 'INVALID_ARGUMENT', duplicate],
      [{ failure: [putOp('k'), putOp('k')] }, 'INVALID_ARGUMENT', duplicate],
      [{ success: [putOp('k'), deleteOp('k')] }, 'INVALID_ARGUMENT', duplicate],
      [{ success: [deleteOp('k'), putOp('k')] }, 'INVALID_ARGUMENT', duplicate],
      [{ success: [deleteOp('j', 'l'), putOp('k')] }, 'INVALID_ARGUMENT', duplicate],
      [{ success: [putOp('k'), txnOp([putOp('k')])] }, 'INVALID_ARGUMENT', duplicate],
      [{ success: [putOp('k'), txnOp([], [putOp('k')])] }, 'INVALID_ARGUMENT', duplicate],
      [{ success: [txnOp([putOp('k')]), txnOp([putOp('k')])] }, 'INVALID_ARGUMENT', duplicate],
      [{ success: [txnOp([putOp('k')]), txnOp([], [putOp('k')])] }, 'INVALID_ARGUMENT', duplicate],
      [{ success: [deleteOp('k'), txnOp([putOp('k')])] }, 'INVALID_ARGUMENT', duplicate],
      [{ success: [putOp('k'), txnOp([deleteOp('k')])] }, 'INVALID_ARGUMENT', duplicate],
      [{ success: [txnOp([txnOp([putOp('k')])]), putOp('k')] }, 'INVALID_ARGUMENT', duplicate],
      [{ success: [txnOp([putOp('k'), putOp('k')])] }, 'INVALID_ARGUMENT', duplicate],
    ]),
  );

  await t.test('what depends on the state: the whole txn is refused', (t) =>
    check(t, [
      [
        { success: [putOp('new'), rangeOp('a', { revision: 5 })] },
        'OUT_OF_RANGE',
        'etcdserver: mvcc: required revision is a future revision',
      ],
      [
        { success: [putOp('new'), rangeOp('a', { revision: 99 })] },
        'OUT_OF_RANGE',
        'etcdserver: mvcc: required revision is a future revision',
      ],
      [
        { success: [rangeOp('a', { revision: 99 })] },
        'OUT_OF_RANGE',
        'etcdserver: mvcc: required revision is a future revision',
      ],
      [
        { success: [putOp('new'), putOp('x', '', { lease: 404 })] },
        'NOT_FOUND',
        'etcdserver: requested lease not found',
      ],
      [{ success: [putOp('new'), putOp('x', '', { ignoreValue: true })] }, 'INVALID_ARGUMENT', notFound],
      [{ success: [putOp('new'), txnOp([putOp('x', '', { ignoreLease: true })])] }, 'INVALID_ARGUMENT', notFound],
    ]),
  );

  await t.test('allowed: the same key in branches that exclude each other', async (t) => {
    const rows: RequestMessage[] = [
      { success: [putOp('k')], failure: [putOp('k')] },
      { success: [txnOp([putOp('k')], [putOp('k')])] },
      { success: [deleteOp('k'), deleteOp('j', 'l')] },
      { success: [putOp('k'), rangeOp('k'), deleteOp('l', 'm')] },
    ];
    for (const request of rows)
      t.equal((await client.call('KV/Txn', request)).succeeded, true, JSON.stringify(request));
  });

  await t.test('only the branch that runs is checked against the state', async (t) => {
    const request = {
      success: [rangeOp('a')],
      failure: [putOp('x', '', { lease: 404 }), rangeOp('a', { revision: 99 })],
    };
    t.equal((await client.call('KV/Txn', request)).succeeded, true);
  });

  await t.test('compacted', async (t) => {
    await client.call('KV/Compact', { revision: 4 });
    const before = await currentRevision(client);
    const text = 'etcdserver: mvcc: required revision has been compacted';
    const request = { success: [putOp('new'), rangeOp('a', { revision: 3 })] };
    await refused(t, client.call('KV/Txn', request), 'OUT_OF_RANGE', text);
    t.equal(await currentRevision(client), before);
    t.equal((await client.call('KV/Range', { key: 'new' })).count, 0);
    t.equal((await client.call('KV/Txn', { success: [rangeOp('a', { revision: 4 })] })).succeeded, true);
  });
}
