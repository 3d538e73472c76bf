/** The texts of gRPC in header fields. */
import t from 'tap';
import { trailers, trailersOnly } from '../../../../src/transport/grpc/status.ts';
import { parseTimeout } from '../../../../src/transport/grpc/timeout.ts';
import { HpackDecoder } from '../../../../src/transport/hpack/decoder.ts';
import { EncoderTable, type HeaderBlock } from '../../../../src/transport/hpack/encoder-table.ts';
import { Code } from '../../../../src/transport/rpc.ts';

function decoded(headerBlock: HeaderBlock): Record<string, string> {
  const fields: Record<string, string> = {};
  const block = new EncoderTable().encode(headerBlock);
  const decoder = new HpackDecoder({ tableBytesMax: 4096, headerListBytesMax: 65_536 });
  decoder.decode(block, (name, value) => {
    fields[name] = value;
  });
  return fields;
}

t.test('a status with its message, percent-encoded where it is not visible ASCII', async (t) => {
  t.strictSame(decoded(trailers(Code.OK, '')), { 'grpc-status': '0' });
  for (const [text, wire] of [
    ['etcdserver: key is not provided', 'etcdserver: key is not provided'],
    ['100 %', '100 %25'],
    ['a\tb\r\nc', 'a%09b%0D%0Ac'],
    ['Schlüssel 🗝', 'Schl%C3%BCssel %F0%9F%97%9D'],
    ['~', '~'],
    ['\x7f', '%7F'],
    ['\ud800', '%EF%BF%BD'],
  ] as const) {
    t.strictSame(
      decoded(trailersOnly(Code.INVALID_ARGUMENT, text, [['x-more', 'yes']])),
      {
        ':status': '200',
        'content-type': 'application/grpc',
        'grpc-status': '3',
        'grpc-message': wire,
        'x-more': 'yes',
      },
      JSON.stringify(text),
    );
  }
});

t.test('grpc-timeout: at most eight digits and a unit', async (t) => {
  for (const [text, milliseconds] of [
    ['1H', 3_600_000],
    ['2M', 120_000],
    ['3S', 3000],
    ['100m', 100],
    ['4999981u', 4999.981],
    ['99999999n', 99.999999],
    ['0m', 0],
  ] as const) {
    t.ok(Math.abs(parseTimeout(text)! - milliseconds) < 1e-6, text);
  }
  for (const text of ['', '1', 'm', '123456789m', '-1m', '1.5S', '1s', '1m ', '+1m']) {
    t.equal(parseTimeout(text), undefined, JSON.stringify(text));
  }
});
