/** A gRPC client that adds nothing: no retries, no defaults, no interpretation. */
import * as grpc from '@grpc/grpc-js';
import type { StreamResponses, UnaryResponses } from './messages.ts';
import { decode, encode, methodType, type RequestMessage } from './wire.ts';

export interface CallOptions {
  readonly metadata?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

export interface Status {
  readonly code: number;
  readonly details: string;
}

const callTimeoutMs = 30_000;
const receivedBytesMax = 512 * 1024 * 1024;
const identity = (bytes: Buffer): Buffer => bytes;

export class RawClient {
  readonly #client: grpc.Client;

  /** `endpoint` is `host:port`; `authority`: whose certificate the server has. Every client has a connection of its own. */
  constructor(endpoint: string, authority?: Buffer) {
    const { createSsl, createInsecure } = grpc.credentials;
    this.#client = new grpc.Client(endpoint, authority ? createSsl(authority) : createInsecure(), {
      'grpc.max_receive_message_length': receivedBytesMax,
      'grpc.max_send_message_length': -1,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_retries': 0,
    });
  }

  async call<M extends keyof UnaryResponses>(
    method: M,
    request: RequestMessage = {},
    options?: CallOptions,
  ): Promise<UnaryResponses[M]> {
    const type = methodType(method);
    const answer = await this.raw(type.path, encode(type.request, request), options);
    return decode(type.response, answer) as UnaryResponses[M];
  }

  /** Any method by name, the answer without a type. */
  async callAny(method: string, request: RequestMessage = {}, options?: CallOptions): Promise<unknown> {
    const type = methodType(method);
    return decode(type.response, await this.raw(type.path, encode(type.request, request), options));
  }

  raw(path: string, request: Uint8Array, options?: CallOptions): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        identity,
        identity,
        Buffer.from(request),
        metadata(options),
        callOptions(options),
        (error, answer) => (error ? reject(error) : resolve(answer!)),
      );
    });
  }

  /** A server-streaming call; ends with its status. */
  serverStream<M extends 'KV/RangeStream' | 'Health/Watch'>(
    method: M,
    request: RequestMessage,
    options?: CallOptions,
  ): ResponseStream<StreamResponses[M]> {
    const type = methodType(method);
    const bytes = Buffer.from(encode(type.request, request));
    const call = this.#client.makeServerStreamRequest(
      type.path,
      identity,
      identity,
      bytes,
      metadata(options),
      callOptions(options),
    );
    return new ResponseStream(call, (answer) => decode(type.response, answer) as StreamResponses[M]);
  }

  open<M extends 'Watch/Watch' | 'Lease/LeaseKeepAlive'>(method: M): RequestStream<StreamResponses[M]> {
    const type = methodType(method);
    const call = this.#client.makeBidiStreamRequest(type.path, identity, identity);
    return new RequestStream(
      call,
      (request) => Buffer.from(encode(type.request, request)),
      (answer) => decode(type.response, answer) as StreamResponses[M],
    );
  }

  /** A bidirectional call of raw bytes on any path. */
  openRaw(path: string): RequestStream<Buffer> {
    const call = this.#client.makeBidiStreamRequest(path, identity, identity);
    return new RequestStream(call, (request) => Buffer.from(request.bytes as Uint8Array), identity);
  }

  close(): void {
    this.#client.close();
  }
}

function metadata(options: CallOptions | undefined): grpc.Metadata {
  const result = new grpc.Metadata();
  for (const [key, value] of Object.entries(options?.metadata ?? {})) result.set(key, value);
  return result;
}

function callOptions(options: CallOptions | undefined): grpc.CallOptions {
  return { deadline: Date.now() + (options?.timeoutMs ?? callTimeoutMs) };
}

/** The answers of one call, in order. A test that waits longer than the bound fails with what it had got. */
export class ResponseStream<R> {
  readonly #call: grpc.ClientReadableStream<Buffer> | grpc.ClientDuplexStream<Buffer, Buffer>;
  readonly #arrived: R[] = [];
  readonly #failures: Error[] = [];
  #wake: (() => void) | undefined;
  /** Resolves when the call ended, also when it was cancelled here. */
  readonly status: Promise<Status>;
  #ended: Status | undefined;

  constructor(
    call: grpc.ClientReadableStream<Buffer> | grpc.ClientDuplexStream<Buffer, Buffer>,
    decodeAnswer: (bytes: Buffer) => R,
  ) {
    this.#call = call;
    call.on('data', (bytes: Buffer) => {
      try {
        this.#arrived.push(decodeAnswer(bytes));
      } catch (error) {
        this.#failures.push(error as Error);
      }
      this.#wake?.();
    });
    call.on('error', () => {}); // the status says the same
    this.status = new Promise((resolve) => {
      call.on('status', (status: grpc.StatusObject) => {
        this.#ended = { code: status.code, details: status.details };
        this.#wake?.();
        resolve(this.#ended);
      });
    });
  }

  /** The next answer; undefined when the call ended without one. */
  async nextOrEnd(timeoutMs = callTimeoutMs): Promise<R | undefined> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const failure = this.#failures.shift();
      if (failure) throw failure;
      const answer = this.#arrived.shift();
      if (answer !== undefined) return answer;
      if (this.#ended) return undefined;
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`no message on the stream within ${timeoutMs} ms`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  async next(timeoutMs?: number): Promise<R> {
    const answer = await this.nextOrEnd(timeoutMs);
    if (answer === undefined) throw new Error(`the stream ended: ${JSON.stringify(this.#ended)}`);
    return answer;
  }

  async all(): Promise<R[]> {
    const answers: R[] = [];
    for (let answer = await this.nextOrEnd(); answer !== undefined; answer = await this.nextOrEnd())
      answers.push(answer);
    return answers;
  }

  /** What has arrived and was not taken. */
  get pending(): readonly R[] {
    return this.#arrived;
  }

  /** Stops reading from the connection: the client becomes a slow one. */
  pause(): void {
    this.#call.pause();
  }

  resume(): void {
    this.#call.resume();
  }

  cancel(): void {
    this.#call.cancel();
  }
}

export class RequestStream<R> extends ResponseStream<R> {
  readonly #duplex: grpc.ClientDuplexStream<Buffer, Buffer>;
  readonly #encodeRequest: (request: RequestMessage) => Buffer;

  constructor(
    call: grpc.ClientDuplexStream<Buffer, Buffer>,
    encodeRequest: (request: RequestMessage) => Buffer,
    decodeAnswer: (bytes: Buffer) => R,
  ) {
    super(call, decodeAnswer);
    this.#duplex = call;
    this.#encodeRequest = encodeRequest;
  }

  send(request: RequestMessage): void {
    this.#duplex.write(this.#encodeRequest(request));
  }

  /** Half-close: no more requests. */
  end(): void {
    this.#duplex.end();
  }
}
