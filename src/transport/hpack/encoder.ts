/**
 * Writes header blocks of responses. Nothing is ever indexed: blocks do not depend on the connection, so they can be made once
 * and sent to everybody, and there is no table to keep in step with the client's.
 */
import { encodeHuffman, huffmanBytes } from './huffman.ts';
import { encodeInteger } from './integer.ts';
import { staticIndexMax, staticNames, staticValues } from './static-table.ts';

export type HeaderField = readonly [name: string, value: string];

/** Flag and prefix of the representations in use (RFC 7541, 6.1, 6.2.2) and of strings (5.2). */
const indexedFlag = 0x80;
const indexPrefixMax = 0x7f;
const literalFlag = 0x00;
const nameIndexPrefixMax = 0x0f;
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
 * The fields as one block; names are put in lower case (RFC 9113, 8.2). Throws a RangeError for a character that is no octet.
 */
export function encodeHeaders(fields: readonly HeaderField[]): Buffer {
  let bytesMax = 0;
  for (const [name, value] of fields) bytesMax += 3 * integerBytesMax + name.length + value.length;
  const block = Buffer.allocUnsafe(bytesMax);
  let position = 0;
  for (const [name, value] of fields) position = encodeField(name.toLowerCase(), value, block, position);
  return block.subarray(0, position);
}

function encodeField(name: string, value: string, block: Buffer, start: number): number {
  const known = staticFields.get(name);
  const index = known?.byValue.get(value);
  if (index !== undefined) return encodeInteger(index, indexedFlag, indexPrefixMax, block, start);
  let position = encodeInteger(known?.index ?? 0, literalFlag, nameIndexPrefixMax, block, start);
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
