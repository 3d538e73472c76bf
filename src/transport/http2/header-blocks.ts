/**
 * Header blocks of one connection: joined from HEADERS and CONTINUATION frames (RFC 9113, 6.10), undone by HPACK. A client sends the same
 * block again and again: one that names only fields of the tables means the same until the dynamic table changes, so its
 * request head is kept.
 */
import { HpackDecoder } from '../hpack/decoder.ts';
import { HpackError } from '../hpack/errors.ts';
import { ConnectionError, ErrorCode } from './frame.ts';
import { continuationFramesMax, headerBlockBytesMax, headerListBytesMax, headerTableBytes } from './limits.ts';
import { areTrailers, type RequestHead, requestHead } from './request-head.ts';

interface Known {
  readonly block: Buffer;
  readonly head: RequestHead;
}

/** Blocks that are kept: one of each method that a client calls a lot, if it is no longer than this. */
const knownMax = 16;
const knownBlockBytesMax = 512;

export class HeaderBlocks {
  readonly #decoder = new HpackDecoder({ tableBytesMax: headerTableBytes, headerListBytesMax });
  #known: Known[] = [];
  #replaced = 0;
  #generation = 0;
  /** Pieces of a block whose END_HEADERS has not come, and for whom it is. */
  #pieces: Buffer[] = [];
  #pieceBytes = 0;
  #openStreamId = 0;
  #openFlags = 0;

  /** The stream whose block is not complete, on which only CONTINUATION may follow; 0: none. */
  get openStreamId(): number {
    return this.#openStreamId;
  }

  /** The flags of the HEADERS frame that began the open block. */
  get openFlags(): number {
    return this.#openFlags;
  }

  begin(streamId: number, flags: number, piece: Buffer): void {
    this.#openStreamId = streamId;
    this.#openFlags = flags;
    this.#pieces = [];
    this.#pieceBytes = 0;
    this.continue(piece);
  }

  continue(piece: Buffer): void {
    this.#pieces.push(piece);
    this.#pieceBytes += piece.length;
    if (this.#pieceBytes > headerBlockBytesMax || this.#pieces.length > continuationFramesMax) {
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, 'a header block that is too long');
    }
  }

  /** The whole open block. */
  finish(): Buffer {
    const block = Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#openStreamId = 0;
    return block;
  }

  /** The block is `bytes` from `start` up to `end`. undefined: malformed. Throws ConnectionError where HPACK itself is violated. */
  request(bytes: Buffer, start: number, end: number): RequestHead | undefined {
    const short = end - start <= knownBlockBytesMax;
    if (this.#decoder.generation === this.#generation) {
      if (short) for (const { block, head } of this.#known) if (isAt(block, bytes, start, end)) return head;
    } else {
      this.#generation = this.#decoder.generation;
      this.#known = [];
      this.#replaced = 0;
    }
    const block = bytes.subarray(start, end);
    const { fields, tooLarge } = this.#decode(block);
    const head = requestHead(fields, tooLarge);
    if (short && head !== undefined && this.#decoder.generation === this.#generation) {
      this.#known[this.#replaced++ % knownMax] = { block: Buffer.from(block), head };
    }
    return head;
  }

  /** False: malformed. */
  trailers(block: Buffer): boolean {
    return areTrailers(this.#decode(block).fields);
  }

  /** Those of an answer; of a name that comes twice the last. Throws ConnectionError. */
  fields(block: Buffer): Map<string, string> {
    const { fields } = this.#decode(block);
    const byName = new Map<string, string>();
    for (let i = 0; i < fields.length; i += 2) byName.set(fields[i] as string, fields[i + 1] as string);
    return byName;
  }

  #decode(block: Buffer): { fields: string[]; tooLarge: boolean } {
    const fields: string[] = [];
    try {
      const outcome = this.#decoder.decode(block, (name, value) => fields.push(name, value));
      return { fields, tooLarge: outcome === 'too-large' };
    } catch (error) {
      if (error instanceof HpackError) throw new ConnectionError(ErrorCode.COMPRESSION_ERROR, error.message);
      throw error;
    }
  }
}

/** Blocks that repeat have few bytes, for which a loop is faster than a call into Node. */
function isAt(block: Buffer, bytes: Buffer, start: number, end: number): boolean {
  if (block.length !== end - start) return false;
  for (let i = 0; i < block.length; i++) if (block[i] !== bytes[start + i]) return false;
  return true;
}
