/**
 * The client's dynamic table, as this side fills it (RFC 7541, 2.3.2 and 4): with the fields that each answer has and the static table
 * lacks. The first answer of a connection has them added, all later ones name them by an index, an octet instead of strings that
 * the client would have to decode again and again.
 *
 *     first call      200, content-type: application/grpc (added)     grpc-status: 0 (added)
 *     all others      88 bf                                           be
 */
import { defaultTableBytes, entryBytes } from './dynamic-table.ts';
import { encodeHeaders, encodeIndex, type HeaderField } from './encoder.ts';
import { staticIndexMax } from './static-table.ts';

/** A block of many answers: fields of the static table, and one behind them that is worth an entry of the dynamic one. */
export class RepeatedBlock {
  /** For a client whose table is too small. */
  readonly literal: Buffer;
  /** Adds the entry. */
  readonly adding: Buffer;
  readonly entryBytes: number;
  readonly #before: Buffer;
  readonly #indexed: Buffer[] = [];

  constructor(before: readonly HeaderField[], entry: HeaderField) {
    this.#before = encodeHeaders(before);
    this.literal = encodeHeaders([...before, entry]);
    this.adding = encodeHeaders([...before, entry], 'added');
    this.entryBytes = entryBytes(...entry);
  }

  /** Names the entry, after which `newer` others were added. */
  indexed(newer: number): Buffer {
    this.#indexed[newer] ??= Buffer.concat([this.#before, encodeIndex(staticIndexMax + 1 + newer)]);
    return this.#indexed[newer];
  }
}

/** A block as it is, or one whose form depends on what the connection has sent before. */
export type HeaderBlock = Buffer | RepeatedBlock;

/** Says that the table is empty from now on and stays so (6.3): a size of 0 is within every limit. */
const emptied = encodeIndex(0, 'size');

export class EncoderTable {
  /** In the order in which they were added. */
  readonly #entries: RepeatedBlock[] = [];
  #roomBytes = defaultTableBytes;
  #limitBytes = defaultTableBytes;
  #emptied = false;

  /** The octets of a block that is sent next: each call changes what the client has. */
  encode(block: HeaderBlock): Buffer {
    const octets = block instanceof RepeatedBlock ? this.#encode(block) : block;
    if (!this.#emptied) return octets;
    this.#emptied = false;
    return Buffer.concat([emptied, octets]);
  }

  #encode(block: RepeatedBlock): Buffer {
    const place = this.#entries.indexOf(block);
    if (place >= 0) return block.indexed(this.#entries.length - 1 - place);
    if (block.entryBytes > this.#roomBytes) return block.literal;
    this.#roomBytes -= block.entryBytes;
    this.#entries.push(block);
    return block.adding;
  }

  /**
   * The client's SETTINGS_HEADER_TABLE_SIZE. Below the default it has to be told that it is heeded (4.2), and gets no entries from
   * then on. A larger table is not needed.
   */
  limit(bytes: number): void {
    if (bytes >= this.#limitBytes) return;
    this.#limitBytes = 0;
    this.#entries.length = 0;
    this.#roomBytes = 0;
    this.#emptied = true;
  }
}
