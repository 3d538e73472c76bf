/** An encoder that does all that RFC 7541 allows, at random, with a table of its own: the counterpart of the decoder in tests. */
import { encodeHuffman, huffmanBytes } from '../../../../src/transport/hpack/huffman.ts';
import { staticIndexMax, staticNames, staticValues } from '../../../../src/transport/hpack/static-table.ts';
import type { Random } from '../../../support/random.ts';
import type { Fields } from './blocks.ts';

export class TableEncoder {
  readonly #random: Random;
  readonly #tableBytesMax: number;
  /** The newest first. */
  entries: (readonly [name: string, value: string])[] = [];
  #tableBytes = 4096;

  constructor(random: Random, tableBytesMax: number) {
    this.#random = random;
    this.#tableBytesMax = tableBytesMax;
  }

  get bytes(): number {
    return this.entries.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0);
  }

  encode(fields: Fields): Buffer {
    const parts: Buffer[] = [];
    for (let updates = this.#random.chance(0.1) ? this.#random.integer(1, 2) : 0; updates > 0; updates--) {
      this.#tableBytes = this.#random.chance(0.5) ? this.#tableBytesMax : this.#random.integer(0, this.#tableBytesMax);
      this.#evict();
      parts.push(this.#integer(0x20, 5, this.#tableBytes));
    }
    for (const [name, value] of fields) parts.push(...this.#field(name, value));
    return Buffer.concat(parts);
  }

  #field(name: string, value: string): Buffer[] {
    const random = this.#random;
    const index = random.pick([0, ...this.#indices((known, knownValue) => known === name && knownValue === value)]);
    if (index !== 0 && random.chance(0.9)) return [this.#integer(0x80, 7, index)];
    const nameIndex = random.pick([0, ...this.#indices((known) => known === name)]);
    const nameParts = nameIndex === 0 ? this.#string(name) : [];
    const [flags, prefixBits] = random.pick([[0x40, 6] as const, [0x10, 4] as const, [0x00, 4] as const]);
    if (flags === 0x40) {
      this.entries.unshift([name, value]);
      this.#evict();
    }
    return [this.#integer(flags, prefixBits, nameIndex), ...nameParts, ...this.#string(value)];
  }

  /** The indices of all entries that fit. */
  #indices(fits: (name: string, value: string) => boolean): number[] {
    const indices: number[] = [];
    for (let index = 1; index <= staticIndexMax; index++) {
      if (fits(staticNames[index]!, staticValues[index]!)) indices.push(index);
    }
    this.entries.forEach(([name, value], before) => {
      if (fits(name, value)) indices.push(staticIndexMax + 1 + before);
    });
    return indices;
  }

  #evict(): void {
    while (this.bytes > this.#tableBytes) this.entries.pop();
  }

  #string(text: string): Buffer[] {
    if (this.#random.chance(0.5)) return [this.#integer(0x00, 7, text.length), Buffer.from(text, 'latin1')];
    const octets = Buffer.alloc(huffmanBytes(text));
    encodeHuffman(text, octets, 0);
    return [this.#integer(0x80, 7, octets.length), octets];
  }

  /** 5.1, at times with zeros behind that it does not need. */
  #integer(flags: number, prefixBits: number, value: number): Buffer {
    const prefixMax = 2 ** prefixBits - 1;
    if (value < prefixMax) return Buffer.from([flags | value]);
    const octets = [flags | prefixMax];
    let rest = value - prefixMax;
    for (; rest >= 128; rest = Math.floor(rest / 128)) octets.push(128 + (rest % 128));
    octets.push(rest);
    while (octets.length < 6 && this.#random.chance(0.1)) {
      octets[octets.length - 1]! |= 0x80;
      octets.push(0);
    }
    return Buffer.from(octets);
  }
}
