/**
 * One gRPC call: what a handler sees (Call, ServerStream) on one side, grpc-js's call on the other. grpc-js ends a call by
 * itself in four cases (client cancelled, connection lost, deadline, message beyond its hard limit); it then says onCancel.
 */
import { Metadata, type ServerInterceptingCallInterface } from '@grpc/grpc-js';
import type { MethodCounters } from '../../observe/method-counters.ts';
import type { Backlog, Backlogs } from '../backlog.ts';
import { failureOf } from '../failure.ts';
import { type PromiseWithResolve, promiseWithResolve } from '../promise.ts';
import { byteLength, type Call, Code, type Message, type Method, RpcError, type ServerStream } from '../rpc.ts';

/** What all calls of a server share. */
export interface CallContext {
  /** Requests above this are answered as grpc-go does. */
  readonly receivedMessageBytesMax: number;
  readonly streamBufferedBytesMax: number;
  readonly backlogs: Backlogs;
  /** A handler threw something that is not an RpcError: a bug of ours, which clients learn nothing about. */
  readonly onInternalError: (path: string, error: unknown) => void;
  /** Calls whose handler is running or whose status is not sent. */
  readonly active: Set<GrpcCall>;
  /** Set once the server stops: new calls get it. */
  stopped: RpcError | undefined;
}

export class GrpcCall implements Call, ServerStream {
  readonly path: string;
  readonly #base: ServerInterceptingCallInterface;
  readonly #method: Method;
  readonly #counters: MethodCounters;
  readonly #context: CallContext;
  #metadata: Metadata | undefined;
  /** What the handler wants sent before the first message; `sent` from then on. */
  #initialMetadata: Metadata | 'sent' | undefined;
  #trailingMetadata: Metadata | null = null;
  #abort: AbortController | undefined;
  #abortReason: RpcError | undefined;
  /** No more is sent: the status is, or the stream is broken. */
  #ended = false;
  #handling = false;
  #requestReceived = false;
  #halfClosed = false;
  #reader: ((message: Uint8Array | undefined) => void) | undefined;
  #unsentBytes = 0;
  #drained: PromiseWithResolve | undefined;
  #backlog: Backlog | undefined;
  #startInTurn = nothing;

  constructor(
    base: ServerInterceptingCallInterface,
    path: string,
    method: Method,
    counters: MethodCounters,
    context: CallContext,
  ) {
    this.#base = base;
    this.path = path;
    this.#method = method;
    this.#counters = counters;
    this.#context = context;
  }

  get peer(): string {
    return this.#base.getPeer();
  }

  metadata(key: string): string | undefined {
    return this.#metadata?.get(key)[0]?.toString();
  }

  allMetadata(): [key: string, value: string | Buffer][] {
    const metadata = this.#metadata;
    if (metadata === undefined) return [];
    return Object.keys(metadata.getMap())
      .filter((key) => !ofTransport.test(key))
      .flatMap((key) => metadata.get(key).map((value): [string, string | Buffer] => [key, value]));
  }

  addInitialMetadata(key: string, value: string | Buffer): void {
    if (this.#initialMetadata === 'sent') throw new Error(`${this.path}: initial metadata after the first message`);
    this.#initialMetadata ??= new Metadata();
    this.#initialMetadata.add(key, value);
  }

  addTrailingMetadata(key: string, value: string | Buffer): void {
    this.#trailingMetadata ??= new Metadata();
    this.#trailingMetadata.add(key, value);
  }

  get deadlineMs(): number | undefined {
    const deadline = this.#base.getDeadline();
    if (deadline instanceof Date) return deadline.getTime();
    return Number.isFinite(deadline) ? deadline : undefined;
  }

  /** Made when first asked for: most calls never do. */
  get signal(): AbortSignal {
    if (!this.#abort) {
      this.#abort = new AbortController();
      if (this.#abortReason) this.#abort.abort(this.#abortReason);
    }
    return this.#abort.signal;
  }

  // What the server does with a call.

  start(): void {
    this.#base.start({
      onReceiveMetadata: (metadata) => this.#onMetadata(metadata),
      onReceiveMessage: (message) => this.#onMessage(message as Buffer),
      onReceiveHalfClose: () => this.#onHalfClose(),
      onCancel: () => this.#onCancel(),
    });
  }

