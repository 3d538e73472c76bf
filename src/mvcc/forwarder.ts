/**
 * Decides where a write is made: here, or by the replica that writes already. Replicas that write at once contend for slots
 * and lose half of their attempts; so whoever finds that another one wrote last, not long ago, asks that one (the writer) to
 * write for it. All of this only saves time: the append alone decides, and where there is no writer, none that can be reached
 * or none that answers, a replica writes itself.
 *
 * A forwarded request must not be executed twice, although its answer may never come. So:
 *
 * - The writer notes in the log, before what the request changed, who asked and under which number (the `forwarded` record).
 * - A replica forwards within an epoch, which it began with a record of the log. The writer executes a request only while the
 *   state that it evaluates it on says that the epoch is still that one.
 * - Where an answer does not come, the replica begins its next epoch. Once that is in the log, at slot 100 say, every request of
 *   the epoch before is either noted in the slots up to 100, or will never be executed. In the first case its answer is worked out
 *   again from the history, in the second it is made anew.
 */
import { BackendError } from '../registry/log.ts';
import { type Command, type CommandResult, commandBytes, evaluateCommand, type ResultOf } from './commands.ts';
import { type Committer, Outbid, queueRequestsMax, requestTimeoutMs } from './committer.ts';
import { Draft, NeedValues } from './draft.ts';
import { type Reason, StoreError, StoreUnavailable } from './errors.ts';
import { Outstanding } from './outstanding.ts';
import type { LogRecord } from './records.ts';
import type { Replica } from './replica.ts';
import type { Version } from './version.ts';

/**
 * Who wrote nothing for so long is not asked: to write is as good here. Long enough for a pause between two bursts of writes, which would
 * else begin with all replicas contending for a slot.
 */
const writerIdleMs = 10_000;
/** A writer that has not answered a request for so long is not waited for … */
const answerTimeoutMs = 2000;
/** … nor asked again for so long. */
const unfitMs = 5000;
const sweepMs = 250;

export interface ForwardRequest {
  readonly sequence: number;
  readonly epoch: number;
  readonly command: Command;
}

/** What became of a forwarded request. `again`: it was certainly not executed. */
export type ForwardAnswer =
  | { readonly kind: 'done'; readonly slot: number; readonly result: CommandResult }
  | { readonly kind: 'refused'; readonly slot: number; readonly reason: Reason }
  | { readonly kind: 'unavailable'; readonly message: string; readonly unknown: boolean }
  | { readonly kind: 'again' }
  /** As `again`: the epoch is over. */
  | { readonly kind: 'epochOver' };

/** The way to another replica. */
export interface Link {
  /** False: not this one (too large), or not now (too much waits for the network already). Nothing was sent then. */
  forward(request: ForwardRequest): boolean;
}

/** The other replicas. */
export interface Peers {
  /** undefined: not connected, or silent for too long. */
  link(replicaId: string): Link | undefined;
  /** Tells all who listen of a batch that the log has taken. */
  push(slot: number, id: string, data: Uint8Array): void;
}

const alone: Peers = { link: () => undefined, push() {} };

interface Pending {
  readonly command: Command;
  readonly writer: string;
  readonly epoch: number;
  readonly sentAtMs: number;
  resolve(result: CommandResult): void;
  reject(error: unknown): void;
  /** The revision that it made, once it was seen in the log; 0: none, it changed something else. */
  committed: number | undefined;
  /** Slots were skipped in which it may be. */
  untraceable: boolean;
  /** Nobody waits for an answer of the writer any more: see `lost`. */
  doubted: boolean;
}

/** The request was certainly not executed. */
class NotExecuted extends Error {
  override readonly name = 'NotExecuted';
}

export interface ForwarderOptions {
  /** 16 hexadecimal digits. */
  readonly replicaId: string;
  readonly now: () => number;
}

