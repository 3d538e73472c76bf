/**
 * Writes header blocks. What `encodeHeaders` gives does not depend on the connection and adds nothing to the client's dynamic table, so
 * it can be made once and sent to everybody; encoder-table.ts is for the fields that come in every answer.
 */
import { encodeHuffman, huffmanBytes } from './huffman.ts';
import { encodeInteger } from './integer.ts';
import { staticIndexMax, staticNames, staticValues } from './static-table.ts';

export type HeaderField = readonly [name: string, value: string];

/** Flag and prefix of the representations (RFC 7541, 6.1, 6.2.1, 6.2.2, 6.3) and of strings (5.2). */
const representations = {
  indexed: { flag: 0x80, prefixMax: 0x7f },
  added: { flag: 0x40, prefixMax: 0x3f },
  literal: { flag: 0x00, prefixMax: 0x0f },
  size: { flag: 0x20, prefixMax: 0x1f },
} as const;
const huffmanFlag = 0x80;
const lengthPrefixMax = 0x7f;

/** No integer here takes more octets: lengths are those of strings in memory. */
const integerBytesMax = 6;

/** What the static table has for a name: the first index, and the index for each value. */
interface StaticName {
  readonly index: number;
  readonly byValue: Map<string, number>;
}

const staticFields = new Map<string, StaticName>();
for (let index = 1; index <= staticIndexMax; index++) {
  const name = staticNames[index]!;
  const field = staticFields.get(name) ?? { index, byValue: new Map<string, number>() };
  staticFields.set(name, field);
  field.byValue.set(staticValues[index]!, index);
}

/**
 * The fields as one block; names are put in lower case (RFC 9113, 8.2). What the static table lacks is a literal, which the client adds to
 * its dynamic table or not. Throws a RangeError for a character that is no octet.
 */
export function encodeHeaders(fields: readonly HeaderField[], literals: 'literal' | 'added' = 'literal'): Buffer {
  let bytesMax = 0;
  for (const [name, value] of fields) bytesMax += 3 * integerBytesMax + name.length + value.length;
  const block = Buffer.allocUnsafe(bytesMax);
  let position = 0;
  for (const [name, value] of fields) position = encodeField(name.toLowerCase(), value, literals, block, position);
  return block.subarray(0, position);
}

/** A field of the tables by its index, or a new size of the dynamic table. */
export function encodeIndex(index: number, kind: 'indexed' | 'size' = 'indexed'): Buffer {
  const block = Buffer.allocUnsafe(integerBytesMax);
  return block.subarray(0, encodeIndexAt(index, kind, block, 0));
}

function encodeIndexAt(index: number, kind: keyof typeof representations, block: Buffer, start: number): number {
  const { flag, prefixMax } = representations[kind];
  return encodeInteger(index, flag, prefixMax, block, start);
}

function encodeField(name: string, value: string, literals: 'literal' | 'added', block: Buffer, start: number): number {
  const known = staticFields.get(name);
  const index = known?.byValue.get(value);
  if (index !== undefined) return encodeIndexAt(index, 'indexed', block, start);
  let position = encodeIndexAt(known?.index ?? 0, literals, block, start);
  if (known === undefined) position = encodeString(name, block, position);
  return encodeString(value, block, position);
}

/** Huffman-coded if that is shorter. */
function encodeString(text: string, block: Buffer, start: number): number {
  const bytes = huffmanBytes(text);
  if (bytes < text.length) {
    return encodeHuffman(text, block, encodeInteger(bytes, huffmanFlag, lengthPrefixMax, block, start));
  }
  const position = encodeInteger(text.length, 0, lengthPrefixMax, block, start);
  return position + block.write(text, position, 'latin1');
}
