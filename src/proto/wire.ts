/**
 * Protobuf's wire format, for the hand-written codecs of hot messages. Agrees with Go's protobuf on what is malformed and what is
 * merely unknown: a known field number with another wire type is an unknown field, and unknown fields are skipped.
 */

/** Not a protobuf message. Texts are those of Go's protobuf, which clients of etcd get to see. */
export class MalformedMessage extends Error {
  override readonly name = 'MalformedMessage';

  constructor(message = 'proto: cannot parse invalid wire-format data') {
    super(message);
  }
}

/** Groups inside groups in an unknown field; Go's limit. */
const groupDepthMax = 10_000;

const twoTo32 = 2 ** 32;

/**
 * Reads one message after the other from a buffer. `tag` is the whole tag (field number * 8 + wire type), so a decoder's switch
 * accepts exactly the fields it knows, in the wire type it knows, and gives everything else to `skip`:
 *
 *     while (!reader.done()) {
 *       const tag = reader.tag();
 *       switch (tag) {
 *         case 0x0a: key = reader.latin1(); break;
 *         case 0x10: revision = reader.int64(); break;
 *         default: reader.skip(tag);
 *       }
 *     }
 */
export class Reader {
  readonly #buffer: Buffer;
  #position = 0;
  /** End of the message that is being read. */
  #end: number;
  // The varint read last, as two unsigned halves.
  #low = 0;
  #high = 0;

  constructor(data: Uint8Array) {
    this.#buffer = Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    this.#end = data.length;
  }

  /** Nothing of the current message is left. */
  done(): boolean {
    return this.#position >= this.#end;
  }

  tag(): number {
    this.#varint();
    if (this.#high !== 0 || this.#low < 8) throw new MalformedMessage();
    return this.#low;
  }

  bool(): boolean {
    this.#varint();
    return (this.#low | this.#high) !== 0;
  }

  /** Also enums: any number is accepted, cut to 32 bits. */
  int32(): number {
    this.#varint();
    return this.#low | 0;
  }

  /**
   * A number that means a revision, version or count: what does not fit a safe integer becomes the nearest one, which no
   * revision ever reaches, so that comparing and limiting mean the same.
   */
  int64(): number {
    this.#varint();
    if (this.#high === 0) return this.#low;
    const value = (this.#high | 0) * twoTo32 + this.#low;
    return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, value));
  }

  /** A signed number of which every bit counts (ids). */
  int64BigInt(): bigint {
    this.#varint();
    return (BigInt(this.#high | 0) << 32n) | BigInt(this.#low);
  }

  /** A view into the buffer: copy what is to be kept. */
  bytes(): Buffer {
    const start = this.#length();
    return this.#buffer.subarray(start, this.#position);
  }

  /** Bytes as a binary string, one char per byte. */
  latin1(): string {
    const start = this.#length();
    return this.#buffer.toString('latin1', start, this.#position);
  }

  /**
   * Enters a nested message: `done` is now about it. Returns where the outer one ends, which `leave` has to be told. A length
   * beyond the outer message is malformed.
   */
  enter(): number {
    const start = this.#length();
    const outer = this.#end;
    this.#end = this.#position;
    this.#position = start;
    return outer;
  }

  leave(outer: number): void {
    this.#end = outer;
  }

  /** Skips the value of a field that is not known. */
  skip(tag: number): void {
    // Field numbers of the groups that are open: skipping is a loop, so a deep message costs no stack.
    const groups: number[] = [];
    for (;;) {
      switch (tag & 7) {
        case 0:
          this.#varint();
          break;
        case 1:
          this.#advance(8);
          break;
        case 2:
          this.#length();
          break;
        case 3:
          if (groups.push(tag >>> 3) > groupDepthMax) throw new MalformedMessage();
          break;
        case 4:
          if (groups.pop() !== tag >>> 3) throw new MalformedMessage();
          break;
        case 5:
          this.#advance(4);
          break;
        default:
          throw new MalformedMessage();
      }
      if (groups.length === 0) return;
      tag = this.tag();
    }
  }

  /** Reads a length and moves behind that many bytes; returns where they start. */
  #length(): number {
    this.#varint();
    const start = this.#position;
    this.#advance(this.#high === 0 ? this.#low : Number.POSITIVE_INFINITY);
    return start;
  }

  #advance(bytes: number): void {
    if (bytes > this.#end - this.#position) throw new MalformedMessage();
    this.#position += bytes;
  }

  #varint(): void {
    const buffer = this.#buffer;
    const end = this.#end;
    let position = this.#position;
    let byte = position < end ? buffer[position++]! : truncated();
    this.#high = 0;
    let low = byte & 127;
    if (byte >= 128) {
      for (let shift = 7; ; shift += 7) {
        byte = position < end ? buffer[position++]! : truncated();
        // Up to 28 these bits belong to the low half, the fifth byte (shift 28) has bits of both.
        if (shift < 28) low |= (byte & 127) << shift;
        else if (shift === 28) {
          low |= (byte & 127) << 28;
          this.#high = (byte & 127) >>> 4;
        } else if (shift < 63) this.#high |= (byte & 127) << (shift - 32);
        else {
          // The tenth byte has one bit left.
          if (byte > 1) throw new MalformedMessage();
          this.#high |= byte << 31;
        }
        if (byte < 128) break;
      }
    }
    this.#low = low >>> 0;
    this.#high >>>= 0;
    this.#position = position;
  }
}

function truncated(): never {
  throw new MalformedMessage();
}

/** Bytes of a number (0 to MAX_SAFE_INTEGER) as varint. */
export function varintSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x200000) return 3;
  if (value < 0x10000000) return 4;
  let size = 5;
  for (let rest = value / 0x800000000; rest >= 1; rest /= 128) size++;
  return size;
}

