/** Header blocks in tests. */
import type { DecodeResult, HpackDecoder } from '../../../../src/transport/hpack/decoder.ts';

export type Fields = readonly (readonly [name: string, value: string])[];

/** From hexadecimal digits with white space. */
export function blockOf(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(/\s/g, ''), 'hex');
}

/** A string literal that is not Huffman-coded. */
export function plain(text: string): Buffer {
  const length = text.length < 127 ? [text.length] : [127, ...continued(text.length - 127)];
  return Buffer.concat([Buffer.from(length), Buffer.from(text, 'latin1')]);
}

function continued(rest: number): number[] {
  return rest < 128 ? [rest] : [(rest & 127) | 128, ...continued(rest >>> 7)];
}

/** A literal with a new name; `flags` is the first octet. */
export function literal(flags: 0x40 | 0x10 | 0x00, name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([flags]), plain(name), plain(value)]);
}

/** What one block hands out. */
export function decodeAll(decoder: HpackDecoder, block: Buffer): { fields: Fields; result: DecodeResult } {
  const fields: [string, string][] = [];
  const result = decoder.decode(block, (name, value) => fields.push([name, value]));
  return { fields, result };
}

export function sizeUpdate(bytes: number): Buffer {
  return Buffer.from(bytes < 31 ? [0x20 | bytes] : [0x3f, ...continued(bytes - 31)]);
}
