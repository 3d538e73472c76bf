/** Plays actions on a store and on the model, and compares all that can be seen. */
import assert from 'node:assert/strict';
import { StoreError } from '../../src/mvcc/errors.ts';
import { isReadOnly } from '../../src/mvcc/evaluate.ts';
import { newRange, type OpResult, type RangeRequest } from '../../src/mvcc/requests.ts';
import { Store } from '../../src/mvcc/store.ts';
import { mvccpb } from '../../src/proto/generated/etcd.js';
import type { Storage } from '../../src/registry/backend.ts';
import { Stream, toItem, Watch } from './client.ts';
import { Model } from './model.ts';
import { type Action, type Request, settle, streams } from './requests.ts';

/** What an answer says, in the words of the model. */
function readable(result: OpResult): object {
  const item = (bytes: Uint8Array) => toItem(mvccpb.KeyValue.decode(bytes));
  const { revision } = result;
  switch (result.kind) {
    case 'range':
      return { kvs: result.kvs.map(item), count: result.count, more: result.more, revision };
    case 'put':
      return { prevKv: result.prevKv && item(result.prevKv), revision };
    case 'deleteRange':
      return { deleted: result.deleted, prevKvs: result.prevKvs.map(item), revision };
    case 'txn':
      return { revision, succeeded: result.succeeded, responses: result.responses.map(readable) };
  }
}

/** The answer, or why there is none. */
async function outcome(ask: () => unknown): Promise<unknown> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof StoreError) return error.reason;
    throw error;
  }
}

const everything: RangeRequest = { ...newRange('\0'), rangeEnd: '\0' };

const settleTimeoutMs = 20_000;
const leaseTtlSeconds = 1000;

export interface RunOptions {
  /** Opens the same keyspace again each time it is called; the one before is closed. */
  readonly build: () => Promise<Storage>;
  readonly valueCacheBytes: number;
}

export async function play(actions: readonly Action[], options: RunOptions): Promise<void> {
  const run = await Run.start(options);
  try {
    for (const action of actions) await run.act(action);
    await run.finish();
  } finally {
    await run.stop();
  }
}

class Run {
  readonly #options: RunOptions;
  readonly #model = new Model();
  readonly #streams = Array.from({ length: streams }, () => new Stream());
  #watches: Watch[] = [];
  #storage!: Storage;
  #store!: Store;
  #fatal: unknown;

  private constructor(options: RunOptions) {
    this.#options = options;
  }

  static async start(options: RunOptions): Promise<Run> {
    const run = new Run(options);
    await run.#open();
    return run;
  }

