/** The dynamic table (RFC 7541, 2.3.2 and 4): what the client asked us to remember, the newest first. */
import { HpackError } from './errors.ts';

/** What an entry counts besides its name and value (4.1). */
const entryOverheadBytes = 32;

/** The size of an entry. A list of headers is measured alike (RFC 9113, 6.5.2). */
export function entryBytes(name: string, value: string): number {
  return name.length + value.length + entryOverheadBytes;
}

/** The size of the table until somebody says something else (RFC 9113, 6.5.2, SETTINGS_HEADER_TABLE_SIZE). */
export const defaultTableBytes = 4096;

/** Slots of a new ring: as many entries as the default size can hold. A power of two. */
const initialSlotCount = defaultTableBytes / entryOverheadBytes;

export class DynamicTable {
  /** Changes with each change of the table. */
  generation = 0;
  /** How much `resize` may ask for. */
  limitBytes: number;
  #capacityBytes = defaultTableBytes;
  #bytes = 0;
  /**
   * A ring: entry `index` is in slot `#next - index`, the newest (1) right before `#next`. Slots that hold no entry hold empty
   * strings, so that what was evicted can be freed.
   */
  #names = emptyStrings(initialSlotCount);
  #values = emptyStrings(initialSlotCount);
  #next = 0;
  #count = 0;

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  get capacityBytes(): number {
    return this.#capacityBytes;
  }

  /** The sum of the sizes of the entries. */
  get bytes(): number {
    return this.#bytes;
  }

  get count(): number {
    return this.#count;
  }

  nameAt(index: number): string {
    if (index > this.#count) throw new HpackError('an index is behind the end of the tables');
    return this.#names[(this.#next - index) & (this.#names.length - 1)]!;
  }

  /** To be called only with an index that `nameAt` took. */
  valueAt(index: number): string {
    return this.#values[(this.#next - index) & (this.#values.length - 1)]!;
  }

  /** Makes room, oldest first. An entry larger than the table leaves it empty, which is no error (4.4). */
  add(name: string, value: string): void {
    const bytes = entryBytes(name, value);
    this.generation++;
    this.#evict(this.#capacityBytes - bytes);
    if (bytes > this.#capacityBytes) return;
    if (this.#count === this.#names.length) this.#grow();
    this.#names[this.#next] = name;
    this.#values[this.#next] = value;
    this.#next = (this.#next + 1) & (this.#names.length - 1);
    this.#count++;
    this.#bytes += bytes;
  }

  /** A size update (4.3, 6.3). */
  resize(capacityBytes: number): void {
    if (capacityBytes > this.limitBytes) throw new HpackError('the dynamic table would be larger than the setting');
    if (capacityBytes === this.#capacityBytes) return;
    this.generation++;
    this.#capacityBytes = capacityBytes;
    this.#evict(capacityBytes);
  }

  #evict(bytesMax: number): void {
    while (this.#bytes > bytesMax && this.#count > 0) {
      const slot = (this.#next - this.#count) & (this.#names.length - 1);
      this.#bytes -= entryBytes(this.#names[slot]!, this.#values[slot]!);
      this.#names[slot] = '';
      this.#values[slot] = '';
      this.#count--;
    }
  }

  /** Doubles the ring, which is full, so that the oldest entry is in slot `#next`. */
  #grow(): void {
    const next = this.#next;
    const empty = emptyStrings(this.#count);
    this.#names = [...this.#names.slice(next), ...this.#names.slice(0, next), ...empty];
    this.#values = [...this.#values.slice(next), ...this.#values.slice(0, next), ...empty];
    this.#next = this.#count;
  }
}

function emptyStrings(count: number): string[] {
  return Array.from({ length: count }, () => '');
}
