/**
 * The log: half of the storage contract (the other half is image.ts). The comments here are the specification;
 * test/backends/contract checks them for every backend.
 *
 * A log is a dense sequence of slots, 0 (genesis), 1, 2, 3 … for one keyspace. Each slot holds one batch, an opaque blob
 * that was committed as a whole. Which writer gets a slot is decided by `append` alone: no clock, no leader, no lock.
 */

/** One committed slot. */
export interface Batch {
  readonly slot: number;
  /** Identity of the batch (1 to 64 ASCII characters), chosen by its writer, unique for all time. */
  readonly id: string;
  /** The blob, from 1 byte to the log's `batchBytesMax` bytes. The reader owns it: a backend never changes it afterwards. */
  readonly data: Uint8Array;
}

/**
 * What every backend must take in one slot. The committer aims far below, but all that one request changes goes into one slot:
 * a backend that can take more says so, and serves larger requests (deleting a million keys, say).
 */
export const batchBytesMaxLeast = 8 * 1024 * 1024;

/**
 * What became of an append.
 * - `appended`: the slot holds this batch, durably. Also when an earlier attempt with the same id put it there.
 * - `conflict`: the slot holds another writer's batch. Nothing of this batch is stored.
 * - `gone`: slot `after` no longer exists (truncated): the writer is far behind and must rebuild. If an earlier attempt
 *   with this id had an unknown outcome, the fate of the batch stays unknown.
 */
export type AppendOutcome = 'appended' | 'conflict' | 'gone';

export interface ReadLimit {
  /** At most this many batches, at least 1. */
  readonly batches: number;
  /** Stop before the batch that would bring the total above this, but always return one if there is one. */
  readonly bytes: number;
}

export interface Log {
  /**
   * True if nobody else can append while this log is open (an embedded file under a lock): then the local head is the
   * truth and reads need no proof. A log shared by replicas says false.
   */
  readonly exclusive: boolean;

  /** The largest batch, in bytes: at least `batchBytesMaxLeast`. A request that needs more is refused as too large. */
  readonly batchBytesMax: number;

  /**
   * Makes the batch slot `after + 1`, atomically and durably, provided that slot `after` still exists and `after + 1`
   * is free. Idempotent by `id`: repeating a call whose outcome was unknown is safe, as long as `data` is the same.
   * `after = -1` writes genesis (slot 0) and succeeds only in a keyspace that never had a slot.
   *
   * Rejects with BackendError. `outcome: 'unknown'` means that the batch may or may not be there (deadline, cut
   * connection): the caller repeats the same call until it is decided. `outcome: 'failed'` means certainly not stored.
   */
  append(after: number, id: string, data: Uint8Array): Promise<AppendOutcome>;

  /**
   * The batches after slot `after`, in slot order. Linearizable: contains everything whose `append` returned before this
   * call started; an empty answer proves that the reader has everything. If the first batch is not slot after+1 the
   * reader's position was truncated and it must rebuild from `Image.scan`.
   */
  read(after: number, limit: ReadLimit): Promise<Batch[]>;

  /** The batches in these slots, in the order asked; slots that are truncated (or not yet written) are left out. */
  load(slots: readonly number[]): Promise<Batch[]>;

  /**
   * Drops all slots up to and including `through`, and returns the space to the file system or database. Refuses (BackendError,
   * `failed`) to drop the newest slot, or anything that the image does not cover (`through` above the image's mark).
   * Dropping what is already gone is a success.
   */
  truncate(through: number): Promise<void>;

  /**
   * Calls `wake` when somebody (perhaps this process) appended, with the slot if it is known. A hint only: truth is `read`, a lost
   * hint costs latency, never an event. Returns the function that ends it.
   */
  onAppend(wake: Wake): () => void;
}

export type Wake = (slot?: number) => void;

/** A failure of the database. `message` is for operators: no stack, no credentials, says what to check. */
export class BackendError extends Error {
  override readonly name = 'BackendError';
  /** `failed`: certainly nothing happened. `unknown`: a write may or may not have happened. */
  readonly outcome: 'failed' | 'unknown';

  constructor(outcome: 'failed' | 'unknown', message: string, options?: ErrorOptions) {
    super(message, options);
    this.outcome = outcome;
  }
}

/** What every `append` checks before it asks its database: a batch outside the contract is `failed`. */
export function checkBatch(after: number, id: string, data: Uint8Array, batchBytesMax: number): void {
  if (!Number.isSafeInteger(after) || after < -1) throw new BackendError('failed', `append after slot ${after}`);
  if (!isBatchId(id)) throw new BackendError('failed', 'a batch id is 1 to 64 ASCII characters');
  if (data.byteLength < 1 || data.byteLength > batchBytesMax) {
    throw new BackendError('failed', `a batch of ${data.byteLength} bytes: it has to have 1 to ${batchBytesMax}`);
  }
}

/** Not by a regular expression: to call one costs more than all other checks of a commit. */
function isBatchId(id: string): boolean {
  for (let i = 0; i < id.length; i++) {
    const code = id.charCodeAt(i);
    if (code < 0x21 || code > 0x7e) return false;
  }
  return id.length >= 1 && id.length <= 64;
}
