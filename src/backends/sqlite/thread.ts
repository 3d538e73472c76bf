/**
 * The main thread's side of a worker: calls by name, answered in order. Byte arrays among arguments and results are moved,
 * not copied: whoever passes one gives it away.
 */
import { Worker } from 'node:worker_threads';
import { Fenced } from '../../registry/image.ts';
import { BackendError } from '../../registry/log.ts';
import type { Failure } from './failure.ts';
import type { ThreadSettings } from './writer.ts';

export type Role = 'writer' | 'reader' | 'wal-copier';

export interface Call {
  readonly id: number;
  readonly name: string;
  readonly args: unknown[];
}

/** Id 0: the worker has opened its connection, or could not. */
export type Reply = { readonly id: number } & ({ readonly result: unknown } | { readonly failure: Failure });

interface Pending {
  readonly id: number;
  resolve(result: never): void;
  reject(error: Error): void;
}

type Calls = Record<string, (...args: never[]) => unknown>;

/** Callers wait for each other long before this; it keeps a mistake from filling the memory. */
const callsUnderWayMax = 4096;
const openTimeoutMs = 30_000;

export function buffersOf(values: readonly unknown[]): ArrayBuffer[] {
  return values.flatMap((value) => (value instanceof Uint8Array ? [value.buffer as ArrayBuffer] : []));
}

/** A compiled file; or the source, by way of the loader under which the tests run and which a worker does not inherit. */
function entry(): URL {
  if (import.meta.url.endsWith('.js')) return new URL('./worker.js', import.meta.url);
  const source = new URL('./worker.ts', import.meta.url);
  const script = `import { register } from '${import.meta.resolve('tsx/esm/api')}'; register(); await import('${source.href}');`;
  return new URL(`data:text/javascript,${encodeURIComponent(script)}`);
}

export class Thread<C extends Calls> {
  readonly #role: Role;
  readonly #settings: ThreadSettings;
  #worker: Worker | undefined;
  /** In the order in which the worker answers. Not a Map, whose outgrown tables would keep what is long answered (see stream-table.ts). */
  #pending: Pending[] = [];
  #lastId = 0;
  /** Workers that were sent to rest have ended. */
  #rested: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(role: Role, settings: ThreadSettings) {
    this.#role = role;
    this.#settings = settings;
  }

  /** Rejects with a BackendError if the worker cannot open its connection within 30 s. */
  async open(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const error = new BackendError(
        'failed',
        `sqlite: ${this.#settings.file} did not open within ${openTimeoutMs / 1000} s`,
      );
      timer = setTimeout(() => {
        reject(error);
        void this.#worker?.terminate();
      }, openTimeoutMs);
    });
    try {
      await Promise.race([this.#start(), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Opens the connection of a worker that died, too: what it did not commit is gone, the next call finds the rest. */
  #start(): Promise<void> {
    const worker = new Worker(entry(), {
      // What is preloaded into the process (an instrumentation, a test's loaders) is not for a thread that only talks to SQLite.
      execArgv: [],
      workerData: { role: this.#role, settings: this.#settings },
      name: `sqlite-${this.#role}`,
    });
    this.#worker = worker;
    const opened = new Promise<void>((resolve, reject) => this.#pending.push({ id: 0, resolve, reject }));
    let reason = 'it ended';
    worker.on('message', (reply: Reply) => {
      if (this.#worker === worker) this.#settle(reply);
    });
    worker.on('error', (error) => {
      reason = error.message;
    });
    worker.on('exit', () => {
      if (this.#worker === worker) this.#died(reason);
    });
    return opened;
  }

  #settle(reply: Reply): void {
    const pending = this.#pending.shift();
    if (pending?.id !== reply.id) throw new Error(`sqlite: answer ${reply.id} where ${pending?.id} was awaited`);
    if ('result' in reply) pending.resolve(reply.result as never);
    else if (reply.failure.kind === 'fenced') pending.reject(new Fenced(reply.failure.message));
    else pending.reject(new BackendError(reply.failure.kind, reply.failure.message));
    if (reply.id === 0 && 'failure' in reply) this.#couldNotOpen(reply.failure.message);
  }

  /** The worker has not looked at any of the calls that wait for it. */
  #couldNotOpen(message: string): void {
    const worker = this.#worker;
    this.#worker = undefined;
    this.#rejectAll(new BackendError('failed', message));
    void worker?.terminate();
  }

  #died(reason: string): void {
    this.#worker = undefined;
    // A call that the worker had may have been committed or not.
    this.#rejectAll(new BackendError('unknown', `sqlite: the ${this.#role} thread died: ${reason}`));
  }

  #rejectAll(error: BackendError): void {
    const pending = this.#pending;
    this.#pending = [];
    for (const call of pending) call.reject(error);
  }

  async call<Name extends keyof C & string>(name: Name, ...args: Parameters<C[Name]>): Promise<ReturnType<C[Name]>> {
    if (this.#closed) throw new BackendError('failed', 'sqlite: the storage is closed');
    if (this.#pending.length >= callsUnderWayMax) {
      throw new BackendError('failed', `sqlite: more than ${callsUnderWayMax} calls under way`);
    }
    // The calls wait in the port until the worker is ready; if it cannot open, its end rejects them.
    if (!this.#worker) this.#start().catch(() => {});
    const id = ++this.#lastId;
    const call: Call = { id, name, args };
    this.#worker?.postMessage(call, buffersOf(args));
    return await new Promise((resolve, reject) => this.#pending.push({ id, resolve, reject }));
  }

  /** Ends the worker, if it has nothing to do: it takes 9 MiB. The next call starts another. */
  rest(): void {
    const worker = this.#worker;
    if (worker === undefined || this.#pending.length > 0) return;
    this.#worker = undefined;
    const ended = new Promise((resolve) => worker.once('exit', resolve));
    this.#rested = Promise.all([this.#rested, ended]);
    const close: Call = { id: ++this.#lastId, name: 'close', args: [] };
    worker.postMessage(close);
  }

  /** Answers everything that was called before, then ends the worker. */
  async close(): Promise<void> {
    const worker = this.#worker;
    if (this.#closed || !worker) {
      this.#closed = true;
      await this.#rested;
      return;
    }
    const ended = new Promise((resolve) => worker.once('exit', resolve));
    const closed = this.call('close', ...([] as unknown as Parameters<C['close']>));
    this.#closed = true;
    await closed.catch(() => {});
    await Promise.all([ended, this.#rested]);
  }
}
