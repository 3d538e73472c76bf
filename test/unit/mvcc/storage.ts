/** A memory storage whose every call can be held up, changed or refused: for tests of what happens then. */
import { memory } from '../../../src/backends/memory/backend.ts';
import { Store, type StoreOptions } from '../../../src/mvcc/store.ts';
import type { Backend, Storage } from '../../../src/registry/backend.ts';
import type { Image } from '../../../src/registry/image.ts';
import type { Log } from '../../../src/registry/log.ts';

/** Replaces a call; `call` is the real one. */
type Interception<F> = F extends (...args: infer A) => infer R ? (call: (...args: A) => R, ...args: A) => R : never;
type Calls<T> = { [K in keyof T as T[K] extends (...args: never[]) => unknown ? K : never]?: Interception<T[K]> };

export interface Interceptions {
  log: Calls<Log>;
  image: Calls<Image>;
}

export interface TestStorage extends Storage {
  readonly backend: Backend;
  /** To be filled by the test. */
  readonly on: Interceptions;
}

/** `exclusive`: as an embedded file. Another storage on the same keyspace: pass the backend of the first. */
export async function openStorage(
  options: { exclusive?: boolean; batchBytesMax?: number; backend?: Backend } = {},
): Promise<TestStorage> {
  const backend = options.backend ?? memory();
  const storage = await backend.build(new Map(), { dataDir: '', keyspace: 'test', warn() {} });
  const on: Interceptions = { log: {}, image: {} };
  return {
    backend,
    on,
    log: intercepted(storage.log, on.log, {
      exclusive: options.exclusive ?? false,
      batchBytesMax: options.batchBytesMax ?? storage.log.batchBytesMax,
    }),
    image: intercepted(storage.image, on.image, {}),
    close: () => storage.close(),
  };
}

function intercepted<T extends object>(real: T, interceptions: Calls<T>, fixed: Partial<T>): T {
  return new Proxy(real, {
    get(_target, name) {
      if (name in fixed) return fixed[name as keyof T];
      const value: unknown = Reflect.get(real, name, real);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        const interception = (interceptions as Record<PropertyKey, unknown>)[name] as
          | ((call: unknown, ...args: unknown[]) => unknown)
          | undefined;
        const call = (...actual: unknown[]) => value.apply(real, actual);
        return interception === undefined ? call(...args) : interception(call, ...args);
      };
    },
  });
}

/** A promise and how to settle it. */
export function gate(): { readonly passed: Promise<void>; readonly open: () => void } {
  let open: () => void = () => {};
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open };
}

/** A store whose broken invariants fail the test as unhandled. */
export async function openStore(storage: Storage, options: Partial<StoreOptions> = {}): Promise<Store> {
  return await Store.open(storage, {
    memberName: 'test',
    quotaBytes: 0,
    valueCacheBytes: 1024 * 1024,
    autoCompaction: undefined,
    observer: { committed() {}, troubled() {}, settled() {}, compacted() {}, warn() {} },
    fatal: (error) => {
      throw error;
    },
    ...options,
  });
}

const untilTimeoutMs = 20_000;

/** Waits for a condition; fails with its name at a generous bound. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + untilTimeoutMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** So many turns of the event loop: for showing that something does not happen. */
export async function turns(count = 20): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}
