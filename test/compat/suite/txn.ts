import type { Test } from 'tap';
import type { TxnResponse } from '../../support/messages.ts';
import type { RequestMessage } from '../../support/wire.ts';
import { brief, currentRevision, put } from './assertions.ts';
import { fresh, type Target } from './target.ts';

const putOp = (key: string, value = '', more: RequestMessage = {}) => ({ requestPut: { key, value, ...more } });
const rangeOp = (key: string, more: RequestMessage = {}) => ({ requestRange: { key, ...more } });
const deleteOp = (key: string, rangeEnd = '', more: RequestMessage = {}) => ({
  requestDeleteRange: { key, rangeEnd, ...more },
});

/** What each op answered, in one line. */
function briefly(answer: TxnResponse): string[] {
  return answer.responses.map((op) => {
    if (op.responseRange)
      return `range @${op.responseRange.header?.revision} ${op.responseRange.kvs.map(brief).join(', ')}`;
    if (op.responsePut) return `put @${op.responsePut.header?.revision} ${brief(op.responsePut.prevKv)}`;
    const deleted = op.responseDeleteRange;
    if (deleted)
      return `delete @${deleted.header?.revision} ${deleted.deleted} ${deleted.prevKvs.map(brief).join(', ')}`;
    return `txn ${op.responseTxn?.succeeded} [${briefly(op.responseTxn!).join('; ')}]`;
  });
}

