/** The Huffman code of string literals (RFC 7541, 5.2 and Appendix B). */
import { HpackError } from './errors.ts';
import { latin1 } from './latin1.ts';

/** A symbol that is no octet: a string that contains it is an error. The first bits of its code are the padding. */
const endOfString = 256;

/**
 * Appendix B: the symbols whose code has this many bits, ascending. The code is canonical, so that this is all of it: codes
 * of one length count up from symbol to symbol, and the first code of the next length is the next one with zeros behind it.
 * `0` is 00000, `1` is 00001 … `t` is 01001; then comes ` `, 010100.
 */
const symbolsByLength: readonly (readonly [bits: number, symbols: string])[] = [
  [5, '012aceiost'],
  [6, ' %-./3456789=A_bdfghlmnpru'],
  [7, ':BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz'],
  [8, '&*,;XZ'],
  [10, '!"()?'],
  [11, "'+|"],
  [12, '#>'],
  [13, '\x00$@[]~'],
  [14, '^}'],
  [15, '<`{'],
  [19, '\\\xc3\xd0'],
  [20, '\x80\x82\x83\xa2\xb8\xc2\xe0\xe2'],
  [21, '\x99\xa1\xa7\xac\xb0\xb1\xb3\xd1\xd8\xd9\xe3\xe5\xe6'],
  [22, '\x81\x84\x85\x86\x88\x92\x9a\x9c\xa0\xa3\xa4\xa9\xaa\xad\xb2\xb5\xb9\xba\xbb\xbd\xbe\xc4\xc6\xe4\xe8\xe9'],
  [
    23,
    '\x01\x87\x89\x8a\x8b\x8c\x8d\x8f\x93\x95\x96\x97\x98\x9b\x9d\x9e\xa5\xa6\xa8\xae\xaf\xb4\xb6\xb7\xbc\xbf\xc5\xe7\xef',
  ],
  [24, '\x09\x8e\x90\x91\x94\x9f\xab\xce\xd7\xe1\xec\xed'],
  [25, '\xc7\xcf\xea\xeb'],
  [26, '\xc0\xc1\xc8\xc9\xca\xcd\xd2\xd5\xda\xdb\xee\xf0\xf2\xf3\xff'],
  [27, '\xcb\xcc\xd3\xd4\xd6\xdd\xde\xdf\xf1\xf4\xf5\xf6\xf7\xf8\xfa\xfb\xfc\xfd\xfe'],
  [
    28,
    '\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x7f\xdc\xf9',
  ],
  [30, '\x0a\x0d\x16\u0100'],
];

const codes = new Uint32Array(endOfString + 1);
const codeBits = new Uint8Array(endOfString + 1);

/** The shortest code: an upper bound of how a string grows when it is decoded. */
const codeBitsMin = symbolsByLength[0]![0];

/** Padding is shorter than an octet (5.2). */
const paddingBitsMax = 7;

/**
 * The decoder is an automaton that eats half an octet per step. (A whole octet per step halves the time of long strings, but was
 * not measurable for the blocks of gRPC clients; its table has 256 KiB and takes four times as long to build.) Its states are the
 * inner nodes of the code's tree: what was read of a code that is not complete; 0 is the root. 257 leaves make 256 inner nodes.
 * At most one code ends in a step: none has less than five bits.
 *
 * An entry, from the low end: whether a code ended (1 bit), the state after the step times 16 (12 bits), the symbol (8), failure (1).
 */
const stateCount = endOfString;
const endedFlag = 1;
const stateShift = 1;
const stateMask = (stateCount - 1) << 4;
const symbolShift = 13;
const failedFlag = 1 << 21;

const steps = new Int32Array(stateCount * 16);
/** Whether a string may end in a state: between two codes, or in ones that are shorter than an octet. */
const mayEnd = new Uint8Array(stateCount);

build();

function build(): void {
  let code = 0;
  let bitsBefore = 0;
  for (const [bits, symbols] of symbolsByLength) {
    code <<= bits - bitsBefore;
    bitsBefore = bits;
    for (const symbol of symbols) {
      codes[symbol.charCodeAt(0)] = code++;
      codeBits[symbol.charCodeAt(0)] = bits;
    }
  }
  const children = tree();
  for (let index = 0; index < steps.length; index++) steps[index] = step(children, index >> 4, index & 0xf);
  for (let node = 0, ones = 0; ones <= paddingBitsMax; ones++) {
    mayEnd[node] = 1;
    node = children[node * 2 + 1]!;
  }
}