export class Forwarder {
  peers: Peers = alone;
  /** Since the start of this process: asked of others, executed for others, and found out about after a lost answer. */
  readonly counts = { forwarded: 0, executed: 0, doubted: 0 };
  readonly #replica: Replica;
  readonly #committer: Committer;
  readonly #options: ForwarderOptions;
  readonly #me: bigint;
  readonly #pending = new Outstanding<Pending>();
  /** The epoch that was begun last; open unless it is being begun, or was found to be over. */
  #epoch = 0;
  #open = false;
  #beginning: Promise<void> | undefined;
  readonly #unfitUntilMs = new Map<string, number>();
  #sweep: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(replica: Replica, committer: Committer, options: ForwarderOptions) {
    this.#replica = replica;
    this.#committer = committer;
    this.#options = options;
    this.#me = BigInt(`0x${options.replicaId}`);
    replica.onRecords = (records) => this.#note(records);
  }

  /** Requests that another replica was asked for. */
  get pending(): number {
    return this.#pending.size;
  }

  /** The replica that writes now; undefined: this one may as well. */
  get #writer(): string | undefined {
    const { replicaId, atMs } = this.#replica.lastWriter;
    if (replicaId === this.#options.replicaId || this.#options.now() - atMs > writerIdleMs) return undefined;
    if ((this.#unfitUntilMs.get(replicaId) ?? 0) > this.#options.now()) return undefined;
    return this.peers.link(replicaId) === undefined ? undefined : replicaId;
  }

  /** Whether to leave writing to another replica. */
  yields(): boolean {
    return this.#writer !== undefined;
  }

  /** Whether another replica, which can be reached, is likely to do what every replica may do. */
  leavesToOthers(): boolean {
    const { replicaId } = this.#replica.lastWriter;
    return replicaId !== this.#options.replicaId && this.peers.link(replicaId) !== undefined;
  }

  /** Has the command executed, durably, wherever. Rejects with StoreError or StoreUnavailable. */
  execute<C extends Command>(command: C): Promise<ResultOf<C>> {
    if (this.#replica.storage.log.exclusive) return this.#commit(command) as Promise<ResultOf<C>>;
    return this.#executeAnywhere(command, this.#options.now() + requestTimeoutMs) as Promise<ResultOf<C>>;
  }

  #executeAnywhere(command: Command, untilMs: number): Promise<CommandResult> {
    const writer = this.#writer;
    const result = writer === undefined ? this.#commit(command) : this.#forward(writer, command);
    return result.catch((error: unknown) => {
      if (!(error instanceof NotExecuted || error instanceof Outbid)) throw error;
      if (this.#closed) throw new StoreError('Stopped');
      if (this.#options.now() > untilMs) throw new StoreError('Timeout');
      return this.#executeAnywhere(command, untilMs);
    });
  }

  #commit(command: Command, stays = false): Promise<CommandResult> {
    const { now } = this.#options;
    const run = (draft: Draft) => evaluateCommand(draft, command, now());
    return this.#committer.propose(commandBytes(command), run, stays);
  }

  // Asking another replica.

  #forward(writer: string, command: Command): Promise<CommandResult> {
    // To begin an epoch needs none: doing it twice does no harm.
    if (command.kind === 'epoch' || this.#open) return this.#ask(writer, command);
    return this.#begin().then(() => this.#ask(writer, command));
  }

  #ask(writer: string, command: Command): Promise<CommandResult> {
    const link = this.peers.link(writer);
    if (link === undefined) return Promise.reject(new NotExecuted());
    // What became of all these is found out by beginning an epoch: that always has a place.
    if (this.#pending.size >= queueRequestsMax && command.kind !== 'epoch') {
      return Promise.reject(new StoreError('TooManyRequests'));
    }
    const sequence = this.#pending.next;
    const epoch = this.#epoch;
    if (!link.forward({ sequence, epoch, command })) return this.#commit(command, true);
    this.counts.forwarded++;
    return new Promise((resolve, reject) => {
      this.#pending.add({
        command,
        writer,
        epoch,
        sentAtMs: this.#options.now(),
        resolve,
        reject,
        committed: undefined,
        untraceable: false,
        doubted: false,
      });
      this.#sweep ??= setInterval(() => this.#look(), sweepMs);
    });
  }

  /** Begins the next epoch; resolves when it is in the log and applied here. */
  #begin(): Promise<void> {
    this.#open = false;
    this.#beginning ??= (async () => {
      const epoch = ++this.#epoch;
      try {
        await this.execute({ kind: 'epoch', replica: this.#me, epoch });
        // Who concludes from it that something was not executed must have seen all that came before.
        if ((this.#replica.state.epochs.get(this.#me) ?? 0) < epoch) await this.#replica.catchUp();
        this.#open = this.#epoch === epoch;
      } finally {
        this.#beginning = undefined;
      }
    })();
    return this.#beginning;
  }

  #take(sequence: number): Pending | undefined {
    const pending = this.#pending.take(sequence);
    if (this.#pending.size === 0) {
      clearInterval(this.#sweep);
      this.#sweep = undefined;
    }
    return pending;
  }

  /** An answer has come. */
  answered(sequence: number, answer: ForwardAnswer): void {
    const pending = this.#pending.get(sequence);
    // Too late, or what became of it is being found out already.
    if (pending === undefined || pending.doubted) return;
    if (answer.kind === 'unavailable' && answer.unknown) {
      this.#doubt([[sequence, pending]]);
      return;
    }
    this.#take(sequence);
    switch (answer.kind) {
      case 'done':
      case 'refused': {
        const tell = (): void => {
          if (answer.kind === 'done') pending.resolve(answer.result);
          else pending.reject(new StoreError(answer.reason));
        };
        // A client that reads here next must find what it was told.
        if (answer.slot <= this.#replica.state.slot) tell();
        else this.#replica.catchUp().then(tell, tell);
        return;
      }
      case 'unavailable':
        // This replica's own way to the database may be better.
        this.#unfit(pending.writer);
        break;
      case 'epochOver':
        if (pending.epoch === this.#epoch) this.#open = false;
        break;
      case 'again':
    }
    pending.reject(new NotExecuted());
  }

  /** The way to a replica broke: what it was asked for may or may not be done. */
  lost(replicaId: string): void {
    this.#doubt(this.#pending.entries().filter(([, { writer, doubted }]) => writer === replicaId && !doubted));
  }

  #unfit(replicaId: string): void {
    const now = this.#options.now();
    for (const [id, untilMs] of this.#unfitUntilMs) if (untilMs < now) this.#unfitUntilMs.delete(id);
    this.#unfitUntilMs.set(replicaId, now + unfitMs);
  }

  #look(): void {
    const now = this.#options.now();
    for (const [sequence, { sentAtMs, reject }] of this.#pending.entries()) {
      if (now - sentAtMs > requestTimeoutMs) {
        this.#take(sequence);
        reject(new StoreError('Timeout'));
      }
    }
    const open = this.#pending.entries().filter(([, { doubted }]) => !doubted);
    for (const writer of new Set(open.map(([, pending]) => pending.writer))) {
      const late = open.some(([, pending]) => pending.writer === writer && now - pending.sentAtMs > answerTimeoutMs);
      if (late) this.#unfit(writer);
      if (late || this.peers.link(writer) === undefined) this.lost(writer);
    }
  }

  #doubt(requests: readonly (readonly [number, Pending])[]): void {
    // Finding out waits for an epoch to begin. What begins one is not found out about: it is done again, which does no harm.
    const toSettle: (readonly [number, Pending])[] = [];
    for (const [sequence, pending] of requests) {
      if (pending.command.kind === 'epoch') this.#take(sequence)?.reject(new NotExecuted());
      else toSettle.push([sequence, pending]);
    }
    if (toSettle.length === 0) return;
    this.counts.doubted += toSettle.length;
    for (const [, pending] of toSettle) pending.doubted = true;
    void this.#settle(toSettle);
  }

  async #settle(requests: readonly (readonly [number, Pending])[]): Promise<void> {
    try {
      const newest = Math.max(...requests.map(([, { epoch }]) => epoch));
      // An epoch that began while these waited has ended theirs as well.
      while (!(this.#open && this.#epoch > newest)) await this.#begin();
    } catch (error) {
      for (const [sequence] of requests) this.#take(sequence)?.reject(unavailable(error));
      return;
    }
    for (const [sequence, pending] of requests) {
      if (this.#take(sequence) === undefined) continue;
      if (pending.committed === undefined) pending.reject(pending.untraceable ? untraceable() : new NotExecuted());
      else this.#answerAnew(pending.command, pending.committed).then(pending.resolve, pending.reject);
    }
  }

  /** What a command was answered that made this revision. */
  async #answerAnew(command: Command, revision: number): Promise<CommandResult> {
    if (revision === 0) return undefined;
    const pinned = new Map<Version, Buffer>();
    for (;;) {
      const { state } = this.#replica;
      if (revision - 1 < state.compactedRevision) throw answerLost();
      const draft = new Draft(state, commandBytes(command), { pinned, asOf: revision - 1 });
      try {
        return draft.attempt(() => evaluateCommand(draft, command, this.#options.now()));
      } catch (error) {
        // It was not refused then. What a transaction may have read from is gone since.
        if (error instanceof StoreError) throw answerLost();
        if (!(error instanceof NeedValues)) throw error;
        await this.#replica.pin(state, error.items, pinned).catch((failure: unknown) => {
          throw unavailable(failure);
        });
      }
    }
  }

  /** The state was replaced by a newer one: nobody saw what was in the slots between. */
  rebuilt(): void {
    for (const [, pending] of this.#pending.entries()) pending.untraceable = true;
  }

  /** Which of the requests under way are in this batch. */
  #note(records: readonly LogRecord[]): void {
    if (this.#pending.size === 0) return;
    records.forEach((record, i) => {
      if (record.kind !== 'forwarded' || record.replica !== this.#me) return;
      const pending = this.#pending.get(record.sequence);
      const next = records[i + 1];
      if (pending !== undefined) pending.committed = next?.kind === 'revision' ? next.revision : 0;
    });
  }

  // Being asked.

  /** Executes what another replica asks for, and answers each request once. */
  performer(replicaId: string): (request: ForwardRequest, answer: (answer: ForwardAnswer) => void) => void {
    const replica = BigInt(`0x${replicaId}`);
    return ({ sequence, epoch, command }, answer) => {
      this.counts.executed++;
      const origin = command.kind === 'epoch' ? undefined : { replica, sequence };
      this.#committer.submit({
        run: (draft) => {
          if (origin !== undefined && draft.state.epochs.get(replica) !== epoch) throw new EpochOver();
          return evaluateCommand(draft, command, this.#options.now());
        },
        bytes: commandBytes(command),
        origin,
        stays: false,
        resolve: (result) => {
          answer({ kind: 'done', slot: this.#replica.state.slot, result: result as CommandResult });
        },
        reject: (error) => answer(this.#answerOf(error)),
      });
    };
  }

  #answerOf(error: unknown): ForwardAnswer {
    if (error instanceof EpochOver) return { kind: 'epochOver' };
    if (error instanceof Outbid) return { kind: 'again' };
    if (error instanceof StoreUnavailable) {
      return { kind: 'unavailable', message: error.message, unknown: error.unknown };
    }
    if (!(error instanceof StoreError)) throw error;
    if (error.reason === 'Stopped') return { kind: 'again' };
    // It may still be made.
    if (error.reason === 'Timeout') return { kind: 'unavailable', message: error.message, unknown: true };
    return { kind: 'refused', slot: this.#replica.state.slot, reason: error.reason };
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#sweep);
    for (const [sequence] of this.#pending.entries()) this.#take(sequence)?.reject(new StoreError('Stopped'));
  }
}

/** A failure of the database while it is found out what became of a write: it may be that one which was made. */
function unavailable(error: unknown): unknown {
  if (!(error instanceof BackendError || error instanceof StoreUnavailable)) return error;
  return new StoreUnavailable(error.message, true, { cause: error });
}

function answerLost(): StoreUnavailable {
  return new StoreUnavailable('the write was made, but what it found there is compacted by now', true);
}

function untraceable(): StoreUnavailable {
  return new StoreUnavailable('the outcome of the write is unknown: the log was truncated meanwhile', true);
}

/** The replica that asked has begun another epoch since. A StoreError, so that the batch goes on without it. */
class EpochOver extends StoreError {
  constructor() {
    super('Stopped');
  }
}