  /** The server stops. Streams end now; a unary call may finish, and learns of it by its signal. */
  stop(reason: RpcError): void {
    if (this.#method.kind !== 'unary') this.#end(reason.code, reason.message);
    this.#cancel(reason);
  }

  // What a stream's handler does.

  read(): Promise<Uint8Array | undefined> {
    if (this.#reader) throw new Error(`${this.path}: a second read before the first was answered`);
    if (this.#ended || this.#halfClosed) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#reader = resolve;
      this.#base.startRead();
    });
  }

  write(message: Message): boolean {
    if (this.#ended) return true;
    this.#send(message);
    return this.writable;
  }

  get writable(): boolean {
    return this.#ended || this.#unsentBytes < this.#context.streamBufferedBytesMax;
  }

  drained(): Promise<void> {
    if (this.writable) return Promise.resolve();
    this.#drained ??= promiseWithResolve();
    return this.#drained.promise;
  }

  // What grpc-js tells.

  #onMetadata(metadata: Metadata): void {
    this.#metadata = metadata;
    this.#counters.started++;
    if (this.#method.kind === 'unary') this.#base.startRead();
    else this.#run(undefined);
  }

  #onMessage(message: Buffer): void {
    if (this.#ended) return;
    this.#counters.messagesReceived++;
    this.#counters.bytesReceived += message.byteLength;
    const max = this.#context.receivedMessageBytesMax;
    if (message.byteLength > max) {
      const text = `grpc: received message larger than max (${message.byteLength} vs. ${max})`;
      this.#end(Code.RESOURCE_EXHAUSTED, text);
      this.#cancel(new RpcError(Code.RESOURCE_EXHAUSTED, text));
      return;
    }
    if (this.#method.kind === 'unary') this.#admit(message);
    else this.#answerReader(message);
  }

  #onHalfClose(): void {
    this.#halfClosed = true;
    if (this.#method.kind === 'unary') {
      if (!this.#requestReceived) this.#end(Code.UNKNOWN, 'EOF');
      return;
    }
    // A cancellation looks like a half-close at first; by the next turn onCancel has come, so a reader can ask the signal.
    setImmediate(() => this.#answerReader(undefined));
  }

  #onCancel(): void {
    if (!this.#ended) {
      this.#ended = true;
      const passed = (this.deadlineMs ?? Number.POSITIVE_INFINITY) <= Date.now() + deadlineEarlyMsMax;
      const code = passed ? Code.DEADLINE_EXCEEDED : Code.CANCELLED;
      this.#counters.handled[code]!++;
      this.#cancel(new RpcError(code, passed ? 'context deadline exceeded' : 'context canceled'));
    }
    this.#releaseUnsent();
    this.#forgetIfDone();
  }

  // Inside.

  /** Starts a unary call's handler, at the latest when the client has read enough of its earlier replies. */
  #admit(request: Buffer): void {
    this.#requestReceived = true;
    const { remoteAddress, remotePort } = this.#base.getConnectionInfo();
    this.#backlog = this.#context.backlogs.join(`${remoteAddress}:${remotePort}`);
    this.#startInTurn = () => this.#run(request);
    this.#backlog.admit(this.#startInTurn);
  }

  #run(request: Buffer | undefined): void {
    const stopped = this.#context.stopped;
    if (stopped) {
      this.#end(stopped.code, stopped.message);
      return;
    }
    this.#handling = true;
    this.#context.active.add(this);
    const method = this.#method;
    const fail = (error: unknown): void => this.#fail(error);
    try {
      if (method.kind === 'unary') {
        const reply = method.handle(request!, this);
        if (reply instanceof Promise) reply.then((late) => this.#succeed(late), fail);
        else this.#succeed(reply);
      } else {
        method.handle(this, this).then(() => this.#succeed(undefined), fail);
      }
    } catch (error) {
      fail(error);
    }
  }

  #succeed(reply: Message | undefined): void {
    if (reply && !this.#ended) this.#send(reply);
    this.#handling = false;
    this.#end(Code.OK, '');
    this.#forgetIfDone();
  }

  #fail(error: unknown): void {
    this.#handling = false;
    const report = (bug: unknown): void => this.#context.onInternalError(this.path, bug);
    const { code, message } = failureOf(error, this.#abortReason !== undefined, report);
    this.#end(code, message);
    this.#forgetIfDone();
  }

  #send(message: Message): void {
    const bytes = byteLength(message);
    this.#counters.messagesSent++;
    this.#counters.bytesSent += bytes;
    this.#unsentBytes += bytes;
    this.#backlog?.add(bytes);
    this.#sendInitialMetadata();
    this.#initialMetadata = 'sent';
    this.#base.sendMessage(message, () => this.#sent(bytes));
  }

  /** Without any, grpc-js sends the headers by itself: with the first message, or as one block with the status. */
  #sendInitialMetadata(): void {
    if (this.#initialMetadata instanceof Metadata) this.#base.sendMetadata(this.#initialMetadata);
  }

  /** The bytes have left for the socket (flow control lets the client delay this). */
  #sent(bytes: number): void {
    // After a cancellation everything was released at once.
    if (this.#unsentBytes === 0) return;
    this.#unsentBytes -= bytes;
    this.#backlog?.remove(bytes);
    if (this.writable) this.#resolveDrained();
  }

  #releaseUnsent(): void {
    const bytes = this.#unsentBytes;
    this.#unsentBytes = 0;
    this.#backlog?.remove(bytes);
    this.#backlog?.leave(this.#startInTurn);
  }

  /** Sends the status, once. */
  #end(code: Code, text: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#counters.handled[code]!++;
    this.#sendInitialMetadata();
    // A lone surrogate half cannot be encoded for the wire.
    this.#base.sendStatus({ code, details: Buffer.from(text).toString(), metadata: this.#trailingMetadata });
    this.#answerReader(undefined);
    this.#resolveDrained();
  }

  /** Tells the handler, if it listens, that nobody waits for its answer. */
  #cancel(reason: RpcError): void {
    this.#abortReason ??= reason;
    this.#abort?.abort(this.#abortReason);
    this.#answerReader(undefined);
    this.#resolveDrained();
  }

  #forgetIfDone(): void {
    if (this.#ended && !this.#handling) this.#context.active.delete(this);
  }

  #answerReader(message: Uint8Array | undefined): void {
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.(message);
  }

  #resolveDrained(): void {
    this.#drained?.resolve();
    this.#drained = undefined;
  }
}

/**
 * grpc-js does not say whether a deadline or the client ended a call, and its timer counts from the beginning of the event loop's
 * turn: after a long turn it fires by so much before the deadline that it gives.
 */
const deadlineEarlyMsMax = 100;

/** Headers of HTTP/2 and gRPC themselves. */
const ofTransport = /^(:|grpc-|te$|content-type$|user-agent$|host$|connection$)/;

function nothing(): void {}
