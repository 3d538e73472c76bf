/** Reads the primitives of a header block (RFC 7541, 5). The block itself is passed each time, so that none is kept alive. */
import { HpackError } from './errors.ts';
import { decodeHuffman } from './huffman.ts';
import { continuationBytesMax, integerMax } from './integer.ts';
import { latin1 } from './latin1.ts';
import { LiteralCache } from './literal-cache.ts';

/** The octet before a string: whether it is Huffman-coded, and the prefix of its length. */
const huffmanFlag = 0x80;
const lengthPrefixMax = 0x7f;

export class BlockReader {
  /** Where the next octet is. */
  position = 0;
  /** Where the block ends. */
  end = 0;
  /** Connections whose client indexes what it repeats never need one. */
  #cache: LiteralCache | undefined;

  /** The integer that begins in `first`, the octet just read, with the bits of `prefixMax`. */
  integer(block: Buffer, first: number, prefixMax: number): number {
    const prefix = first & prefixMax;
    return prefix < prefixMax ? prefix : this.#continuedInteger(block, prefixMax);
  }

  /** The string literal at the position. */
  string(block: Buffer): string {
    const first = this.#octet(block);
    const start = this.#enterString(block, first);
    return decodeString(block, start, this.position, (first & huffmanFlag) !== 0);
  }

  /** Like `string`, for one that may come again in each block. */
  repeatedString(block: Buffer): string {
    const first = this.#octet(block);
    const start = this.#enterString(block, first);
    const end = this.position;
    const huffman = (first & huffmanFlag) !== 0;
    if (!LiteralCache.takes(start, end)) return decodeString(block, start, end, huffman);
    this.#cache ??= new LiteralCache();
    const slot = this.#cache.slotOf(block, start, end, huffman);
    return (
      this.#cache.find(slot, block, start, end, huffman) ??
      this.#cache.put(slot, block, start, end, huffman, decodeString(block, start, end, huffman))
    );
  }

  #octet(block: Buffer): number {
    if (this.position >= this.end) throw new HpackError('the header block is cut off');
    return block[this.position++]!;
  }

  /** Moves behind the string and returns where it starts. */
  #enterString(block: Buffer, first: number): number {
    const length = this.integer(block, first, lengthPrefixMax);
    const start = this.position;
    if (length > this.end - start) throw new HpackError('a string is longer than the header block');
    this.position = start + length;
    return start;
  }

  #continuedInteger(block: Buffer, prefixMax: number): number {
    let value = prefixMax;
    for (let count = 0; count < continuationBytesMax; count++) {
      const octet = this.#octet(block);
      // The fifth octet would count multiples of `integerMax`: it may only be a zero. So nothing here passes 32 bits.
      if (count === continuationBytesMax - 1 && (octet & 0x7f) !== 0) break;
      value += (octet & 0x7f) << (7 * count);
      if (value > integerMax) break;
      if (octet < 0x80) return value;
    }
    throw new HpackError('an integer is too large');
  }
}

function decodeString(block: Buffer, start: number, end: number, huffman: boolean): string {
  return huffman ? decodeHuffman(block, start, end) : latin1(block, start, end);
}