export async function txn(t: Test, target: Target): Promise<void> {
  const { client } = await fresh(t, target);
  await put(client, 'a', '1'); // 2
  await put(client, 'a', '2'); // 3
  await put(client, 'b', '1'); // 4

  await t.test('an empty txn', async (t) => {
    const answer = await client.call('KV/Txn', {});
    t.match(answer, { succeeded: true, responses: [], header: { revision: 4 } });
    t.not(answer.header?.clusterId, 0n);
  });

  await t.test('ops see what came before them in the txn', async (t) => {
    const answer = await client.call('KV/Txn', {
      success: [
        rangeOp('a'),
        putOp('a', '3', { prevKv: true }),
        rangeOp('a'),
        deleteOp('b', '', { prevKv: true }),
        rangeOp('b'),
        putOp('c', '1', { prevKv: true }),
        deleteOp('x', 'z'),
        rangeOp('\0', { rangeEnd: '\0' }),
        rangeOp('a', { revision: 3 }),
      ],
    });
    t.equal(answer.header?.revision, 5);
    t.strictSame(briefly(answer), [
      'range @4 a=2 create 2 mod 3 version 2',
      'put @5 a=2 create 2 mod 3 version 2',
      'range @5 a=3 create 2 mod 5 version 3',
      'delete @5 1 b=1 create 4 mod 4 version 1',
      'range @5 ',
      'put @5 none',
      'delete @5 0 ',
      'range @5 a=3 create 2 mod 5 version 3, c=1 create 5 mod 5 version 1',
      'range @5 a=2 create 2 mod 3 version 2',
    ]);
    const headers = answer.responses.map(
      (op) => (op.responseRange ?? op.responsePut ?? op.responseDeleteRange)!.header!,
    );
    t.ok(headers.every((header) => header.clusterId === 0n && header.memberId === 0n && header.raftTerm === 0n));
    t.equal(await currentRevision(client), 5, 'one revision for all of it');
  });

  await t.test('no revision without a write', async (t) => {
    for (const success of [[rangeOp('a')], [deleteOp('x')], [deleteOp('x', 'z', { prevKv: true }), rangeOp('a')]]) {
      const answer = await client.call('KV/Txn', { success, failure: [putOp('never')] });
      t.equal(answer.header?.revision, 5);
      t.equal(answer.succeeded, true);
    }
    const failed = await client.call('KV/Txn', { compare: [{ key: 'a', version: 99 }], success: [putOp('never')] });
    t.match(failed, { succeeded: false, responses: [], header: { revision: 5 } });
    t.equal(await currentRevision(client), 5);
  });

  await t.test('a delete that follows a put in one txn', async (t) => {
    const answer = await client.call('KV/Txn', {
      success: [deleteOp('y'), rangeOp('y'), deleteOp('a', 'b'), deleteOp('a', 'z')],
    });
    t.strictSame(
      briefly(answer),
      ['delete @5 0 ', 'range @5 ', 'delete @6 1 ', 'delete @6 1 '],
      'overlapping deletes are fine',
    );
    t.equal(answer.header?.revision, 6);
    await put(client, 'a', '1'); // 7
  });

  await t.test('nested', async (t) => {
    const answer = await client.call('KV/Txn', {
      compare: [{ key: 'a', target: 3, value: '1' }],
      success: [
        putOp('n1', 'x'),
        {
          requestTxn: {
            compare: [{ key: 'n1', target: 0, result: 0, version: 1 }],
            success: [putOp('n2', 'then')],
            failure: [
              putOp('n2', 'else'),
              { requestTxn: { success: [rangeOp('n1'), rangeOp('n2')] } },
              { requestTxn: { compare: [{ key: 'n2', target: 1, result: 1 }], failure: [putOp('n3', 'deep')] } },
            ],
          },
        },
        rangeOp('n', { rangeEnd: 'o', keysOnly: true }),
      ],
    });
    t.equal(answer.header?.revision, 8);
    t.strictSame(
      briefly(answer),
      [
        'put @8 none',
        'txn false [put @8 none; ' +
          'txn true [range @8 n1=x create 8 mod 8 version 1; range @8 n2=else create 8 mod 8 version 1]; ' +
          'txn false [put @8 none]]',
        'range @8 n1= create 8 mod 8 version 1, n2= create 8 mod 8 version 1, n3= create 8 mod 8 version 1',
      ],
      'compares see the state before the txn',
    );
    const nested = answer.responses[1]!.responseTxn!;
    t.strictSame(nested.header, { clusterId: 0n, memberId: 0n, revision: 0, raftTerm: 0n }, 'an empty nested header');
  });

  await t.test('events of a txn: one response, in op order', async (t) => {
    const stream = client.open('Watch/Watch');
    t.teardown(() => stream.cancel());
    stream.send({ createRequest: { key: '\0', rangeEnd: '\0' } });
    await stream.next();
    const answer = await client.call('KV/Txn', {
      success: [putOp('z2', '1'), deleteOp('n', 'o'), { requestTxn: { success: [putOp('z1', '1')] } }, putOp('a', '9')],
    });
    const { events, header } = await stream.next();
    t.equal(header?.revision, answer.header?.revision);
    t.strictSame(
      events.map((event) => `${event.type} ${event.kv?.key}`),
      ['0 z2', '1 n1', '1 n2', '1 n3', '0 z1', '0 a'],
    );
    t.ok(events.every((event) => event.kv?.modRevision === answer.header?.revision));
  });

  await t.test('serializable reads', async (t) => {
    const answer = await client.call('KV/Txn', { success: [rangeOp('a', { serializable: true }), rangeOp('z1')] });
    t.equal(answer.responses.length, 2);
  });

  await t.test('leases and ignored fields', async (t) => {
    await client.call('Lease/LeaseGrant', { ID: 3, TTL: 600 });
    await client.call('KV/Txn', {
      success: [putOp('leased', '1', { lease: 3 }), putOp('z1', '', { ignoreValue: true })],
    });
    t.strictSame((await client.call('Lease/LeaseTimeToLive', { ID: 3, keys: true })).keys, ['leased']);
    const kept = await client.call('KV/Txn', {
      success: [putOp('leased', '2', { ignoreLease: true }), rangeOp('leased')],
    });
    t.equal(kept.responses[1]?.responseRange?.kvs[0]?.lease, 3n);
  });
}
