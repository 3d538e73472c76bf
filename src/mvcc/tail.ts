/**
 * Follows a log that other replicas append to as well: looks into it again and again, and sooner when the database hints that
 * somebody appended. What linked replicas push, and what this process appends itself, need not be read: a hint of such a slot waits
 * until that has had its time to come.
 */
import { BackendError } from '../registry/log.ts';
import type { Replica } from './replica.ts';

/** How long after a look a replica looks again: sooner if there was something that nobody had told it of. */
const usualPollMs = { found: 40, nothing: 100 };
/** How long a batch that should be pushed here may take longer than the hint. */
const pushPatienceMs = 10;

export interface TailOptions {
  /** Whether who wrote last pushes what it commits to this replica. */
  readonly pushed: () => boolean;
  readonly pollMs?: { readonly found: number; readonly nothing: number };
  /** Once, not at every look. */
  warn(message: string): void;
  /** Something that can not happen did: the process must not go on. */
  readonly fatal: (error: unknown) => void;
}

export class TailFollower {
  readonly #replica: Replica;
  readonly #options: TailOptions;
  readonly #endHints: () => void;
  #poll: NodeJS.Timeout | undefined;
  /** Waits with a hint. */
  #patience: NodeJS.Timeout | undefined;
  #hintedSlot = -1;
  #reachable = true;
  /** As of the last look. */
  #foundBatches = 0;
  #stopped = false;

  constructor(replica: Replica, options: TailOptions) {
    this.#replica = replica;
    this.#options = options;
    this.#endHints = replica.storage.log.onAppend((slot) => this.#hinted(slot));
    this.#pollLater();
  }

  #pollLater(): void {
    if (this.#stopped) return;
    const { pollMs = usualPollMs } = this.#options;
    const { foundBatches } = this.#replica;
    const waitMs = foundBatches > this.#foundBatches ? pollMs.found : pollMs.nothing;
    this.#foundBatches = foundBatches;
    this.#poll = setTimeout(() => void this.#look().then(() => this.#pollLater()), waitMs);
    this.#poll.unref();
  }

  #hinted(slot: number | undefined): void {
    if (this.#stopped) return;
    if (slot === undefined) {
      void this.#look();
      return;
    }
    if (slot <= this.#replica.state.slot) return;
    this.#hintedSlot = Math.max(this.#hintedSlot, slot);
    if (this.#patience === undefined) this.#wait();
  }

  #wait(): void {
    const slot = this.#hintedSlot;
    const later = (): void => {
      this.#patience = undefined;
      if (this.#replica.state.slot < slot) void this.#look();
      else if (this.#replica.state.slot < this.#hintedSlot) this.#wait();
    };
    // What this process has just appended is applied before the next turn.
    this.#patience = setTimeout(later, this.#options.pushed() ? pushPatienceMs : 0);
  }

  async #look(): Promise<void> {
    try {
      await this.#replica.catchUp();
      this.#reachable = true;
    } catch (error) {
      if (!(error instanceof BackendError)) this.#options.fatal(error);
      else if (this.#reachable) this.#options.warn(`cannot follow the log: ${error.message}`);
      this.#reachable = false;
    }
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#poll);
    clearTimeout(this.#patience);
    this.#endHints();
  }
}
