/** One of the two servers: executes operations and gives its answers in a form that can be compared. */

import { codes } from '../../support/codes.ts';
import type { WatchResponse } from '../../support/messages.ts';
import type { Child } from '../../support/process.ts';
import type { RawClient, RequestStream } from '../../support/raw-client.ts';
import type { Server } from '../../support/server.ts';
import type { RequestMessage } from '../../support/wire.ts';
import { describe } from '../suite/assertions.ts';
import { type Operation, watchStreams } from './operations.ts';

/** What a watch has been told, in order: `created`, `canceled`, and events. How they were batched does not matter. */
type WatchLog = Map<string, unknown[]>;

interface Watches {
  readonly stream: RequestStream<WatchResponse>;
  readonly log: WatchLog;
  /** Answers to creates (also refusals), which come one by one. */
  creations: number;
  readonly live: Set<bigint>;
  highestStart: number;
  progressRevision: number;
  /** Ids of watches that a compaction ended: the server may still know them. */
  readonly ended: Set<bigint>;
}

export type Tamper = (answer: unknown) => unknown;

export class Side {
  readonly name: string;
  readonly #client: RawClient;
  readonly #child: Child;
  readonly #tamper: Tamper;
  #watches: (Watches | undefined)[] = Array.from({ length: watchStreams }, () => undefined);
  readonly #logs: WatchLog[] = [];

  constructor(server: Server, tamper: Tamper = (answer) => answer) {
    this.name = server.name;
    this.#client = server.client;
    this.#child = server.child;
    this.#tamper = tamper;
  }

  async execute(operation: Operation): Promise<unknown> {
    try {
      return this.#tamper(normalize(await this.#answer(operation)));
    } catch (error) {
      throw new Error(`${this.name} did not answer ${describe(operation)}\n${this.#child.output}`, { cause: error });
    }
  }

  async #answer(operation: Operation): Promise<unknown> {
    switch (operation.kind) {
      case 'call':
        return this.#client.call(operation.method, operation.request).catch(status);
      case 'range-stream': {
        const stream = this.#client.serverStream('KV/RangeStream', operation.request);
        return { answers: await stream.all(), status: await stream.status };
      }
      case 'keep-alive': {
        const stream = this.#client.open('Lease/LeaseKeepAlive');
        stream.send(operation.request);
        stream.end();
        return { answers: await stream.all(), status: await stream.status };
      }
      case 'watch':
        return this.#watch(operation.stream, operation.request);
      case 'close-watches':
        this.#watches[operation.stream]?.stream.cancel();
        this.#watches[operation.stream] = undefined;
        return {};
      case 'settle':
        return {};
    }
  }

  async #watch(index: number, request: RequestMessage): Promise<unknown> {
    this.#watches[index] ??= this.#open();
    const watches = this.#watches[index];
    const create = request.createRequest as RequestMessage | undefined;
    const cancel = request.cancelRequest as RequestMessage | undefined;
    const before = watches.creations;
    watches.stream.send(request);
    if (cancel) {
      const watchId = BigInt(Number(cancel.watchId));
      if (watches.live.has(watchId)) {
        await this.#receiveUntil(watches, () => !watches.live.has(watchId), 'the answer to a cancel');
      }
    }
    if (!create) return {};
    watches.highestStart = Math.max(watches.highestStart, Number(create.startRevision ?? 0));
    await this.#receiveUntil(watches, () => watches.creations > before, 'the answer to a create');
    return {};
  }

  #open(): Watches {
    const log: WatchLog = new Map();
    this.#logs.push(log);
    return {
      stream: this.#client.open('Watch/Watch'),
      log,
      creations: 0,
      live: new Set(),
      highestStart: 0,
      progressRevision: 0,
      ended: new Set(),
    };
  }

  /** The highest start revision of a watch: below it a stream gives no progress. */
  get highestStart(): number {
    return Math.max(0, ...this.#watches.map((watches) => watches?.highestStart ?? 0));
  }

  /** Takes everything up to `revision` from all streams. The store must be at `revision`, and no watch beyond it. */
  async settle(revision: number): Promise<void> {
    for (const watches of this.#watches) {
      if (!watches) continue;
      const sentinel = { key: 'sentinel', watchId: 1_000_000 + watches.creations };
      const before = watches.creations;
      watches.stream.send({ createRequest: sentinel });
      await this.#receiveUntil(watches, () => watches.creations > before, 'the answer to a create');
      await this.#progress(watches, revision);
      watches.stream.send({ cancelRequest: { watchId: sentinel.watchId } });
      const id = String(sentinel.watchId);
      await this.#receiveUntil(watches, () => watches.log.get(id)?.length === 2, 'the answer to a cancel');
    }
  }

  async #progress(watches: Watches, revision: number): Promise<void> {
    for (let attempt = 0; watches.progressRevision < revision; attempt++) {
      if (attempt === 100) throw new Error(`${this.name}: no progress to ${revision} on a watch stream`);
      // etcd gives no progress on a stream while it knows a watch that a compaction has ended.
      for (const watchId of watches.ended) watches.stream.send({ cancelRequest: { watchId } });
      watches.stream.send({ progressRequest: {} });
      await this.#receiveUntil(watches, () => watches.progressRevision >= revision, 'progress', 100).catch(() => {});
    }
  }

  async #receiveUntil(watches: Watches, done: () => boolean, what: string, timeoutMs = 10_000): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!done()) {
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`${this.name}: ${what} did not come within ${timeoutMs} ms`);
      record(watches, await watches.stream.next(left));
    }
  }

  /** Everything that all watches have been told so far. */
  get watchLogs(): unknown {
    return this.#tamper(this.#logs.map((log) => Object.fromEntries([...log].sort(([a], [b]) => (a < b ? -1 : 1)))));
  }

  close(): void {
    for (const watches of this.#watches) watches?.stream.cancel();
    this.#watches = [];
  }
}

function record(watches: Watches, answer: WatchResponse): void {
  const { watchId, created, canceled, events, header } = answer;
  if (watchId === -1n && !created && events.length === 0) {
    watches.progressRevision = header!.revision;
    return;
  }
  if (created) {
    watches.creations++;
    watches.ended.delete(watchId);
    watches.live.add(watchId);
  }
  if (canceled) watches.live.delete(watchId);
  if (canceled && !created && watches.ended.has(watchId)) return;
  if (canceled && answer.compactRevision) watches.ended.add(watchId);
  const id = String(watchId);
  const log = watches.log.get(id) ?? [];
  watches.log.set(id, log);
  if (created || canceled || events.length === 0) log.push(normalize(answer));
  for (const event of events) {
    if (event.kv!.modRevision > header!.revision) log.push(`a header of ${header!.revision} before its event`);
    log.push(event);
  }
}

/** An answer like any other, unless there was none. */
function status(error: { code: number; details: string }): unknown {
  if (typeof error.code !== 'number' || error.code === codes.UNAVAILABLE) throw error;
  return { code: error.code, details: error.details };
}

/** Cluster, member and term are the server's own; the time that is left of a lease moves; some lists have no order. */
function normalize(value: unknown, field = ''): unknown {
  if (Array.isArray(value)) {
    const list = value.map((one) => normalize(one));
    if (field === 'keys') return list.map(String).sort();
    if (field === 'leases') return list.map((one) => String((one as { ID: bigint }).ID)).sort();
    return list;
  }
  if (field === 'clusterId' || field === 'memberId' || field === 'raftTerm') return value === 0n ? 0 : 'set';
  if (field === 'TTL' && typeof value === 'number' && value > 0) return 'positive';
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, normalize(one, name)]));
}