/** Two children per inner node: another inner node, or the complement (< 0) of a symbol. */
function tree(): Int16Array {
  const children = new Int16Array(stateCount * 2);
  let nodeCount = 1;
  for (let symbol = 0; symbol <= endOfString; symbol++) {
    let node = 0;
    for (let bit = codeBits[symbol]! - 1; bit > 0; bit--) {
      const child = node * 2 + ((codes[symbol]! >>> bit) & 1);
      if (children[child] === 0) children[child] = nodeCount++;
      node = children[child]!;
    }
    children[node * 2 + (codes[symbol]! & 1)] = ~symbol;
  }
  return children;
}

function step(children: Int16Array, state: number, nibble: number): number {
  let node = state;
  let ended = 0;
  for (let bit = 3; bit >= 0; bit--) {
    node = children[node * 2 + ((nibble >> bit) & 1)]!;
    if (node >= 0) continue;
    ended = ~node === endOfString ? failedFlag : (~node << symbolShift) | endedFlag;
    node = 0;
  }
  return ended | (node << (stateShift + 4));
}

/** Strings that come out no longer than this are decoded without an allocation besides their own. */
const scratchBytes = 8192;
const scratch = Buffer.allocUnsafeSlow(scratchBytes);

/** The string that these octets of `block` encode, as latin1. */
export function decodeHuffman(block: Uint8Array, start: number, end: number): string {
  // A step writes an octet, whether a code ended or not.
  const decodedBytesMax = Math.ceil(((end - start) * 8) / codeBitsMin) + 1;
  const decoded = decodedBytesMax <= scratchBytes ? scratch : Buffer.allocUnsafe(decodedBytesMax);
  let length = 0;
  let entry = 0;
  let failures = 0;
  for (let position = start; position < end; position++) {
    const octet = block[position]!;
    entry = steps[((entry >> stateShift) & stateMask) | (octet >> 4)]!;
    failures |= entry;
    decoded[length] = entry >> symbolShift;
    length += entry & endedFlag;
    entry = steps[((entry >> stateShift) & stateMask) | (octet & 0xf)]!;
    failures |= entry;
    decoded[length] = entry >> symbolShift;
    length += entry & endedFlag;
  }
  if ((failures & failedFlag) !== 0) throw new HpackError('the end-of-string symbol is inside a string');
  if (mayEnd[((entry >> stateShift) & stateMask) >> 4] === 0)
    throw new HpackError('a Huffman string ends with a wrong padding');
  return latin1(decoded, 0, length);
}

/**
 * How many octets `encodeHuffman` writes for this latin1 string. Throws a RangeError for a character that is no octet: cut off, it
 * might become a line feed.
 */
export function huffmanBytes(text: string): number {
  let bits = 0;
  for (let index = 0; index < text.length; index++) {
    const symbol = text.charCodeAt(index);
    if (symbol >= endOfString) throw new RangeError('a header has a character that is no octet');
    bits += codeBits[symbol]!;
  }
  return (bits + 7) >>> 3;
}

/** Writes a latin1 string to `target` and returns the position behind it. */
export function encodeHuffman(text: string, target: Uint8Array, start: number): number {
  let position = start;
  // The bits of an octet that is not complete. A code has up to 30 bits, so it goes out octet by octet.
  let pending = 0;
  let pendingBits = 0;
  for (let index = 0; index < text.length; index++) {
    const symbol = text.charCodeAt(index);
    let code = codes[symbol]!;
    let bits = codeBits[symbol]!;
    while (pendingBits + bits >= 8) {
      const taken = 8 - pendingBits;
      bits -= taken;
      target[position++] = (pending << taken) | (code >>> bits);
      code &= (1 << bits) - 1;
      pending = 0;
      pendingBits = 0;
    }
    pending = (pending << bits) | code;
    pendingBits += bits;
  }
  if (pendingBits > 0) target[position++] = (pending << (8 - pendingBits)) | (0xff >>> pendingBits);
  return position;
}
