import type * as grpc from '@grpc/grpc-js';
import { type Relay, type RelayCall, RelayError, type RelayStream } from '../../registry/relay.ts';
import type { Endpoints } from './endpoints.ts';
import type { Etcd3Options } from './options.ts';
import { authenticatePath, isTokenRefused, Token } from './token.ts';

const cancelled = 1;
const deadlineExceeded = 4;
const unavailable = 14;
const tokenKey = 'token';

/** RangeRequest { bytes key = 1; bool serializable = 7; }: the cheapest question for which an etcd looks at the token. */
const probePath = '/etcdserverpb.KV/Range';
const probe = Buffer.from([0x0a, 0x01, 0x00, 0x38, 0x01]);

/** What waits until a time may be told a little before, because a timer counts by another clock. */
const timerEarlyMs = 5;

const identity = (bytes: Buffer): Buffer => bytes;
const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export class Etcd3Relay implements Relay {
  readonly #module: typeof grpc;
  readonly #endpoints: Endpoints;
  readonly #token: Token | undefined;
  readonly #calls = new Set<{ cancel(): void }>();
  #closed = false;

  constructor(module: typeof grpc, endpoints: Endpoints, { user }: Etcd3Options) {
    this.#module = module;
    this.#endpoints = endpoints;
    if (user === undefined) return;
    const call = { path: authenticatePath, metadata: [], deadlineMs: undefined, signal: new AbortController().signal };
    this.#token = new Token(user, (request) => this.#unary(request, call, undefined));
  }

  async unary(request: Uint8Array, call: RelayCall): Promise<Uint8Array> {
    const token = await this.#tokenFor(call);
    try {
      return await this.#unary(request, call, token);
    } catch (error) {
      if (token === undefined || !(error instanceof RelayError) || !isTokenRefused(error.message)) throw error;
      // A refused token excludes that anything was done.
      this.#token?.forget(token);
      return await this.#unary(request, call, await this.#tokenFor(call));
    }
  }

  async #unary(request: Uint8Array, call: RelayCall, token: string | undefined): Promise<Uint8Array> {
    const client = await this.#client(call);
    return await new Promise((resolve, reject) => {
      const metadata = this.#metadata(call, token);
      const done = (error: grpc.ServiceError | null, reply?: Buffer): void => {
        this.#calls.delete(under);
        call.signal.removeEventListener('abort', abort);
        if (error) reject(statusOf(error));
        else resolve(reply as Buffer);
      };
      const under = client.makeUnaryRequest(
        call.path,
        identity,
        identity,
        bufferOf(request),
        metadata,
        deadlineOf(call),
        done,
      );
      const abort = (): void => under.cancel();
      this.#calls.add(under);
      call.signal.addEventListener('abort', abort);
    });
  }

  stream(call: RelayCall): RelayStream {
    return new Etcd3Stream(this.#open(call));
  }

  async #open(call: RelayCall): Promise<grpc.ClientDuplexStream<Buffer, Buffer>> {
    const token = await this.#triedTokenFor(call);
    const client = await this.#client(call);
    const metadata = this.#metadata(call, token);
    const stream = client.makeBidiStreamRequest(call.path, identity, identity, metadata, deadlineOf(call));
    const abort = (): void => stream.cancel();
    this.#calls.add(stream);
    call.signal.addEventListener('abort', abort);
    stream.on('status', ({ code, details }: grpc.StatusObject) => {
      this.#calls.delete(stream);
      call.signal.removeEventListener('abort', abort);
      if (token !== undefined && code !== 0 && isTokenRefused(details)) this.#token?.forget(token);
    });
    if (call.signal.aborted) stream.cancel();
    return stream;
  }

  /** undefined: the client brought one itself, or none is needed. */
  async #tokenFor({ metadata }: RelayCall): Promise<string | undefined> {
    if (this.#token === undefined || metadata.some(([key]) => key === tokenKey || key === 'authorization')) {
      return undefined;
    }
    return await this.#token.get();
  }

  /**
   * As `#tokenFor`, and the etcd has just taken it. A stream cannot be made again once messages went over it, and of a watch an etcd
   * says within the stream that the token is no good: to the client, who knows nothing of a token.
   */
  async #triedTokenFor(call: RelayCall): Promise<string | undefined> {
    const token = await this.#tokenFor(call);
    if (token === undefined) return undefined;
    try {
      await this.#unary(probe, { ...call, path: probePath, metadata: [] }, token);
    } catch (error) {
      // Whatever else is wrong, also that the user may not read this key, is for the stream to tell.
      if (!(error instanceof RelayError) || !isTokenRefused(error.message)) return token;
      this.#token?.forget(token);
      return await this.#tokenFor(call);
    }
    return token;
  }

  #metadata(call: RelayCall, token: string | undefined): grpc.Metadata {
    const metadata = new this.#module.Metadata();
    for (const [key, value] of call.metadata) metadata.add(key, typeof value === 'string' ? value : bufferOf(value));
    if (token !== undefined) metadata.set(tokenKey, token);
    return metadata;
  }

  async #client(call: RelayCall): Promise<grpc.Client> {
    if (this.#closed) throw new RelayError(unavailable, 'etcd3: the server stops');
    const client = await this.#endpoints.connected(call.deadlineMs);
    if (call.signal.aborted) throw new RelayError(cancelled, 'context canceled');
    if (client !== undefined) return client;
    if ((call.deadlineMs ?? Number.POSITIVE_INFINITY) <= Date.now() + timerEarlyMs) {
      throw new RelayError(deadlineExceeded, 'context deadline exceeded');
    }
    const advice = 'check that it runs, the network, and certificates if it has any';
    throw new RelayError(unavailable, `etcd3: no etcd can be reached at ${this.#endpoints.names}: ${advice}`);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const call of this.#calls) call.cancel();
    this.#endpoints.close();
  }
}

