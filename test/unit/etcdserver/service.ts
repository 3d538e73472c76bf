/** The methods over a real store in memory, called without any transport. */
import type { Test } from 'tap';
import { memory } from '../../../src/backends/memory/backend.ts';
import { methods } from '../../../src/etcdserver/methods.ts';
import type { ServiceOptions } from '../../../src/etcdserver/options.ts';
import { Store } from '../../../src/mvcc/store.ts';
import { type Call, type Message, RpcError, type ServerStream } from '../../../src/transport/rpc.ts';

export const options: ServiceOptions = {
  members: async () => [],
  leader: () => 0n,
  peerUrls: ['http://here:2380'],
  txnOpsMax: 128,
  requestBytesMax: 4096,
  quotaBytes: 0,
  progressNotifyIntervalMs: 600_000,
};

interface Type<In, Out> {
  encode(message: In): { finish(): Uint8Array };
  decode(bytes: Uint8Array): Out;
}

/** Request and response of an RPC, such as [pb.PutRequest, pb.PutResponse]. */
export type Types<Request, Response> = readonly [Type<Request, unknown>, Type<never, Response>];

export class Service {
  readonly store: Store;
  readonly #methods: ReturnType<typeof methods>;

  static async open(t: Test): Promise<Service> {
    const storage = await memory().build(new Map(), { dataDir: '', keyspace: 'test', warn() {} });
    const store = await Store.open(storage, {
      memberName: 'm',
      quotaBytes: 0,
      valueCacheBytes: 1 << 20,
      autoCompaction: undefined,
      observer: { committed() {}, troubled() {}, settled() {}, compacted() {}, warn() {} },
      fatal(error) {
        throw error;
      },
    });
    t.teardown(async () => {
      await store.close();
      await storage.close();
    });
    return new Service(store);
  }

  private constructor(store: Store) {
    this.store = store;
    const self = { id: store.memberId, name: 'm', clientUrls: ['http://here:2379'] };
    this.#methods = methods(store, { ...options, members: async () => [self], leader: () => self.id });
  }

  async call<In, Out>(path: string, [request, response]: Types<In, Out>, message: In): Promise<Out> {
    const method = this.#methods.get(path);
    if (method?.kind !== 'unary') throw new Error(`${path} is not a unary method`);
    return response.decode(whole(await method.handle(request.encode(message).finish(), callOf(path))));
  }

  /** Code and text of the refusal. */
  async refusal<In>(path: string, types: Types<In, unknown>, message: In): Promise<[code: number, text: string]> {
    try {
      await this.call(path, types, message);
    } catch (error) {
      if (error instanceof RpcError) return [error.code, error.message];
      throw error;
    }
    throw new Error(`${path} was not refused`);
  }

  /** Runs a streaming method until it ends. */
  async stream(path: string, client: ClientStream, signal?: AbortSignal): Promise<void> {
    const method = this.#methods.get(path);
    if (method === undefined || method.kind === 'unary') throw new Error(`${path} is not a streaming method`);
    await method.handle(client, callOf(path, signal));
  }
}

function callOf(path: string, signal = new AbortController().signal): Call {
  return {
    path,
    peer: 'test',
    metadata: () => undefined,
    allMetadata: () => [],
    addInitialMetadata: () => {},
    addTrailingMetadata: () => {},
    deadlineMs: undefined,
    signal,
  };
}

function whole(message: Message): Uint8Array {
  return message instanceof Uint8Array ? message : Buffer.concat(message);
}

/** A client that has sent all its requests, and takes one message at a time: after each the server has to wait. */
export class ClientStream implements ServerStream {
  readonly received: Uint8Array[] = [];
  /** How often the server waited. */
  waits = 0;
  readonly #requests: Uint8Array[];
  #full = false;

  constructor(...requests: Uint8Array[]) {
    this.#requests = requests;
  }

  async read(): Promise<Uint8Array | undefined> {
    return this.#requests.shift();
  }

  write(message: Message): boolean {
    if (this.#full) throw new Error('written to a client that is behind');
    this.received.push(Buffer.from(whole(message)));
    this.#full = true;
    return false;
  }

  get writable(): boolean {
    return !this.#full;
  }

  async drained(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.waits++;
    this.#full = false;
  }
}
