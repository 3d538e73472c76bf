/**
 * Header blocks of one connection: joined from HEADERS and CONTINUATION frames (RFC 9113, 6.10), undone by HPACK. A client sends the same
 * fields again and again, so its request heads are kept, and found again in one of two ways:
 *
 * - by the octets of a block that names only fields of the tables: it means the same until the dynamic table changes;
 * - by its fields, if all are the same but that of the timeout. Clients whose calls have deadlines send another one in each, and
 *   Go's adds it to the table, so that the octets of no block come twice.
 */
import { HpackDecoder } from '../hpack/decoder.ts';
import { HpackError } from '../hpack/errors.ts';
import { ConnectionError, ErrorCode } from './frame.ts';
import { continuationFramesMax, headerBlockBytesMax, headerListBytesMax, headerTableBytes } from './limits.ts';
import { areTrailers, isFieldValue, type RequestHead, requestHead } from './request-head.ts';

interface KnownBlock {
  readonly block: Buffer;
  readonly head: RequestHead;
  readonly timeout: string | undefined;
}

interface KnownFields {
  /** Names and values in turn, as the block had them. */
  readonly fields: string[];
  /** Where among them the value of the timeout is; -1: there is none. */
  readonly timeoutAt: number;
  readonly head: RequestHead;
}

/** What is kept: one block and one list of fields of each method that a client calls a lot, if they are no longer than this. */
const knownMax = 16;
const knownBlockBytesMax = 512;
const knownHeadBytesMax = 4096;

/** How long the client waits, which gRPC says in a field and HTTP/2 has no word for. */
const timeoutField = 'grpc-timeout';

export class HeaderBlocks {
  readonly #decoder = new HpackDecoder({ tableBytesMax: headerTableBytes, headerListBytesMax });
  #knownBlocks: KnownBlock[] = [];
  #replacedBlocks = 0;
  #generation = 0;
  readonly #knownFields: KnownFields[] = [];
  #replacedFields = 0;
  /** Names and values of the block that was decoded last; what is behind `#count` is of earlier ones. */
  readonly #fields: string[] = [];
  #count = 0;
  readonly #collect = (name: string, value: string): void => {
    this.#fields[this.#count] = name;
    this.#fields[this.#count + 1] = value;
    this.#count += 2;
  };
  #timeout: string | undefined;
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
    this.#pieces.push(Buffer.from(piece));
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

  /**
   * The block is `bytes` from `start` up to `end`. undefined: malformed. Throws ConnectionError where HPACK itself is violated. The head
   * may be that of many requests; what is of this one alone is `timeout`.
   */
  request(bytes: Buffer, start: number, end: number): RequestHead | undefined {
    const short = end - start <= knownBlockBytesMax;
    if (short && this.#decoder.generation === this.#generation) {
      for (const { block, head, timeout } of this.#knownBlocks) {
        if (!isAt(block, bytes, start, end)) continue;
        this.#timeout = timeout;
        return head;
      }
    }
    const tooLarge = this.#decode(bytes, start, end);
    const head = this.#head(tooLarge);
    this.#letGo(end - start);
    if (this.#decoder.generation !== this.#generation) {
      this.#generation = this.#decoder.generation;
      if (this.#knownBlocks.length > 0) this.#knownBlocks = [];
      this.#replacedBlocks = 0;
    } else if (short && head !== undefined) {
      const block = Buffer.from(bytes.subarray(start, end));
      this.#knownBlocks[this.#replacedBlocks++ % knownMax] = { block, head, timeout: this.#timeout };
    }
    return head;
  }

  /** The grpc-timeout of the request that was read last. It is not among the fields of the head. */
  get timeout(): string | undefined {
    return this.#timeout;
  }

  #head(tooLarge: boolean): RequestHead | undefined {
    if (!tooLarge) {
      for (const known of this.#knownFields) {
        if (!this.#repeats(known)) continue;
        this.#timeout = known.timeoutAt < 0 ? undefined : this.#fields[known.timeoutAt];
        return this.#timeout === undefined || isFieldValue(this.#timeout) ? known.head : undefined;
      }
    }
    const fields = this.#fields.slice(0, this.#count);
    let timeoutAt = -1;
    for (let i = 0; i < fields.length && timeoutAt < 0; i += 2) if (fields[i] === timeoutField) timeoutAt = i + 1;
    this.#timeout = timeoutAt < 0 ? undefined : fields[timeoutAt];
    if (this.#timeout !== undefined && !isFieldValue(this.#timeout)) return undefined;
    const head = requestHead(timeoutAt < 0 ? fields : fields.toSpliced(timeoutAt - 1, 2), tooLarge);
    if (head !== undefined && !tooLarge && head.bytes <= knownHeadBytesMax) {
      this.#knownFields[this.#replacedFields++ % knownMax] = { fields, timeoutAt, head };
    }
    return head;
  }

  /**
   * The decoded fields are these. Once found equal, the new strings take the place of the old ones: those of the dynamic table come
   * again as the same objects, which are compared without a look at their characters.
   */
  #repeats({ fields, timeoutAt }: KnownFields): boolean {
    if (fields.length !== this.#count) return false;
    for (let i = 0; i < fields.length; i++) {
      const text = this.#fields[i]!;
      if (fields[i] === text) fields[i] = text;
      else if (i !== timeoutAt) return false;
    }
    return true;
  }

  /** False: malformed. */
  trailers(block: Buffer): boolean {
    this.#decode(block, 0, block.length);
    const wellFormed = areTrailers(this.#fields.slice(0, this.#count));
    this.#letGo(block.length);
    return wellFormed;
  }

  /** Those of an answer; of a name that comes twice the last. Throws ConnectionError. */
  fields(block: Buffer): Map<string, string> {
    this.#decode(block, 0, block.length);
    const byName = new Map<string, string>();
    for (let i = 0; i < this.#count; i += 2) byName.set(this.#fields[i]!, this.#fields[i + 1]!);
    return byName;
  }

  /** The strings of a long block would stay in memory until the next one comes. */
  #letGo(blockBytes: number): void {
    if (blockBytes > knownBlockBytesMax) this.#fields.length = 0;
  }

  /** Into `#fields`; true: not all of them, there are too many. */
  #decode(bytes: Buffer, start: number, end: number): boolean {
    this.#count = 0;
    try {
      return this.#decoder.decode(bytes, this.#collect, start, end) === 'too-large';
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
