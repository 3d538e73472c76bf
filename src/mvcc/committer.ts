/**
 * Group commit. Requests queue while one append is in flight; when it returns, everything queued becomes the next batch: so
 * throughput grows with load while a request waits one to two commits. Nothing is visible before the log has taken it.
 *
 * What can become of an append:
 *   appended          apply, answer the clients
 *   conflict          somebody else has the slot: apply the tail, evaluate the same requests again
 *   gone              the log was truncated past us: as conflict; but if an earlier try of this batch had an unknown
 *                     outcome, nobody can tell any more, and the clients are told just that
 *   failed            certainly not stored: the clients get UNAVAILABLE with the reason
 *   unknown           the same batch again, with the same id, until it is decided. Clients stop waiting at their time limit;
 *                     the batch does not
 */
import { type AppendOutcome, BackendError } from '../registry/log.ts';
import { Draft, NeedValues, type Origin } from './draft.ts';
import { StoreError, StoreUnavailable } from './errors.ts';
import type { Replica } from './replica.ts';
import type { Version } from './version.ts';

/** One batch holds at most this many requests … */
export const batchRequestsMax = 1000;
/** … and takes no more once it has this many bytes. */
export const batchBytesTarget = 4 * 1024 * 1024;
/** Beyond these, new writes are refused with `too many requests`. */
export const queueRequestsMax = 20_000;
export const queueBytesMax = 128 * 1024 * 1024;
/** How long a client waits for its write: etcd's 5 s plus two elections. */
export const requestTimeoutMs = 7000;
const sweepMs = 500;
const retryPauseMs = { first: 5, last: 500 };

/**
 * Rejects what was certainly not written because another replica writes now, and can be asked to write it: with both going
 * on, each would lose half of its attempts.
 */
export class Outbid extends Error {
  override readonly name = 'Outbid';
}

export interface ProposalRequest {
  readonly run: (draft: Draft) => unknown;
  readonly bytes: number;
  /** Who asked for it, if another replica did. */
  readonly origin: Origin | undefined;
  /** It can only be written here: never Outbid. */
  readonly stays: boolean;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

interface Proposal extends ProposalRequest {
  readonly queuedAtMs: number;
  /** The client has been answered (or told that nobody knows). */
  settled: boolean;
}

interface Attempt {
  readonly proposal: Proposal;
  readonly result: unknown;
  readonly error: unknown;
}

export interface CommitObserver {
  /** After each append that the log took. */
  committed(requests: number, bytes: number, milliseconds: number): void;
  /** An append whose outcome was unknown, lost to another writer, or refused by the database. */
  troubled(kind: 'conflict' | 'gone' | 'failed' | 'unknown' | 'fate-unknown', message: string): void;
  /** An append of unknown outcome was found out about. */
  settled(outcome: AppendOutcome): void;
}

export interface CommitterOptions {
  /** Identifies this process in batch ids; unique for all time. */
  readonly replicaId: string;
  readonly now: () => number;
  readonly observer: CommitObserver;
  /** Told of each batch that the log took, before anybody else can know of it. */
  readonly committed?: (slot: number, id: string, data: Uint8Array) => void;
  /** Whether a replica is linked with this one: it asks for its writes, or is asked. */
  readonly linked?: (replicaId: string) => boolean;
  /** Asked after a slot was lost: true makes all that waits reject with Outbid. */
  readonly yields?: () => boolean;
  /** Something that can not happen did: the process must not go on. */
  readonly fatal: (error: unknown) => void;
}

/**
 * After an append the next batch waits a little for those who were just answered: they are likely to ask again at once, and would
 * come too late for a batch that goes immediately. Of 16 clients, 8 would always wait for the append of the other 8. So it waits until as
 * many requests are there as were answered and queued then, for at most this share of the time that the append took …
 */
const lingerShare = 1 / 2;
/** … and not longer than this. */
const lingerMsMax = 10;
/** No timer is shorter. After an append that was so fast that this is more than its share, the most of them are enough. */
const lingerMsMin = 1;
const mostShare = 0.6;
/** While other replicas forward their writes here, which come by a longer way, it is worth more. */
const forwardedLingerShare = 1;
/** They count as forwarding for this long after the last one. */
const forwardingMs = 50;
/**
 * Replicas that are not linked write in turn: who has just won a slot, or has not tried yet, would win the next one as well, since those
 * who lost it have to read it first. So while one of those was there before or after a change of writers so lately, a batch is tried only
 * after a time that is enough for one of them, and one that has lost goes on at once.
 */
const turnsMs = 1000;
/** That time, as far as is known here: so many appends, or what it took to lose the last time. */
const turnShare = 2;
const turnMsMax = 30;

export class Committer {
  readonly #replica: Replica;
  readonly #options: CommitterOptions;
  #queue: Proposal[] = [];
  #queuedBytes = 0;
  #batches = 0;
  #running: Promise<void> | undefined;
  #inFlight: readonly Proposal[] = [];
  #forwardedAtMs = Number.NEGATIVE_INFINITY;
  #appendMs = 0;
  /** From the begin of an append that lost its slot until all was read that others had committed. */
  #lostMs = 0;
  /** A batch is worth waiting for until it has so many requests, or until this time. */
  #expected = 0;
  #lingerUntilMs = Number.NEGATIVE_INFINITY;
  #gathered: (() => void) | undefined;
  /** Looks for requests that wait too long. It ends when it finds none at all: a timer for every commit would cost more. */
  #sweep: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(replica: Replica, options: CommitterOptions) {
    this.#replica = replica;
    this.#options = options;
  }

