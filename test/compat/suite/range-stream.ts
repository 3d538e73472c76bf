import type { Test } from 'tap';
import { codes } from '../../support/codes.ts';
import type { KeyValue, RangeResponse } from '../../support/messages.ts';
import type { RawClient } from '../../support/raw-client.ts';
import type { RequestMessage } from '../../support/wire.ts';
import { currentRevision, put } from './assertions.ts';
import { fresh, type Target } from './target.ts';

const whole = { key: '\0', rangeEnd: '\0' };

async function chunks(client: RawClient, request: RequestMessage): Promise<RangeResponse[]> {
  return (await client.serverStream('KV/RangeStream', request).all()).map((answer) => answer.rangeResponse!);
}

export async function rangeStream(t: Test, target: Target): Promise<void> {
  const { client } = await fresh(t, target);

  await t.test('an empty result is one chunk with a header', async (t) => {
    const answer = await chunks(client, { key: 'nothing' });
    t.equal(answer.length, 1);
    t.match(answer[0], { kvs: [], count: 0, more: false, header: { revision: 1 } });
    t.not(answer[0]?.header?.clusterId, 0n);
  });

  const keys = 200;
  for (let index = 0; index < keys; index++) await put(client, `k/${String(index).padStart(4, '0')}`, `v${index}`);
  const head = await currentRevision(client);

  await t.test('ten first, then doubling; header, count and more on the last chunk only', async (t) => {
    const answer = await chunks(client, whole);
    t.strictSame(
      answer.map((chunk) => chunk.kvs.length),
      [10, 20, 40, 80, 50],
    );
    for (const chunk of answer.slice(0, -1)) t.match(chunk, { header: null, count: 0, more: false });
    t.match(answer.at(-1), { header: { revision: head }, count: keys, more: false });
    const range = await client.call('KV/Range', whole);
    t.strictSame(
      answer.flatMap((chunk) => chunk.kvs),
      range.kvs,
      'the same as a Range',
    );
    t.strictSame(answer.at(-1)?.header, range.header);
  });

  await t.test('with the options of a Range', async (t) => {
    const rows: RequestMessage[] = [
      { limit: 35 },
      { limit: 30 },
      { limit: 1 },
      { limit: 1000 },
      { limit: -1 },
      { keysOnly: true },
      { revision: 50 },
      { revision: 50, limit: 11 },
      { revision: 1 },
      { revision: -3 },
      { serializable: true },
      { sortOrder: 1 },
      { countOnly: true },
      { countOnly: true, limit: 3 },
      { key: 'k/0010', rangeEnd: 'k/0020' },
      { key: 'k/0010', rangeEnd: '' },
      { key: 'b', rangeEnd: 'a' },
    ];
    for (const row of rows) {
      const request = { ...whole, ...row };
      const answer = await chunks(client, request);
      const range = await client.call('KV/Range', request);
      const last = answer.at(-1)!;
      const kvs: KeyValue[] = answer.flatMap((chunk) => chunk.kvs);
      const name = JSON.stringify(row);
      t.strictSame(kvs, range.kvs, name);
      t.strictSame(
        [last.count, last.more, last.header],
        [range.count, range.more, range.header],
        `${name}: last chunk`,
      );
      if (row.countOnly) t.equal(answer.length, 1);
    }
  });

  await t.test('what it does not support', async (t) => {
    const order = 'RangeStream does not support custom sort orders';
    const filters = 'RangeStream does not support revision filters';
    const future = 'etcdserver: mvcc: required revision is a future revision';
    const rows: [RequestMessage, keyof typeof codes, string][] = [
      [{ ...whole, sortOrder: 2 }, 'UNIMPLEMENTED', order],
      [{ ...whole, sortOrder: 1, sortTarget: 3 }, 'UNIMPLEMENTED', order],
      [{ ...whole, minModRevision: 1 }, 'UNIMPLEMENTED', filters],
      [{ ...whole, maxModRevision: 1 }, 'UNIMPLEMENTED', filters],
      [{ ...whole, minCreateRevision: 1 }, 'UNIMPLEMENTED', filters],
      [{ ...whole, maxCreateRevision: 1 }, 'UNIMPLEMENTED', filters],
      [{}, 'INVALID_ARGUMENT', 'etcdserver: key is not provided'],
      [{ ...whole, sortTarget: 9 }, 'INVALID_ARGUMENT', 'etcdserver: invalid sort option'],
      [{ ...whole, revision: head + 1 }, 'OUT_OF_RANGE', future],
    ];
    for (const [request, code, text] of rows) {
      const stream = client.serverStream('KV/RangeStream', request);
      t.strictSame(await stream.all(), []);
      t.strictSame(await stream.status, { code: codes[code], details: text });
    }
  });

  await t.test('large values: messages stay near 1.5 MiB', async (t) => {
    const value = 'x'.repeat(400_000);
    for (let index = 0; index < 20; index++) await put(client, `large/${index}`, value);
    const answer = await chunks(client, { key: 'large/', rangeEnd: 'large0' });
    t.equal(answer.flatMap((chunk) => chunk.kvs).length, 20);
    t.ok(answer.length > 2, 'several chunks');
    for (const chunk of answer.slice(1))
      t.ok(chunk.kvs.length <= 7, `${chunk.kvs.length} values of 400 kB in a message`);
  });

  await t.test('compacted', async (t) => {
    await client.call('KV/Compact', { revision: 100 });
    const stream = client.serverStream('KV/RangeStream', { ...whole, revision: 99 });
    t.strictSame(await stream.all(), []);
    const text = 'etcdserver: mvcc: required revision has been compacted';
    t.strictSame(await stream.status, { code: codes.OUT_OF_RANGE, details: text });
    t.equal((await chunks(client, { ...whole, revision: 100 })).at(-1)?.count, 99);
  });
}
