import type { Test } from 'tap';
import { codes } from '../../support/codes.ts';
import { put, refused } from './assertions.ts';
import { fresh, type Target } from './target.ts';

const requestBytesMax = 1.5 * 1024 * 1024;
const messageBytesMax = 2 * 1024 * 1024;
const tooLarge = 'etcdserver: request is too large';

export async function limits(t: Test, target: Target): Promise<void> {
  const { client } = await fresh(t, target);

  await t.test('the size of a request', async (t) => {
    const put = (length: number) => client.call('KV/Put', { key: 'a', value: 'x'.repeat(length) });
    await put(requestBytesMax - 200);
    t.equal((await client.call('KV/Range', { key: 'a' })).kvs[0]?.value.length, requestBytesMax - 200);
    await refused(t, put(requestBytesMax), 'INVALID_ARGUMENT', tooLarge);
    const half = { requestPut: { key: 'a', value: 'x'.repeat(requestBytesMax / 2) } };
    const other = { requestPut: { key: 'b', value: 'x'.repeat(requestBytesMax / 2) } };
    await refused(t, client.call('KV/Txn', { success: [half, other] }), 'INVALID_ARGUMENT', tooLarge);
    const key = 'k'.repeat(requestBytesMax);
    await refused(t, client.call('KV/DeleteRange', { key }), 'INVALID_ARGUMENT', tooLarge);
    t.equal((await client.call('KV/Range', { key })).count, 0, 'a read is not limited by it');
    t.equal((await client.call('KV/Range', { key: 'a' })).header?.revision, 2);
  });

  await t.test('the size of a message', async (t) => {
    for (const length of [messageBytesMax, messageBytesMax + 1_000_000]) {
      const call = client.call('KV/Put', { key: 'a', value: 'x'.repeat(length) });
      const bytes = length + 3 + 5; // key field, head of the value field
      const text = `grpc: received message larger than max (${bytes} vs. ${messageBytesMax})`;
      await refused(t, call, 'RESOURCE_EXHAUSTED', text);
    }
    const inside = messageBytesMax - 8;
    const call = client.call('KV/Put', { key: 'a', value: 'x'.repeat(inside) });
    await refused(t, call, 'INVALID_ARGUMENT', tooLarge, 'a message of exactly the limit is read');
    await put(client, 'a', 'the connection goes on');
  });

  await t.test('a large answer', async (t) => {
    for (let index = 0; index < 20; index++) await put(client, `large/${index}`, 'x'.repeat(1_000_000));
    const answer = await client.call('KV/Range', { key: 'large/', rangeEnd: 'large0' });
    t.equal(answer.kvs.length, 20);
    t.ok(answer.kvs.every((kv) => kv.value.length === 1_000_000));
  });

  await t.test('flags change the limits', async (t) => {
    const { client } = await fresh(t, target, '--max-request-bytes=10000', '--max-txn-ops=3');
    await refused(t, client.call('KV/Put', { key: 'a', value: 'x'.repeat(10_000) }), 'INVALID_ARGUMENT', tooLarge);
    const reads = Array.from({ length: 4 }, () => ({ requestRange: { key: 'a' } }));
    const tooMany = 'etcdserver: too many operations in txn request';
    await refused(t, client.call('KV/Txn', { success: reads }), 'INVALID_ARGUMENT', tooMany);
    t.equal((await client.call('KV/Txn', { success: reads.slice(1) })).responses.length, 3);
  });

  await t.test('methods and services that do not exist', async (t) => {
    const rows: [string, string][] = [
      ['/etcdserverpb.KV/Nope', 'unknown method Nope for service etcdserverpb.KV'],
      ['/etcdserverpb.Nope/Range', 'unknown service etcdserverpb.Nope'],
      ['/Range', 'malformed method name: "/Range"'],
    ];
    for (const [path, text] of rows) await refused(t, client.raw(path, new Uint8Array()), 'UNIMPLEMENTED', text);
  });

  await t.test('requests that are no message', async (t) => {
    for (const hex of ['ff', '0a05', '08ff', '0aff01', '0a80']) {
      const error = await client.raw('/etcdserverpb.KV/Range', Buffer.from(hex, 'hex')).catch((refusal) => refusal);
      t.equal(error.code, codes.INTERNAL, hex);
      t.match(error.details, /^grpc: error unmarshalling request: /, hex);
    }
    const unknownField = Buffer.from('0a0161fa3f0178', 'hex'); // key "a", field 1023 "x"
    await client.raw('/etcdserverpb.KV/Range', unknownField);
  });

  await t.test('calls with no message or with two', async (t) => {
    const message = Buffer.from('0a0161', 'hex'); // key "a"
    const violation = 'cardinality violation: received';
    const kind = 'non-client-streaming RPC';
    const rows: [string, number, number, string][] = [
      ['/etcdserverpb.KV/Range', 0, codes.UNKNOWN, 'EOF'],
      ['/etcdserverpb.KV/RangeStream', 0, codes.INTERNAL, `${violation} no request message from ${kind}`],
      ['/etcdserverpb.KV/RangeStream', 2, codes.INTERNAL, `${violation} multiple request messages for ${kind}`],
      ['/etcdserverpb.Lease/LeaseKeepAlive', 0, codes.OK, ''],
    ];
    for (const [path, messages, code, details] of rows) {
      const stream = client.openRaw(path);
      for (let count = 0; count < messages; count++) stream.send({ bytes: message });
      stream.end();
      t.strictSame(await stream.status, { code, details }, `${messages} to ${path}`);
    }
  });

  await t.test('metadata', async (t) => {
    const range = (metadata: Record<string, string>) => client.call('KV/Range', { key: 'b' }, { metadata });
    t.equal((await range({ hasleader: 'true' })).count, 0);
    t.equal((await range({ 'client-api-version': '3.7' })).count, 0);
  });
}
