/**
 * Batches and rows as they travel between the threads: many in one buffer that is handed over, because cloning thousands
 * of small objects would cost the main thread more than the database costs the worker.
 *
 * Numbers are 8-byte floats (exact for safe integers), bytes have a 4-byte length before them.
 */
import type { ImageChange, ImageRow, ImageRowHead } from '../../registry/image.ts';
import type { Batch } from '../../registry/log.ts';

export class Packer {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  #end = 0;

  constructor(sizeHint = 16 * 1024) {
    this.#bytes = new Uint8Array(sizeHint);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get size(): number {
    return this.#end;
  }

  #reserve(size: number): number {
    const at = this.#end;
    this.#end += size;
    if (this.#end > this.#bytes.byteLength) {
      const larger = new Uint8Array(Math.max(this.#end, this.#bytes.byteLength * 2));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }

  number(value: number): void {
    const at = this.#reserve(8);
    this.#view.setFloat64(at, value);
  }

  bigint(value: bigint): void {
    const at = this.#reserve(8);
    this.#view.setBigInt64(at, value);
  }

  bytes(value: Uint8Array): void {
    const at = this.#reserve(4 + value.byteLength);
    this.#view.setUint32(at, value.byteLength);
    this.#bytes.set(value, at + 4);
  }

  batch(batch: Batch): void {
    this.number(batch.slot);
    this.bytes(Buffer.from(batch.id, 'latin1'));
    this.bytes(batch.data);
  }

  head(head: ImageRowHead): void {
    this.bytes(head.key);
    this.number(head.createRevision);
    this.number(head.modRevision);
    this.number(head.version);
    this.bigint(head.lease);
  }

  row(row: ImageRow): void {
    this.head(row);
    this.bytes(row.value);
  }

  change(change: ImageChange): void {
    if ('deleted' in change) {
      this.number(0);
      this.bytes(change.key);
    } else {
      this.number(1);
      this.row(change);
    }
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#end);
  }
}

/** One char (code 0 to 255) per byte. */
export function binaryString({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('latin1');
}

/** Keys are views into the buffer; what may be kept for long (data, values) is a copy, so that it does not pin the buffer. */
export class Unpacker {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  number(): number {
    this.#at += 8;
    return this.#view.getFloat64(this.#at - 8);
  }

  bigint(): bigint {
    this.#at += 8;
    return this.#view.getBigInt64(this.#at - 8);
  }

  bytes(): Uint8Array {
    const start = this.#at + 4;
    this.#at = start + this.#view.getUint32(this.#at);
    return this.#bytes.subarray(start, this.#at);
  }

  batch(): Batch {
    const slot = this.number();
    const id = binaryString(this.bytes());
    return { slot, id, data: this.bytes().slice() };
  }

  head(): ImageRowHead {
    return {
      key: this.bytes(),
      createRevision: this.number(),
      modRevision: this.number(),
      version: this.number(),
      lease: this.bigint(),
    };
  }

  row(): ImageRow {
    const { key, createRevision, modRevision, version, lease } = this.head();
    return { key, createRevision, modRevision, version, lease, value: this.bytes().slice() };
  }

  change(): ImageChange {
    return this.number() === 0 ? { key: this.bytes(), deleted: true } : this.row();
  }

  /** Items until the end of the buffer. */
  rest<T>(next: (unpacker: this) => T): T[] {
    const items: T[] = [];
    while (this.#at < this.#bytes.byteLength) items.push(next(this));
    return items;
  }
}