/** Writes a number from 0 to MAX_SAFE_INTEGER as varint; returns the position after it. */
export function writeVarint(to: Uint8Array, at: number, value: number): number {
  let position = at;
  while (value >= 0x80000000) {
    to[position++] = (value % 128) | 128;
    value = Math.floor(value / 128);
  }
  while (value >= 0x80) {
    to[position++] = (value & 127) | 128;
    value >>>= 7;
  }
  to[position++] = value;
  return position;
}

/** Bytes of a length-delimited field with a one-byte tag. */
export function lengthDelimitedSize(length: number): number {
  return 1 + varintSize(length) + length;
}

/** So few bytes a loop has copied before the function for any number of them has begun. */
const loopBytesMax = 24;

export function copyBytes(from: Uint8Array, to: Uint8Array, at: number): void {
  const { length } = from;
  if (length > loopBytesMax) to.set(from, at);
  else for (let i = 0; i < length; i++) to[at + i] = from[i]!;
}

/** Fills a buffer whose exact size was computed before. `finish` checks that it was. */
export class Writer {
  readonly #buffer: Buffer;
  #position = 0;

  constructor(size: number) {
    this.#buffer = Buffer.allocUnsafe(size);
  }

  /** A number from 0 to MAX_SAFE_INTEGER. */
  varint(value: number): void {
    this.#position = writeVarint(this.#buffer, this.#position, value);
  }

  /** A one-byte tag and a varint; nothing where the value is 0, as proto3 has it. */
  varintField(tag: number, value: number): void {
    if (value === 0) return;
    this.#buffer[this.#position++] = tag;
    this.varint(value);
  }

  /** A one-byte tag and a length; the caller writes that many bytes next. */
  header(tag: number, length: number): void {
    this.#buffer[this.#position++] = tag;
    this.varint(length);
  }

  raw(bytes: Uint8Array): void {
    copyBytes(bytes, this.#buffer, this.#position);
    this.#position += bytes.length;
  }

  finish(): Buffer {
    if (this.#position !== this.#buffer.length) {
      throw new Error(`wrote ${this.#position} bytes of a message that was sized ${this.#buffer.length}`);
    }
    return this.#buffer;
  }
}
