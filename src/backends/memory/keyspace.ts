import type { ImageMark, ImageRow, NamedRecord } from '../../registry/image.ts';
import type { Batch, Wake } from '../../registry/log.ts';

/** What is stored for one keyspace. Stored bytes are copies: neither a writer nor a reader can change them. */
export class MemoryKeyspace {
  /** Dense, in slot order; the first is above 0 after a truncation. Empty only until genesis. */
  batches: Batch[] = [];
  /** By key as a binary string: string order is byte order. */
  rows = new Map<string, ImageRow>();
  records: readonly NamedRecord[] = [];
  mark: ImageMark = { slot: -1, revision: 0 };
  /** The number of the newest checkpoint: older ones are refused. */
  fence = 0;
  readonly members = new Map<string, { readonly data: Uint8Array; readonly atMs: number }>();
  secret: Uint8Array | undefined;
  readonly wakes = new Set<Wake>();

  /** -1: no slot yet. */
  newest(): number {
    return this.batches.at(-1)?.slot ?? -1;
  }

  at(slot: number): Batch | undefined {
    return this.batches[slot - (this.batches[0]?.slot ?? 0)];
  }

  after(slot: number): Batch[] {
    return this.batches.slice(Math.max(0, slot + 1 - (this.batches[0]?.slot ?? 0)));
  }
}

export const copyOf = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes);
