import type http2 from 'node:http2';
import t from 'tap';
import { HpackDecoder } from '../../../../src/transport/hpack/decoder.ts';
import { encodeHeaders } from '../../../../src/transport/hpack/encoder.ts';
import { EncoderTable, RepeatedBlock } from '../../../../src/transport/hpack/encoder-table.ts';
import type { Method } from '../../../../src/transport/rpc.ts';
import { start, unary } from '../grpc-support.ts';
import { decodeAll, type Fields } from './blocks.ts';

const headerFields: Fields = [
  [':status', '200'],
  ['content-type', 'application/grpc'],
];
const trailerFields: Fields = [['grpc-status', '0']];
const headers = new RepeatedBlock([[':status', '200']], ['content-type', 'application/grpc']);
const trailers = new RepeatedBlock([], ['grpc-status', '0']);

t.test('a field is added once, then named by its index', (t) => {
  const table = new EncoderTable();
  const decoder = new HpackDecoder({ tableBytesMax: 4096, headerListBytesMax: 65_536 });
  const read = (octets: Buffer) => decodeAll(decoder, octets).fields;
  const other = encodeHeaders([['x-more', 'yes']]);
  for (const [block, fields, hex] of [
    [headers, headerFields, undefined],
    [headers, headerFields, '88be'],
    [trailers, trailerFields, undefined],
    [other, [['x-more', 'yes']], other.toString('hex')],
    [headers, headerFields, '88bf'],
    [trailers, trailerFields, 'be'],
  ] as const) {
    const octets = table.encode(block);
    t.strictSame(read(octets), fields);
    if (hex !== undefined) t.equal(octets.toString('hex'), hex);
  }
  t.equal(decoder.table.bytes, headers.entryBytes + trailers.entryBytes);
  t.end();
});

t.test('what does not fit into the table stays out of it', (t) => {
  const table = new EncoderTable();
  const decoder = new HpackDecoder({ tableBytesMax: 4096, headerListBytesMax: 65_536 });
  const large = new RepeatedBlock([], ['x-large', 'x'.repeat(5000)]);
  const nearly = new RepeatedBlock([], ['x-large', 'x'.repeat(4000)]);
  for (const block of [large, nearly, headers, large, nearly, headers]) {
    const { fields } = decodeAll(decoder, table.encode(block));
    t.same(fields.at(-1)?.[0], block === headers ? 'content-type' : 'x-large');
  }
  t.equal(decoder.table.bytes, nearly.entryBytes);
  t.end();
});

t.test('a client that makes its table smaller is told that it is heeded, and gets literals', (t) => {
  const table = new EncoderTable();
  const decoder = new HpackDecoder({ tableBytesMax: 100, headerListBytesMax: 65_536 });
  table.limit(4096);
  t.strictSame(decodeAll(decoder, table.encode(headers)).fields, headerFields);
  t.equal(decoder.table.bytes, headers.entryBytes);
  table.limit(100);
  // From here on the decoder refuses a block that does not begin with a smaller size.
  decoder.settingsAcknowledged();
  for (const first of [true, false]) {
    const octets = table.encode(headers);
    t.equal(octets.toString('hex'), `${first ? '20' : ''}${headers.literal.toString('hex')}`);
    t.strictSame(decodeAll(decoder, octets).fields, headerFields);
    t.strictSame(decodeAll(decoder, table.encode(trailers)).fields, trailerFields);
  }
  t.equal(decoder.table.bytes, 0);
  t.end();
});

/** A client by nghttp2, which closes the connection if its own table is not heeded. */
t.test('answers to a client with a table of another size', async (t) => {
  const echo: Method = unary((request) => request);
  const { connectHttp2 } = await start(t, { '/test.Test/Echo': echo });
  for (const headerTableSize of [0, 50, 1000, 4096, 65_536]) {
    const session = connectHttp2({ headerTableSize });
    t.teardown(() => session.destroy());
    for (let call = 0; call < 3; call++) {
      t.strictSame(await echoed(session), ['200', 'application/grpc', '0'], `${headerTableSize}, call ${call}`);
    }
    const acknowledged = new Promise((resolve) => session.once('localSettings', resolve));
    session.settings({ headerTableSize: 10 });
    await acknowledged;
    t.strictSame(await echoed(session), ['200', 'application/grpc', '0'], `${headerTableSize}, then 10`);
    session.close();
  }
});

/** Status, content-type and grpc-status of a call. */
function echoed(session: http2.ClientHttp2Session): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/test.Test/Echo',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    const seen: unknown[] = [];
    stream.on('response', (headers) => seen.push(headers[':status'], headers['content-type']));
    stream.on('trailers', (trailers) => seen.push(trailers['grpc-status']));
    stream.on('error', reject);
    stream.on('close', () => resolve(seen.map(String)));
    stream.resume();
    stream.end(Buffer.from([0, 0, 0, 0, 1, 7]));
  });
}
