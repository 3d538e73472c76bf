/**
 * The base image: plain rows with the state up to a compacted revision, so that the log before it can go. The other half of
 * the storage contract (see log.ts). Rows can be read by any SQL tool; keys and values are bytes.
 *
 * A checkpoint brings the image forward: `begin` takes the fence, `write` brings rows in bounded chunks, `finish` moves the
 * mark. Until `finish` the mark stays where it was, and a half-written checkpoint is harmless: rows newer than the mark are
 * recognised by their mod_revision, and the log after the mark still has what they replaced.
 */
import { BackendError, type Batch } from './log.ts';

/** Where the image stands: it holds everything in slots 0..slot, whose last revision is `revision`. */
export interface ImageMark {
  /** -1 where no checkpoint has finished yet. */
  readonly slot: number;
  /** 0 where no checkpoint has finished yet. Rows with a higher mod_revision belong to a checkpoint under way. */
  readonly revision: number;
}

export interface ImageRow {
  /** 1 byte to 1.5 MiB of any bytes (a backend that cannot store a long key says so in its README and its validate). */
  readonly key: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  /** 0n: none. All 64 bits count, also negative ids. */
  readonly lease: bigint;
  readonly value: Uint8Array;
}

/** A row without its value: what a replica needs to start. */
export type ImageRowHead = Omit<ImageRow, 'value'>;

/** `deleted` removes the row, if there is one. */
export type ImageChange = ImageRow | { readonly key: Uint8Array; readonly deleted: true };

/** State that is not a key: leases, alarms, genesis … Small; replaced as a whole by each checkpoint. */
export interface NamedRecord {
  /** 1 to 128 ASCII characters. */
  readonly name: string;
  readonly data: Uint8Array;
}

export interface Checkpoint {
  /**
   * Upserts and deletes rows. At most `checkpointRowsMax` rows and about `checkpointBytesMax` bytes a call. Runs off the
   * commit path: an append waiting meanwhile is delayed by a few milliseconds. A backend may do it in several steps, so a
   * call that failed may have brought some of its rows: harmless, as every half-written checkpoint is.
   * Rejects with Fenced if another checkpoint began after this one.
   */
  write(changes: readonly ImageChange[]): Promise<void>;
  /**
   * Moves the mark and replaces the named records, atomically. Rejects with Fenced as `write` does, and with BackendError
   * if `mark.slot` is below the present mark or is not a slot of the log.
   */
  finish(mark: ImageMark, records: readonly NamedRecord[]): Promise<void>;
}

export const checkpointRowsMax = 1000;
export const checkpointBytesMax = 2 * 1024 * 1024;

/** The start of a replica: image and the log after its mark, as they were at one moment. */
export interface Snapshot {
  readonly mark: ImageMark;
  readonly records: readonly NamedRecord[];
  /** All rows, in key order (bytewise), in chunks. To be read before `batches`. */
  readonly rows: AsyncIterable<readonly ImageRowHead[]>;
  /** The log from slot mark.slot+1 on, dense, in order, in chunks; empty where the keyspace is new. */
  readonly batches: AsyncIterable<readonly Batch[]>;
}

export interface StorageSize {
  /** Bytes taken from the file system or database, without a journal that empties itself: what a quota is held against. */
  readonly total: number;
  /** Of these, bytes that hold data. */
  readonly inUse: number;
}

export interface Image {
  /** Where the image stands now, whichever replica brought it there. */
  mark(): Promise<ImageMark>;
  /** Takes the fence: from now on every earlier checkpoint (of any replica) is refused with Fenced. */
  begin(): Promise<Checkpoint>;
  /**
   * A consistent snapshot, isolated from appends, checkpoints and truncations that happen while it is read. One at a time is
   * enough; must be read to its end or left by `break`, which frees it.
   */
  scan(): Promise<Snapshot>;
  /** The rows of these keys, in any order; keys without a row are left out. */
  load(keys: readonly Uint8Array[]): Promise<ImageRow[]>;
  size(): Promise<StorageSize>;
  /** Gives free space back now (etcd's Defragment): slow is allowed, blocking the event loop is not. */
  reclaim(): Promise<void>;
}

/** The checkpoint lost its fence to a newer one. The newer one does the work: not an error for an operator. */
export class Fenced extends Error {
  override readonly name = 'Fenced';
}

/** What every `write` checks before it asks its database. */
export function checkChanges(changes: readonly ImageChange[]): void {
  if (changes.length > checkpointRowsMax) {
    throw new BackendError('failed', `a checkpoint chunk of ${changes.length} rows, at most ${checkpointRowsMax}`);
  }
}
