/** Decodes the header blocks of a connection (RFC 7541, 3 and 6). */
import { BlockReader } from './block-reader.ts';
import { DynamicTable, defaultTableBytes, entryBytes } from './dynamic-table.ts';
import { HpackError } from './errors.ts';
import { staticIndexMax, staticNames, staticValues } from './static-table.ts';

/**
 * The representations of a field (6), told apart by the highest bit that is set in the first octet:
 *
 *     1xxxxxxx indexed    01xxxxxx literal, to be added to the table    001xxxxx size update    000xxxxx other literals
 */
const indexedFlag = 0x80;
const addedFlag = 0x40;
const sizeUpdateFlag = 0x20;
/** Of the other literals: nobody on the way may ever index it, because it is a secret (6.2.3). */
const neverIndexedFlag = 0x10;

export interface HpackDecoderOptions {
  /** Our SETTINGS_HEADER_TABLE_SIZE: how large a table the client may use. */
  readonly tableBytesMax: number;
  /** Our SETTINGS_MAX_HEADER_LIST_SIZE: how much one block may hand out, with 32 bytes for each field. */
  readonly headerListBytesMax: number;
}

/** `too-large`: the block was decoded, but not all of its headers were handed out. */
export type DecodeResult = 'complete' | 'too-large';

export class HpackDecoder {
  readonly #headerListBytesMax: number;
  readonly #tableBytesMax: number;
  readonly #table: DynamicTable;
  readonly #reader = new BlockReader();

  constructor(options: HpackDecoderOptions) {
    this.#headerListBytesMax = options.headerListBytesMax;
    this.#tableBytesMax = options.tableBytesMax;
    // The client begins with the default and learns our setting later.
    this.#table = new DynamicTable(Math.max(options.tableBytesMax, defaultTableBytes));
  }

  /**
   * Grows with each change of the dynamic table. What a block means depends on its octets and the table alone, so a caller may
   * remember it: if a block left the generation as it was, the same octets at the same generation have the same meaning and
   * need not be decoded.
   */
  get generation(): number {
    return this.#table.generation;
  }

  /** The state of the dynamic table, the newest entry first. */
  get table(): { readonly bytes: number; readonly entries: readonly (readonly [name: string, value: string])[] } {
    const table = this.#table;
    const entries = Array.from(
      { length: table.count },
      (_, before) => [table.nameAt(before + 1), table.valueAt(before + 1)] as const,
    );
    return { bytes: table.bytes, entries };
  }

  /**
   * The client acknowledged our settings. If they made its table smaller, the next block must begin by saying so (4.2). Nothing
   * to call it for with a setting that is the default.
   */
  settingsAcknowledged(): void {
    this.#table.limitBytes = this.#tableBytesMax;
    this.#table.generation++;
  }

  /**
   * Decodes one whole block, `bytes` from `start` up to `end`, and hands out its headers as they are: names and values are not
   * checked (RFC 9113, 8.2.1 is the caller's). Throws `HpackError`; the decoder is useless after that. `onHeader` must not throw.
   *
   * A block of n octets costs time and memory in proportion to n, however often it refers to large entries: beyond
   * `headerListBytesMax` it is read only for what it does to the table.
   */
  decode(bytes: Buffer, onHeader: (name: string, value: string) => void, start = 0, end = bytes.length): DecodeResult {
    const reader = this.#reader;
    const table = this.#table;
    const listBytesMax = this.#headerListBytesMax;
    let listBytes = 0;
    reader.position = start;
    reader.end = end;
    this.#updateSize(bytes);
    while (reader.position < end) {
      const first = bytes[reader.position++]!;
      let name: string;
      let value: string;
      if (first >= indexedFlag) {
        const index = reader.integer(bytes, first, indexedFlag - 1);
        name = this.#name(index);
        value = index <= staticIndexMax ? staticValues[index]! : table.valueAt(index - staticIndexMax);
      } else if (first >= addedFlag) {
        const index = reader.integer(bytes, first, addedFlag - 1);
        name = index === 0 ? reader.string(bytes) : this.#name(index);
        value = reader.string(bytes);
        table.add(name, value);
      } else if (first >= sizeUpdateFlag) {
        throw new HpackError('a size update is not at the beginning of the header block');
      } else {
        const index = reader.integer(bytes, first, neverIndexedFlag - 1);
        name = index === 0 ? reader.repeatedString(bytes) : this.#name(index);
        value = first >= neverIndexedFlag ? reader.string(bytes) : reader.repeatedString(bytes);
      }
      listBytes += entryBytes(name, value);
      if (listBytes <= listBytesMax) onHeader(name, value);
    }
    return listBytes <= listBytesMax ? 'complete' : 'too-large';
  }

  /** The updates that a block may begin with; none is a matter of one look. */
  #updateSize(block: Buffer): void {
    const reader = this.#reader;
    const table = this.#table;
    while (reader.position < reader.end) {
      const first = block[reader.position]!;
      if (first < sizeUpdateFlag || first >= addedFlag) break;
      reader.position++;
      table.resize(reader.integer(block, first, sizeUpdateFlag - 1));
    }
    if (table.capacityBytes > table.limitBytes) {
      throw new HpackError('the dynamic table is larger than the setting that was acknowledged');
    }
  }

  #name(index: number): string {
    if (index > staticIndexMax) return this.#table.nameAt(index - staticIndexMax);
    if (index === 0) throw new HpackError('index 0 is used');
    return staticNames[index]!;
  }
}
