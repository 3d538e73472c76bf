/** Which header fields are a request, and which are trailers. */
import t from 'tap';
import { areTrailers, requestHead } from '../../../../src/transport/http2/request-head.ts';

const pseudo = [':method', 'POST', ':scheme', 'http', ':path', '/a/b'];

t.test('a request has its pseudo fields first, each once', async (t) => {
  t.match(requestHead([...pseudo, ':authority', 'x', 'te', 'trailers', 'content-length', '12', 'k', 'v'], false), {
    method: 'POST',
    path: '/a/b',
    contentLength: 12,
    fields: ['te', 'trailers', 'content-length', '12', 'k', 'v'],
    tooLarge: false,
  });
  for (const [what, fields] of [
    ['no method', pseudo.slice(2)],
    ['no path', pseudo.slice(0, 4)],
    ['no scheme', [':method', 'POST', ':path', '/']],
    ['an empty path', [':method', 'POST', ':scheme', 'http', ':path', '']],
    ['one twice', [...pseudo, ':path', '/c']],
    ['one of an answer', [...pseudo, ':status', '200']],
    ['an unknown one', [...pseudo, ':protocol', 'x']],
    ['one after the others', ['k', 'v', ...pseudo]],
    ['upper case', [...pseudo, 'Key', 'v']],
    ['no name', [...pseudo, '', 'v']],
    ['a space in a name', [...pseudo, 'a b', 'v']],
    ['a line end in a value', [...pseudo, 'k', 'v\r\nx: y']],
    ['a NUL in a value', [...pseudo, 'k', 'v\0']],
    ['a space before a value', [...pseudo, 'k', ' v']],
    ['a field of a connection', [...pseudo, 'connection', 'close']],
    ['transfer-encoding', [...pseudo, 'transfer-encoding', 'chunked']],
    ['te that is more than trailers', [...pseudo, 'te', 'gzip']],
    ['a length that is none', [...pseudo, 'content-length', '-1']],
  ] as const) {
    t.equal(requestHead(fields, false), undefined, what);
  }
});

t.test('where fields were left out, some may be missing', async (t) => {
  t.match(requestHead([':method', 'POST'], true), { method: 'POST', path: '', tooLarge: true });
});

t.test('trailers have no pseudo fields', async (t) => {
  t.ok(areTrailers([]));
  t.ok(areTrailers(['k', 'v']));
  t.notOk(areTrailers([':path', '/']));
  t.notOk(areTrailers(['K', 'v']));
  t.notOk(areTrailers(['connection', 'close']));
  t.notOk(areTrailers(['k', 'a\nb']));
});
