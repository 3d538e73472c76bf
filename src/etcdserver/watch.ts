/**
 * Watch: one bidirectional stream with any number of watches. Requests are answered in their order; events come from the hub,
 * which offers a stream nothing while its client is slow. What a header says never runs ahead of the events on the stream.
 */
import type { EventBlock } from '../mvcc/event-block.ts';
import type { Store } from '../mvcc/store.ts';
import type { Watcher, WatchSink } from '../mvcc/watcher.ts';
import type { Call, Message, ServerStream, StreamMethod } from '../transport/rpc.ts';
import { decodeWatchRequest, type WatchCreateRequest } from './codec/watch-request.ts';
import { encodeWatchResponse, type WatchResponse, watchResponsePrefix } from './codec/watch-response.ts';
import { errorText } from './errors.ts';
import { bidirectional } from './method.ts';

export interface WatchOptions {
  /** Responses of a watch with `fragment` are cut at about this size. */
  readonly maxRequestBytes: number;
  /** Between progress notifications of a watch that asked for them; up to a tenth is added at random. */
  readonly progressNotifyIntervalMs: number;
}

export function watchMethod(store: Store, options: WatchOptions): StreamMethod {
  return bidirectional(async (stream, call) => {
    const watchStream = new WatchStream(store, options, stream);
    try {
      await watchStream.run(call);
    } finally {
      watchStream.close();
    }
  });
}

/** What a response carries when it speaks for no watch, or for one that was refused. */
const noWatchId = -1n;

interface Watch {
  readonly watcher: Watcher;
  readonly fragment: boolean;
  readonly progressNotify: boolean;
  /** No event went out since the last tick, so the next one tells of progress. */
  quiet: boolean;
}

class WatchStream implements WatchSink {
  readonly #store: Store;
  readonly #options: WatchOptions;
  readonly #stream: ServerStream;
  readonly #watches = new Map<bigint, Watch>();
  /** Ended by a compaction: as in etcd their ids stay taken until the client cancels them. */
  readonly #ended = new Set<bigint>();
  readonly #progress: NodeJS.Timeout;
  #nextId = 0n;

  constructor(store: Store, options: WatchOptions, stream: ServerStream) {
    this.#store = store;
    this.#options = options;
    this.#stream = stream;
    const jitterMs = (Math.random() * options.progressNotifyIntervalMs) / 10;
    this.#progress = setInterval(() => this.#notifyProgress(), options.progressNotifyIntervalMs + jitterMs);
    this.#progress.unref();
    store.hub.counts.streams++;
  }