  async #open(): Promise<void> {
    this.#storage = await this.#options.build();
    this.#store = await Store.open(this.#storage, {
      memberName: 'test',
      quotaBytes: 0,
      valueCacheBytes: this.#options.valueCacheBytes,
      autoCompaction: undefined,
      observer: { committed() {}, troubled() {}, settled() {}, compacted() {}, warn() {} },
      fatal: (error) => {
        this.#fatal ??= error;
      },
    });
  }

  async stop(): Promise<void> {
    await this.#store.close();
    await this.#storage.close();
  }

  async act(action: Action): Promise<void> {
    switch (action.kind) {
      case 'requests':
        await this.#requests(action.requests);
        break;
      case 'compact': {
        const revision = this.#model.revision - action.back;
        await this.#same(
          () => this.#store.compact(revision, action.physical),
          () => this.#model.compact(revision),
        );
        break;
      }
      case 'grant':
        await this.#same(
          () => this.#store.leases.grant(action.lease, leaseTtlSeconds).then(() => undefined),
          () => this.#model.grant(action.lease, leaseTtlSeconds),
        );
        break;
      case 'revoke':
        await this.#same(
          () => this.#store.leases.revoke(action.lease),
          () => this.#model.revoke(action.lease),
        );
        break;
      case 'watch': {
        const next = this.#model.revision + 1;
        const start = action.start === undefined ? next : Math.max(1, next + action.start);
        const watch = new Watch(action.filter, start, this.#streams[action.stream] as Stream);
        watch.open(this.#store, action.start === undefined ? 0 : start);
        this.#watches.push(watch);
        break;
      }
      case 'cancel': {
        const [watch] = this.#watches.splice(action.watch, 1);
        if (watch?.watcher !== undefined) this.#store.hub.cancel(watch.watcher);
        break;
      }
      case 'stream':
        (this.#streams[action.stream] as Stream).writable = action.writable;
        break;
      case 'settle':
        await this.#settle();
        break;
      case 'reopen':
        await this.#reopen();
    }
    this.#check();
  }

  async #same(store: () => unknown, model: () => unknown): Promise<void> {
    const got = await outcome(store);
    assert.deepEqual(got, await outcome(model));
    assert.equal(this.#store.revision, this.#model.revision);
  }

  async #requests(relative: readonly Request[]): Promise<void> {
    const before = this.#model.revision;
    const requests = relative.map((request) => settle(request, before));
    const answers = await Promise.all(requests.map((request) => outcome(() => this.#ask(request))));
    // Writes happen in the order in which they came.
    for (const [i, request] of requests.entries()) {
      if (isRead(request)) continue;
      assert.deepEqual(answers[i], await outcome(() => this.#model.ask(request)), `request ${i}`);
    }
    // A read sees the store as it was at some moment between.
    for (const [i, request] of requests.entries()) {
      if (!isRead(request)) continue;
      const possible: unknown[] = [];
      for (let at = before; at <= this.#model.revision; at++) {
        possible.push(await outcome(() => this.#model.at(at).ask(request)));
      }
      const seen = possible.some((answer) => equal(answer, answers[i]));
      if (!seen) assert.deepEqual(answers[i], possible.at(-1), `read ${i}`);
    }
  }

  async #ask(request: Request): Promise<object> {
    switch (request.kind) {
      case 'range':
        return readable(await this.#store.range(request));
      case 'put':
        return readable(await this.#store.put(request));
      case 'deleteRange':
        return readable(await this.#store.deleteRange(request));
      case 'txn':
        return readable(await this.#store.txn(request));
    }
  }

  /** What must hold at any moment. */
  #check(): void {
    if (this.#fatal !== undefined) throw this.#fatal;
    assert.equal(this.#store.revision, this.#model.revision);
    assert.equal(this.#store.compactedRevision, this.#model.compacted);
    for (const watch of this.#watches) {
      assert.equal(watch.problem(this.#model, false) ?? watch.progress(this.#store, this.#model), undefined);
    }
  }

  /** Waits until nothing is outstanding on the streams that read. */
  async #settle(): Promise<void> {
    const deadline = performance.now() + settleTimeoutMs;
    for (;;) {
      const problem = this.#watches
        .map((watch) => (watch.stream.writable ? watch.problem(this.#model, true) : undefined))
        .find((text) => text !== undefined);
      if (problem === undefined) return;
      this.#check();
      if (performance.now() > deadline) assert.fail(problem);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async #reopen(): Promise<void> {
    const { revision } = this.#store;
    const hash = await this.#store.hashKv(revision);
    await this.stop();
    await this.#open();
    for (const watch of this.#watches) watch.resume(this.#store);
    assert.deepEqual(await this.#store.hashKv(revision), hash);
    await this.#compareAll();
  }

  async #compareAll(): Promise<void> {
    const first = Math.max(this.#model.compacted, 1);
    for (let revision = first; revision <= this.#model.revision; revision++) {
      const request = { ...everything, revision };
      assert.deepEqual(await this.#ask(request), this.#model.ask(request));
    }
    const order = (a: bigint, b: bigint) => (a < b ? -1 : 1);
    assert.deepEqual(this.#store.leases.ids().sort(order), [...this.#model.leases.keys()].sort(order));
    for (const [id, ttlSeconds] of this.#model.leases) {
      const lease = this.#store.leases.timeToLive(id);
      assert.equal(lease?.grantedTtlSeconds, ttlSeconds);
      assert.deepEqual(
        lease?.keys(),
        this.#model.keysOf(id).map(({ key }) => key),
      );
    }
  }

  async finish(): Promise<void> {
    for (const stream of this.#streams) stream.writable = true;
    await this.#settle();
    await this.#compareAll();
    // One write more: whoever was given anything twice or out of turn shows it now.
    await this.#requests([{ ...put, value: Buffer.from('end') }]);
    await this.#settle();
    this.#check();
    await this.#reopen();
    await this.#settle();
    this.#check();
  }
}

const put = { kind: 'put', key: 'a', lease: 0n, prevKv: true, ignoreValue: false, ignoreLease: false } as const;

function isRead(request: Request): boolean {
  return request.kind === 'range' || (request.kind === 'txn' && isReadOnly(request));
}

function equal(a: unknown, b: unknown): boolean {
  try {
    assert.deepEqual(a, b);
    return true;
  } catch {
    return false;
  }
}
