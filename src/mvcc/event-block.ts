/**
 * Events as they go to watchers: the `events` fields of a WatchResponse, encoded once and shared by all watchers that see the
 * same ones.
 *
 *   events: 11 (Event)   Event: 1 type (PUT = 0, left out; DELETE = 1)  2 kv  3 prev_kv
 */
import { varintSize, writeVarint } from '../proto/wire.ts';
import type { EncodedKeyValue } from './requests.ts';

export interface WatchEvent {
  readonly deleted: boolean;
  readonly kv: EncodedKeyValue;
  readonly prevKv: EncodedKeyValue | undefined;
}

export class EventBlock {
  /** All events, encoded one after the other. Never changed. */
  readonly bytes: Buffer;
  /** Where each event ends in `bytes`. */
  readonly ends: readonly number[];

  constructor(events: readonly WatchEvent[]) {
    const sizes = events.map(eventSize);
    this.bytes = Buffer.allocUnsafe(sizes.reduce((sum, size) => sum + 1 + varintSize(size) + size, 0));
    let at = 0;
    this.ends = events.map((event, i) => {
      at = this.#write(at, event, sizes[i] as number);
      return at;
    });
  }

  get count(): number {
    return this.ends.length;
  }

  #write(at: number, event: WatchEvent, size: number): number {
    const { bytes } = this;
    bytes[at] = 0x5a;
    let position = writeVarint(bytes, at + 1, size);
    if (event.deleted) {
      bytes[position++] = 0x08;
      bytes[position++] = 1;
    }
    position = writeField(bytes, position, 0x12, event.kv);
    if (event.prevKv !== undefined) position = writeField(bytes, position, 0x1a, event.prevKv);
    return position;
  }
}

function eventSize(event: WatchEvent): number {
  let size = (event.deleted ? 2 : 0) + 1 + varintSize(event.kv.length) + event.kv.length;
  if (event.prevKv !== undefined) size += 1 + varintSize(event.prevKv.length) + event.prevKv.length;
  return size;
}

function writeField(to: Buffer, at: number, tag: number, content: Uint8Array): number {
  to[at] = tag;
  const position = writeVarint(to, at + 1, content.length);
  to.set(content, position);
  return position + content.length;
}
