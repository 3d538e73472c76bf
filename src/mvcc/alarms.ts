/** Alarms, and the quota that raises NOSPACE. An alarm is a record of the log, so every replica obeys it. */
import type { StorageSize } from '../registry/image.ts';
import { BackendError } from '../registry/log.ts';
import { StoreError } from './errors.ts';
import type { Forwarder } from './forwarder.ts';
import type { Replica } from './replica.ts';

export const AlarmType = { NOSPACE: 1, CORRUPT: 2 } as const;

export interface Alarm {
  readonly memberId: bigint;
  readonly alarm: number;
}

/** How old the known size may be before a write asks for it anew. */
const sizeMaxAgeMs = 1000;

export class Alarms {
  readonly #replica: Replica;
  readonly #forwarder: Forwarder;
  readonly #memberId: bigint;
  /** 0: no quota. */
  readonly #quotaBytes: number;
  readonly #now: () => number;
  #size: StorageSize = { total: 0, inUse: 0 };
  #sizeAtMs = Number.NEGATIVE_INFINITY;
  #measuring: Promise<StorageSize> | undefined;
  /** Bytes proposed since the size was measured. */
  #added = 0;

  constructor(replica: Replica, forwarder: Forwarder, memberId: bigint, quotaBytes: number, now: () => number) {
    this.#replica = replica;
    this.#forwarder = forwarder;
    this.#memberId = memberId;
    this.#quotaBytes = quotaBytes;
    this.#now = now;
  }

  list(): Alarm[] {
    return [...this.#replica.state.alarms.values()];
  }

  async activate(memberId: bigint, alarm: number): Promise<void> {
    await this.#set(memberId, alarm, true);
  }

  async deactivate(memberId: bigint, alarm: number): Promise<void> {
    await this.#set(memberId, alarm, false);
  }

  async #set(memberId: bigint, alarm: number, active: boolean): Promise<void> {
    await this.#forwarder.execute({ kind: 'alarm', memberId, alarm, active });
  }

  /** Measures the storage, at most once at a time. */
  async size(): Promise<StorageSize> {
    this.#measuring ??= this.#measure();
    return await this.#measuring;
  }

  async #measure(): Promise<StorageSize> {
    try {
      const before = this.#added;
      this.#size = await this.#replica.storage.image.size();
      this.#sizeAtMs = this.#now();
      this.#added -= before;
      return this.#size;
    } finally {
      this.#measuring = undefined;
    }
  }

  /**
   * Throws (or rejects with) NoSpace if a write that adds about `bytes` must be refused: the alarm is on, or it would pass the
   * quota, which turns the alarm on. Answers at once, unless it comes to the true size.
   */
  checkSpace(bytes: number): Promise<void> | undefined {
    for (const { alarm } of this.#replica.state.alarms.values()) {
      if (alarm === AlarmType.NOSPACE) throw new StoreError('NoSpace');
    }
    if (this.#quotaBytes === 0) return undefined;
    if (this.#now() - this.#sizeAtMs > sizeMaxAgeMs) this.size().catch(() => {});
    if (this.#size.total + this.#added + bytes > this.#quotaBytes) return this.#checkMeasured(bytes);
    this.#added += bytes;
    return undefined;
  }

  /** As `checkSpace`, by the true size: space may have been freed, and what was added may have been estimated too high. */
  async #checkMeasured(bytes: number): Promise<void> {
    try {
      if ((await this.size()).total + bytes <= this.#quotaBytes) {
        this.#added += bytes;
        return;
      }
      await this.activate(this.#memberId, AlarmType.NOSPACE);
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      // A database that does not answer refuses the write by itself.
      return;
    }
    throw new StoreError('NoSpace');
  }
}