  async run(call: Call): Promise<void> {
    for (;;) {
      // A client that does not read its answers may not ask for more of them.
      if (!this.#stream.writable) await this.#stream.drained();
      const bytes = await this.#stream.read();
      if (bytes === undefined) break;
      const request = decodeWatchRequest(bytes);
      if (request === undefined) continue;
      if (request.kind === 'create') this.#create(request);
      else if (request.kind === 'cancel') this.#cancel(request.watchId);
      else await this.#reportProgress();
    }
    // A client that has said all it wants still gets its events, until it goes.
    if (call.signal.aborted) return;
    await new Promise((resolve) => call.signal.addEventListener('abort', resolve, { once: true }));
  }

  close(): void {
    clearInterval(this.#progress);
    for (const { watcher } of this.#watches.values()) this.#store.hub.cancel(watcher);
    this.#watches.clear();
    this.#store.hub.counts.streams--;
  }

  #create(request: WatchCreateRequest): void {
    // \0 is the smallest key.
    const key = request.key === '' ? '\0' : request.key;
    const refusal = this.#refusal(request, key);
    if (refusal !== undefined) {
      this.#send({ watchId: noWatchId, created: true, canceled: true, cancelReason: refusal });
      return;
    }
    const id = request.watchId === 0n ? this.#unusedId() : request.watchId;
    const { rangeEnd, noPut, noDelete, prevKv, fragment, progressNotify } = request;
    const watcher = this.#store.hub.watch(id, { key, rangeEnd, noPut, noDelete, prevKv }, request.startRevision, this);
    this.#watches.set(id, { watcher, fragment, progressNotify, quiet: true });
    this.#send({ watchId: id, created: true });
  }

  #refusal(request: WatchCreateRequest, key: string): string | undefined {
    if (request.startRevision < 0) return errorText('Compacted');
    const { rangeEnd, watchId } = request;
    if (rangeEnd !== '' && rangeEnd !== '\0' && key >= rangeEnd) return 'mvcc: watcher range is empty';
    if (watchId !== 0n && this.#isTaken(watchId)) return 'mvcc: duplicate watch ID provided on the WatchStream';
    return undefined;
  }

  #isTaken(id: bigint): boolean {
    return this.#watches.has(id) || this.#ended.has(id);
  }

  #unusedId(): bigint {
    while (this.#isTaken(this.#nextId)) this.#nextId++;
    return this.#nextId++;
  }

  #cancel(id: bigint): void {
    const watch = this.#watches.get(id);
    if (watch === undefined && !this.#ended.delete(id)) return;
    this.#watches.delete(id);
    if (watch !== undefined) this.#store.hub.cancel(watch.watcher);
    this.#send({ watchId: id, canceled: true });
  }

  /** One answer for all watches of the stream, or none if one of them is behind. */
  async #reportProgress(): Promise<void> {
    await this.#store.barrier();
    if (this.#watches.size === 0) return;
    for (const { watcher } of this.#watches.values()) if (!this.#store.hub.hasReached(watcher)) return;
    this.#send({ watchId: noWatchId });
  }

  #notifyProgress(): void {
    for (const [watchId, watch] of this.#watches) {
      if (!watch.progressNotify) continue;
      if (watch.quiet && this.writable && this.#store.hub.hasReached(watch.watcher)) this.#send({ watchId });
      watch.quiet = true;
    }
  }

  #send(response: Omit<WatchResponse, 'revision'>): void {
    this.#stream.write(encodeWatchResponse(this.#store, { ...response, revision: this.#store.revision }));
  }

  get writable(): boolean {
    return this.#stream.writable;
  }

  drained(): Promise<void> {
    return this.#stream.drained();
  }

  events({ id }: Watcher, block: EventBlock, revision: number): void {
    const watch = this.#watches.get(id) as Watch;
    watch.quiet = false;
    this.#store.hub.counts.events += block.count;
    const prefix = watchResponsePrefix(this.#store, revision, id);
    if (!watch.fragment || prefix.length + block.bytes.length < this.#options.maxRequestBytes || block.count < 2) {
      this.#stream.write([prefix, block.bytes]);
      return;
    }
    for (const piece of fragments(prefix, block, this.#options.maxRequestBytes)) this.#stream.write(piece);
  }

  compacted({ id }: Watcher, compactRevision: number): void {
    this.#watches.delete(id);
    this.#ended.add(id);
    // As in etcd the header has no revision here: a client must not resume from it.
    const response = { watchId: id, revision: 0, canceled: true, compactRevision };
    this.#stream.write(encodeWatchResponse(this.#store, response));
  }
}

/** `fragment: true`, on all pieces but the last. */
const fragmentField = Buffer.from([0x38, 1]);

/** Cuts a response between events, each piece as large as fits below `maxBytes`, but never without an event. */
function* fragments(prefix: Uint8Array, { bytes, ends }: EventBlock, maxBytes: number): Generator<Message> {
  let start = 0;
  for (let i = 0; i < ends.length; ) {
    let end = ends[i++] as number;
    const overhead = prefix.length + fragmentField.length;
    while (i < ends.length && overhead + (ends[i] as number) - start < maxBytes) end = ends[i++] as number;
    const events = bytes.subarray(start, end);
    yield i < ends.length ? [prefix, fragmentField, events] : [prefix, events];
    start = end;
  }
}
