/** The header blocks of answers (gRPC over HTTP/2, Responses). The usual ones are made once. */
import { encodeHeaders, type HeaderField } from '../hpack/encoder.ts';
import { type HeaderBlock, RepeatedBlock } from '../hpack/encoder-table.ts';
import { Code } from '../rpc.ts';
import { statusTextCharactersMax } from './limits.ts';

const status: HeaderField = [':status', '200'];
const contentType: HeaderField = ['content-type', 'application/grpc'];
const ok: readonly HeaderField[] = [status, contentType];

/** Response headers, before the first message. */
export const responseHeaders = new RepeatedBlock([status], contentType);

export function headersWith(metadata: readonly HeaderField[]): Buffer {
  return encodeHeaders([...ok, ...metadata]);
}

const okTrailers = new RepeatedBlock([], ['grpc-status', String(Code.OK)]);

/** What ends a call that has sent response headers. */
export function trailers(code: Code, text: string, metadata: readonly HeaderField[] = []): HeaderBlock {
  if (code === Code.OK && text === '' && metadata.length === 0) return okTrailers;
  return encodeHeaders([...statusFields(code, text), ...metadata]);
}

/** What ends a call that has sent nothing: both in one (Trailers-Only). */
export function trailersOnly(code: Code, text: string, metadata: readonly HeaderField[] = []): Buffer {
  return encodeHeaders([...ok, ...statusFields(code, text), ...metadata]);
}

function statusFields(code: Code, text: string): HeaderField[] {
  return [
    ['grpc-status', String(code)],
    ['grpc-message', cut(percentEncode(text.slice(0, statusTextCharactersMax)))],
  ];
}

/** Status-Message: UTF-8, everything but visible ASCII and space as %XX, and % itself. */
function percentEncode(text: string): string {
  if (/^[ -$&-~]*$/.test(text)) return text;
  let encoded = '';
  for (const byte of Buffer.from(text)) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}

/** As long as it may be, not ending in half a %XX. */
function cut(encoded: string): string {
  return encoded.length <= statusTextCharactersMax
    ? encoded
    : encoded.slice(0, statusTextCharactersMax).replace(/%.?$/, '');
}
