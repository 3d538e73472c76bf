/** The clients of a store under test: slow and fast streams, and what their watches were given. */
import { isDeepStrictEqual } from 'node:util';
import type { EventBlock } from '../../src/mvcc/event-block.ts';
import type { Store } from '../../src/mvcc/store.ts';
import type { Watcher, WatchFilter, WatchSink } from '../../src/mvcc/watcher.ts';
import { etcdserverpb, type mvccpb } from '../../src/proto/generated/etcd.js';
import { safeNumber, signed } from '../../src/proto/int64.ts';
import type { Event, Model } from './model.ts';
import type { Item } from './model-range.ts';

const binary = (bytes: Uint8Array | null | undefined): string => Buffer.from(bytes ?? []).toString('latin1');

/** A KeyValue as the generated code reads it. */
export function toItem(kv: mvccpb.KeyValue.$Properties): Item {
  return {
    key: binary(kv.key),
    createRevision: safeNumber(kv.createRevision ?? 0),
    modRevision: safeNumber(kv.modRevision ?? 0),
    version: safeNumber(kv.version ?? 0),
    value: binary(kv.value),
    lease: signed(kv.lease ?? 0),
  };
}

export function toEvents(block: EventBlock): Event[] {
  return etcdserverpb.WatchResponse.decode(block.bytes).events.map(({ type, kv, prevKv }) => ({
    deleted: type === 1,
    kv: toItem(kv ?? {}),
    prevKv: prevKv ? toItem(prevKv) : undefined,
  }));
}

/** A client's stream: takes events while it is writable, whichever watch they are for. */
export class Stream implements WatchSink {
  #writable = true;
  #drained: (() => void)[] = [];
  readonly #watches = new Map<Watcher, Watch>();

  get writable(): boolean {
    return this.#writable;
  }

  set writable(writable: boolean) {
    this.#writable = writable;
    if (!writable) return;
    for (const resolve of this.#drained) resolve();
    this.#drained = [];
  }

  drained(): Promise<void> {
    return this.#writable ? Promise.resolve() : new Promise((resolve) => this.#drained.push(resolve));
  }

  add(watcher: Watcher, watch: Watch): void {
    this.#watches.set(watcher, watch);
  }

  events(watcher: Watcher, block: EventBlock, revision: number): void {
    if (!this.#writable) throw new Error('events for a stream that takes none');
    this.#watches.get(watcher)?.take(toEvents(block), revision);
  }

  compacted(watcher: Watcher, revision: number): void {
    const watch = this.#watches.get(watcher);
    if (watch !== undefined) watch.compactedAt = revision;
  }
}

/** One watch of a client, over all stores that it was resumed on. */
export class Watch {
  readonly filter: WatchFilter;
  readonly start: number;
  readonly stream: Stream;
  readonly received: Event[] = [];
  /** The watch ended here because its next event had been compacted. */
  compactedAt: number | undefined;
  watcher: Watcher | undefined;
  #header = 0;
  /** The store said that everything up to here was sent. */
  #reached = 0;

  constructor(filter: WatchFilter, start: number, stream: Stream) {
    this.filter = filter;
    this.start = start;
    this.stream = stream;
  }

  /** Begins, or goes on where the last event was: as a client does that was cut off. */
  open(store: Store, startRevision: number): void {
    this.watcher = store.hub.watch(0n, this.filter, startRevision, this.stream);
    this.stream.add(this.watcher, this);
  }

  resume(store: Store): void {
    if (this.compactedAt !== undefined) return;
    const last = this.received.at(-1)?.kv.modRevision ?? 0;
    this.#reached = 0;
    this.#header = 0;
    this.open(store, Math.max(this.start, last + 1));
  }

  take(events: readonly Event[], header: number): void {
    if (events.length === 0) throw new Error('a response without events');
    if (this.compactedAt !== undefined) throw new Error('events after the end');
    const last = (events.at(-1) as Event).kv.modRevision;
    if (header < last) throw new Error(`header ${header} behind its event of revision ${last}`);
    if (header < this.#header) throw new Error(`header ${header} after header ${this.#header}`);
    const first = (events[0] as Event).kv.modRevision;
    if (first <= this.#reached) throw new Error(`revision ${first} after progress up to ${this.#reached}`);
    this.#header = header;
    this.received.push(...events);
  }

  /** Undefined: all is as it should be. With `complete`, nothing may be outstanding. */
  problem(model: Model, complete: boolean): string | undefined {
    const expected = model.watched(this.filter, this.start);
    const count = this.received.length;
    for (let i = 0; i < count; i++) {
      const [got, wanted] = [this.received[i] as Event, expected[i]];
      if (wanted === undefined) return `an event too many: ${describe(got)}`;
      if (!isDeepStrictEqual(got.kv, wanted.kv) || got.deleted !== wanted.deleted) {
        return `event ${i} is ${describe(got)} and should be ${describe(wanted)}`;
      }
      // What was before the compacted revision cannot be told any more.
      const forgotten = got.prevKv === undefined && wanted.kv.modRevision <= model.compacted;
      const prevKv = this.filter.prevKv && !forgotten ? wanted.prevKv : undefined;
      if (!isDeepStrictEqual(got.prevKv, prevKv)) return `event ${i} ${describe(got)} has the wrong previous value`;
    }
    if (this.compactedAt !== undefined) {
      const last = this.received.at(-1)?.kv.modRevision ?? 0;
      if (this.compactedAt > model.compacted) return `compacted at ${this.compactedAt}, which is still to come`;
      // It lost something: its next revision was below.
      const next = Math.max(last + 1, this.#reached + 1, this.start);
      if (next >= this.compactedAt) return `needlessly compacted at ${this.compactedAt}, with all up to ${next - 1}`;
      return undefined;
    }
    const missing = expected[count];
    return complete && missing !== undefined ? `waits for ${describe(missing)}` : undefined;
  }

  /** Asks whether progress may be told. Then nothing up to the store's revision may be outstanding. */
  progress(store: Store, model: Model): string | undefined {
    if (this.compactedAt !== undefined || this.watcher === undefined || !store.hub.hasReached(this.watcher))
      return undefined;
    this.#reached = store.revision;
    return this.problem(model, true);
  }
}

function describe({ deleted, kv }: Event): string {
  return `${deleted ? 'delete' : 'put'} ${JSON.stringify(kv.key)} at ${kv.modRevision}`;
}