const deadlineOf = ({ deadlineMs }: RelayCall): grpc.CallOptions =>
  deadlineMs === undefined ? {} : { deadline: deadlineMs };

function statusOf({ code, details }: Pick<grpc.ServiceError, 'code' | 'details'>): RelayError {
  return new RelayError(code, details);
}

/** Each direction waits for its reader: what is under way is bounded by the windows of HTTP/2 on both sides. */
class Etcd3Stream implements RelayStream {
  readonly #opened: Promise<grpc.ClientDuplexStream<Buffer, Buffer>>;
  #messages: AsyncIterator<Buffer> | undefined;
  #status: grpc.StatusObject | undefined;
  #ended = false;

  constructor(opened: Promise<grpc.ClientDuplexStream<Buffer, Buffer>>) {
    this.#opened = opened;
    opened.then(
      (stream) => {
        this.#messages = stream[Symbol.asyncIterator]();
        stream.on('status', (status: grpc.StatusObject) => {
          this.#status = status;
        });
        stream.on('close', () => {
          this.#ended = true;
        });
      },
      // Told to the reader.
      () => {},
    );
  }

  async write(message: Uint8Array): Promise<void> {
    const stream = await this.#opened;
    if (this.#ended || stream.destroyed || stream.write(bufferOf(message))) return;
    await new Promise<void>((resolve) => {
      const go = (): void => {
        stream.off('drain', go);
        stream.off('close', go);
        resolve();
      };
      stream.on('drain', go);
      stream.on('close', go);
    });
  }

  end(): void {
    this.#opened.then(
      (stream) => stream.end(),
      () => {},
    );
  }

  async read(): Promise<Uint8Array | undefined> {
    await this.#opened;
    try {
      const next = await (this.#messages as AsyncIterator<Buffer>).next();
      if (!next.done) return next.value;
    } catch (error) {
      if (typeof (error as grpc.ServiceError).code !== 'number') throw error;
      throw statusOf(error as grpc.ServiceError);
    }
    if (this.#status !== undefined && this.#status.code !== 0) throw statusOf(this.#status);
    return undefined;
  }
}