  get pending(): number {
    return this.#queue.length + this.#inFlight.length;
  }

  /**
   * Has `run` evaluated in the next batch and resolves with what it returned once that is durable. `bytes` is about what it
   * will add to the batch. Rejects with what `run` threw, StoreUnavailable, or Outbid.
   */
  propose<T>(bytes: number, run: (draft: Draft) => T, stays = false): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.submit({ run, bytes, origin: undefined, stays, resolve: resolve as (result: unknown) => void, reject });
    });
  }

  /** The same without a promise. The answer may come at once. */
  submit({ run, bytes, origin, stays, resolve, reject }: ProposalRequest): void {
    if (this.#closed) {
      reject(new StoreError('Stopped'));
      return;
    }
    if (this.#queue.length >= queueRequestsMax || this.#queuedBytes + bytes > queueBytesMax) {
      reject(new StoreError('TooManyRequests'));
      return;
    }
    const queuedAtMs = this.#options.now();
    if (origin !== undefined) this.#forwardedAtMs = queuedAtMs;
    this.#queuedBytes += bytes;
    this.#queue.push({ run, bytes, origin, stays, queuedAtMs, resolve, reject, settled: false });
    if (this.#queue.length >= this.#expected) this.#gathered?.();
    this.#running ??= this.#run();
  }

  /** Commits what is queued and takes no more. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#gathered?.();
    await this.#running;
    this.#endSweep();
  }

  async #run(): Promise<void> {
    // What arrives in this turn of the event loop goes together.
    await new Promise((resolve) => setImmediate(resolve));
    try {
      while (this.#queue.length > 0) {
        this.#sweep ??= setInterval(() => this.#expire(), sweepMs);
        const gathering = this.#gather();
        if (gathering !== undefined) await gathering;
        const taken = this.#take();
        await this.#commit(taken);
        this.#linger(taken.length + this.#queue.length);
      }
    } catch (error) {
      this.#options.fatal(error);
    } finally {
      this.#running = undefined;
    }
  }

  /** Sets how long the next batch waits, and for how many requests. */
  #linger(expected: number): void {
    const now = this.#options.now();
    if (this.#inTurns()) {
      this.#lingerUntilMs = now + this.#turnMs;
      return;
    }
    const forwarding = now - this.#forwardedAtMs < forwardingMs;
    const share = forwarding ? forwardedLingerShare : lingerShare;
    const lingerMs = Math.min(this.#appendMs * share, lingerMsMax);
    const enough = lingerMs < lingerMsMin && !forwarding ? Math.floor(expected * mostShare) : expected;
    this.#expected = Math.min(enough, batchRequestsMax);
    this.#lingerUntilMs = now + Math.max(lingerMs, lingerMsMin);
  }

  #inTurns(): boolean {
    const { writerChange } = this.#replica;
    if (writerChange === undefined || this.#options.now() - writerChange.atMs >= turnsMs) return false;
    return this.#contends(writerChange.from) || this.#contends(writerChange.to);
  }

  #contends(replicaId: string): boolean {
    return replicaId !== this.#options.replicaId && !this.#options.linked?.(replicaId);
  }

  get #turnMs(): number {
    return Math.min(Math.max(this.#appendMs * turnShare, this.#lostMs), turnMsMax);
  }

  /** undefined: there is nothing to wait for. */
  #gather(): Promise<void> | undefined {
    if (this.#inTurns()) {
      const [oldest] = this.#queue as [Proposal];
      this.#expected = Number.POSITIVE_INFINITY;
      this.#lingerUntilMs = Math.max(this.#lingerUntilMs, oldest.queuedAtMs + this.#turnMs);
    }
    const lingerMs = this.#lingerUntilMs - this.#options.now();
    const enough = this.#queue.length >= this.#expected || this.#queuedBytes >= batchBytesTarget;
    if (lingerMs <= 0 || enough || this.#closed) return undefined;
    return new Promise<void>((resolve) => {
      const gathered = () => {
        clearTimeout(timer);
        this.#gathered = undefined;
        resolve();
      };
      const timer = setTimeout(gathered, lingerMs);
      this.#gathered = gathered;
    });
  }

  #take(): Proposal[] {
    let bytes = 0;
    let count = 0;
    while (count < this.#queue.length && count < batchRequestsMax) {
      bytes += (this.#queue[count] as Proposal).bytes;
      if (bytes > batchBytesTarget && count > 0) break;
      count++;
    }
    const taken = this.#queue.slice(0, count);
    this.#queue = this.#queue.slice(count);
    for (const proposal of taken) this.#queuedBytes -= proposal.bytes;
    return taken.filter((proposal) => !proposal.settled);
  }

  /** Brings the proposals into the log, one batch, however often it must be evaluated. */
  async #commit(taken: readonly Proposal[]): Promise<void> {
    this.#inFlight = taken;
    // What was loaded stays at hand for the next try: with a busy writer elsewhere there may be many.
    const pinned = new Map<Version, Buffer>();
    const view = { current: false };
    try {
      // What others have written in their turns would make it lose its own.
      if (this.#inTurns()) {
        await this.#replica.catchUp();
        view.current = true;
      }
      let open = taken;
      while (open.length > 0) {
        const capacity = open.reduce((sum, { bytes }) => sum + bytes, 0);
        const draft = new Draft(this.#replica.state, capacity, { pinned });
        const attempts = await this.#evaluate(draft, open);
        if (attempts !== undefined) await this.#decide(draft, attempts, view);
        // What is left did not fit, or lost its slot to another writer.
        open = open.filter((proposal) => !proposal.settled);
      }
    } catch (error) {
      const reason = error instanceof BackendError ? error.message : undefined;
      if (reason === undefined) throw error;
      this.#options.observer.troubled('failed', reason);
      for (const proposal of taken) settle(proposal, undefined, new StoreUnavailable(reason, false));
    } finally {
      this.#inFlight = [];
    }
  }

  /**
   * Evaluates the requests in order, as many as fit into a batch; undefined if the state moved on meanwhile (values had to be
   * loaded).
   */
  async #evaluate(draft: Draft, proposals: readonly Proposal[]): Promise<Attempt[] | undefined> {
    const { batchBytesMax } = this.#replica.storage.log;
    const attempts: Attempt[] = [];
    for (const proposal of proposals) {
      if (draft.bytes >= batchBytesTarget && !draft.empty) return attempts;
      for (;;) {
        try {
          attempts.push({
            proposal,
            result: draft.attempt(proposal.run, batchBytesMax, proposal.origin),
            error: undefined,
          });
        } catch (error) {
          if (error instanceof StoreError && error.reason === 'RequestTooLarge' && !draft.empty) return attempts;
          if (error instanceof NeedValues) {
            await this.#replica.pin(draft.state, error.items, draft.pinned);
            if (this.#moved(draft)) return undefined;
            continue;
          }
          if (!(error instanceof StoreError)) throw error;
          attempts.push({ proposal, result: undefined, error });
        }
        break;
      }
    }
    return attempts;
  }

  #moved(draft: Draft): boolean {
    return this.#replica.state !== draft.state || draft.state.slot !== draft.baseSlot;
  }

  /**
   * Appends and answers; or leaves the requests open, if they must be evaluated again. `view.current`: everything that was
   * committed before these requests came is applied here.
   */
  async #decide(draft: Draft, attempts: readonly Attempt[], view: { current: boolean }): Promise<void> {
    if (draft.empty) {
      // Nothing to write: but an answer needs proof that its view was current when the request came. What others commit from
      // then on may be in it or not.
      if (!view.current) {
        await this.#replica.barrier();
        view.current = true;
        if (this.#moved(draft)) return;
      }
      for (const { proposal, result, error } of attempts) settle(proposal, result, error);
      return;
    }
    const { data, batch } = draft.seal();
    const startedAtMs = this.#options.now();
    const id = `${this.#options.replicaId}-${++this.#batches}`;
    const outcome = await this.#append(draft.baseSlot, id, data);
    if (outcome === 'appended') {
      this.#appendMs = this.#options.now() - startedAtMs;
      this.#options.observer.committed(attempts.length, data.length, this.#appendMs);
      this.#options.committed?.(draft.baseSlot + 1, id, data);
      this.#replica.apply(draft.baseSlot + 1, id, batch);
      for (const { proposal, result, error } of attempts) settle(proposal, result, error);
      return;
    }
    if (outcome === 'fate-unknown') {
      const reason = this.#closed ? 'the server stops' : 'the log was truncated meanwhile';
      const error = new StoreUnavailable(`the outcome of the write is unknown: ${reason}`, true);
      this.#options.observer.troubled(outcome, error.message);
      for (const { proposal } of attempts) settle(proposal, undefined, error);
    } else this.#options.observer.troubled(outcome, 'another replica committed first');
    await this.#replica.catchUp();
    this.#lostMs = this.#options.now() - startedAtMs;
    view.current = true;
    if (this.#options.yields?.()) this.#yield();
  }

  #yield(): void {
    const outbid = new Outbid();
    for (const proposal of [...this.#inFlight, ...this.#queue]) {
      if (!proposal.stays) settle(proposal, undefined, outbid);
    }
  }

  /** Appends one batch, however often it takes to learn what became of it. */
  async #append(after: number, id: string, data: Uint8Array): Promise<AppendOutcome | 'fate-unknown'> {
    let unknown = false;
    let pauseMs = retryPauseMs.first;
    for (;;) {
      try {
        const outcome = await this.#replica.storage.log.append(after, id, data);
        if (outcome === 'gone' && unknown) return 'fate-unknown';
        if (unknown) this.#options.observer.settled(outcome);
        return outcome;
      } catch (error) {
        if (!(error instanceof BackendError)) throw error;
        // Once a try had an unknown outcome, a later certain failure says nothing about that one.
        if (error.outcome === 'failed' && !unknown) throw error;
        unknown = true;
        this.#options.observer.troubled('unknown', error.message);
        if (this.#closed) return 'fate-unknown';
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
      pauseMs = Math.min(pauseMs * 2, retryPauseMs.last);
    }
  }

  #endSweep(): void {
    clearInterval(this.#sweep);
    this.#sweep = undefined;
  }

  /** Tells clients that have waited too long. Their writes may still happen. */
  #expire(): void {
    if (this.pending === 0) this.#endSweep();
    const before = this.#options.now() - requestTimeoutMs;
    for (const proposal of [...this.#inFlight, ...this.#queue]) {
      if (proposal.queuedAtMs < before) settle(proposal, undefined, new StoreError('Timeout'));
    }
  }
}

function settle(proposal: Proposal, result: unknown, error: unknown): void {
  if (proposal.settled) return;
  proposal.settled = true;
  if (error === undefined) proposal.resolve(result);
  else proposal.reject(error);
}
