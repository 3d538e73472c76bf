/**
 * Strings that a client sends as literals again and again because it does not index them (clients of nghttp2 do so with
 * `:path`): found by their octets, they are not decoded and not allocated again. A place holds the string that was last there.
 */
const slotCount = 64;
const literalBytesMax = 64;

export class LiteralCache {
  /** `literalBytesMax` octets for each slot, as they were in a block. */
  readonly #octets = new Uint8Array(slotCount * literalBytesMax);
  /** What else tells two literals apart; 0 is an empty slot. */
  readonly #kinds = new Uint8Array(slotCount);
  readonly #texts: string[] = Array.from({ length: slotCount }, () => '');

  static takes(start: number, end: number): boolean {
    return end > start && end - start <= literalBytesMax;
  }

  /** Where this literal belongs. A few of its octets decide: that is quick, and a string that loses its place is only slower. */
  slotOf(block: Buffer, start: number, end: number, huffman: boolean): number {
    const mixed =
      kindOf(start, end, huffman) * 5 + block[end - 1]! * 3 + block[(start + end) >> 1]! * 7 + block[start]!;
    return (mixed ^ (mixed >> 6)) & (slotCount - 1);
  }

  find(slot: number, block: Buffer, start: number, end: number, huffman: boolean): string | undefined {
    if (this.#kinds[slot] !== kindOf(start, end, huffman)) return undefined;
    const octets = this.#octets;
    for (let from = slot * literalBytesMax, position = start; position < end; from++, position++) {
      if (octets[from] !== block[position]) return undefined;
    }
    return this.#texts[slot];
  }

  put(slot: number, block: Buffer, start: number, end: number, huffman: boolean, text: string): string {
    const octets = this.#octets;
    for (let to = slot * literalBytesMax, position = start; position < end; to++, position++) {
      octets[to] = block[position]!;
    }
    this.#kinds[slot] = kindOf(start, end, huffman);
    this.#texts[slot] = text;
    return text;
  }
}

/** Length and coding in one octet: a length is at most 64. */
function kindOf(start: number, end: number, huffman: boolean): number {
  return (end - start) | (huffman ? 0x80 : 0);
}
