/** Request heads that are found again: whatever a client's encoder does, they say what a head that is made anew says. */
import t from 'tap';
import { encodeHeaders } from '../../../../src/transport/hpack/encoder.ts';
import { HeaderBlocks } from '../../../../src/transport/http2/header-blocks.ts';
import { requestHead } from '../../../../src/transport/http2/request-head.ts';
import { Random } from '../../../support/random.ts';
import type { Fields } from '../hpack/blocks.ts';
import { TableEncoder } from '../hpack/table-encoder.ts';

const seed = Number(process.env.HEADER_BLOCKS_SEED ?? Date.now() % 1_000_000_000);
t.comment(`HEADER_BLOCKS_SEED=${seed}`);

function request(path: string, ...more: Fields): Fields {
  return [[':method', 'POST'], [':scheme', 'http'], [':path', path], ['content-type', 'application/grpc'], ...more];
}

function read(blocks: HeaderBlocks, block: Buffer) {
  // As it comes: in the middle of other bytes.
  const bytes = Buffer.concat([Buffer.from('before'), block, Buffer.from('behind')]);
  return blocks.request(bytes, 6, 6 + block.length);
}

t.test('random calls by a random encoder', (t) => {
  const random = new Random(seed);
  const encoder = new TableEncoder(random, 4096);
  const blocks = new HeaderBlocks();
  const heads = new Set<unknown>();
  const rounds = 3000;
  for (let round = 0; round < rounds; round++) {
    const path = random.pick(['/etcdserverpb.KV/Range', '/etcdserverpb.KV/Txn', '/x']);
    const fields = [...request(path)];
    const timeout = random.pick([undefined, '5S', `${random.integer(0, 99_999_999)}u`]);
    if (timeout !== undefined) fields.splice(random.integer(3, fields.length), 0, ['grpc-timeout', timeout]);
    if (random.chance(0.3)) fields.push(['token', random.pick(['a', 'b', ' a', 'long'.repeat(200)])]);
    // The first of two counts.
    if (timeout !== undefined && random.chance(0.1)) fields.push(['grpc-timeout', '1H']);
    const head = read(blocks, encoder.encode(fields));
    const others = fields.filter((field) => field !== fields.find(([name]) => name === 'grpc-timeout'));
    const expected = requestHead(others.flat(), false);
    if (JSON.stringify(head) !== JSON.stringify(expected)) t.strictSame(head, expected, `round ${round}`);
    if (head === undefined) continue;
    heads.add(head);
    if (blocks.timeout !== timeout) t.equal(blocks.timeout, timeout, `round ${round}`);
  }
  // There are more kinds of calls than are kept.
  t.ok(heads.size < rounds / 2, `${heads.size} heads`);
  t.end();
});

t.test('calls that differ in their timeouts have one head', (t) => {
  const blocks = new HeaderBlocks();
  const call = (timeout: string) =>
    read(blocks, encodeHeaders(request('/x', ['grpc-timeout', timeout], ['token', 'a'])));
  const first = call('1000m');
  t.strictSame(first?.fields, ['content-type', 'application/grpc', 'token', 'a']);
  t.equal(blocks.timeout, '1000m');
  t.equal(call('999m'), first);
  t.equal(blocks.timeout, '999m');
  t.equal(call('1000m'), first, 'a block that was there before');
  t.equal(blocks.timeout, '1000m');
  t.not(read(blocks, encodeHeaders(request('/x', ['token', 'a']))), first);
  t.equal(blocks.timeout, undefined);
  t.equal(call('1\n'), undefined, 'no value of a field, of a head that is known');
  t.equal(
    read(new HeaderBlocks(), encodeHeaders(request('/x', ['grpc-timeout', '1\n']))),
    undefined,
    'and of a new one',
  );
  t.end();
});

t.test('pieces of a block are kept, not the memory that they came in', async (t) => {
  const fields = request('/etcdserverpb.KV/Put');
  const block = encodeHeaders(fields);
  const memory = Buffer.from(block);
  const blocks = new HeaderBlocks();
  blocks.begin(1, 0, memory.subarray(0, 10));
  memory.fill(0xff, 0, 10);
  blocks.continue(memory.subarray(10));
  memory.fill(0xff);
  t.ok(blocks.finish().equals(block));
});
