/** One gRPC call: what a handler sees (Call, ServerStream) on one side, a stream of HTTP/2 on the other. */
import { gunzipSync } from 'node:zlib';
import type { MethodCounters } from '../../observe/method-counters.ts';
import { failureOf } from '../failure.ts';
import type { HeaderField } from '../hpack/encoder.ts';
import type { Connection } from '../http2/connection.ts';
import { ErrorCode } from '../http2/frame.ts';
import type { RequestHead } from '../http2/request-head.ts';
import { Stream } from '../http2/stream.ts';
import type { Route } from '../method-table.ts';
import { type PromiseWithResolve, promiseWithResolve } from '../promise.ts';
import { byteLength, type Call, Code, type Message, type Method, RpcError, type ServerStream } from '../rpc.ts';
import type { ActiveCalls } from './active-calls.ts';
import type { ConnectionCalls } from './connection-calls.ts';
import { deadlineStepMs, messageOverheadBytes, timerMsMax } from './limits.ts';
import { MessageReader, type MessageSink, prefixBytes } from './message-reader.ts';
import { field } from './request.ts';
import { headersWith, responseHeaders, trailers, trailersOnly } from './status.ts';

/** What all calls of a server share. */
export interface CallContext {
  /** Longer messages are refused as grpc-go does. */
  readonly receivedMessageBytesMax: number;
  readonly streamBufferedBytesMax: number;
  /** A handler threw something that is not an RpcError: a bug of ours, which clients learn nothing about. */
  readonly onInternalError: (path: string, error: unknown) => void;
  readonly active: ActiveCalls;
  /** Set once the server stops: new calls get it. */
  stopped: RpcError | undefined;
}

/** A message that came, what it holds of the connection's limit, and what flow control is owed for it. */
interface Received {
  readonly message: Buffer;
  readonly heldBytes: number;
  owedBytes: number;
}

export class GrpcCall extends Stream implements Call, ServerStream, MessageSink {
  readonly path: string;
  readonly deadlineMs: number | undefined;
  /** Of ActiveCalls. */
  place = -1;
  readonly #head: RequestHead;
  readonly #method: Method;
  readonly #counters: MethodCounters;
  readonly #gzip: boolean;
  readonly #context: CallContext;
  readonly #calls: ConnectionCalls;
  #timer: NodeJS.Timeout | undefined;
  #abort: AbortController | undefined;
  #abortReason: RpcError | undefined;
  #headersSent = false;
  /** What the handler adds to the response headers, and to the trailers. */
  #initialMetadata: HeaderField[] | undefined;
  #trailingMetadata: HeaderField[] | undefined;
  /** No more is sent: the status is, or the stream is broken. */
  #ended = false;
  #handling = false;
  /** The stream is over: nothing more comes from the connection. */
  #closed = false;
  #headReleased = false;
  /** Of a message that came in parts; what its part that is here holds, and what flow control is owed for that. */
  #parts: MessageReader | undefined;
  #heldBytes = 0;
  #owedBytes = 0;
  readonly #received: Received[] = [];
  #reader: ((message: Uint8Array | undefined) => void) | undefined;
  #unsentBytes = 0;
  #drained: PromiseWithResolve | undefined;
  #startInTurn: (() => void) | undefined;

  constructor(
    connection: Connection,
    id: number,
    head: RequestHead,
    timeoutMs: number | undefined,
    gzip: boolean,
    { method, counters }: Route,
    context: CallContext,
    calls: ConnectionCalls,
  ) {
    super(connection, id, head);
    this.path = head.path;
    this.deadlineMs = timeoutMs === undefined ? undefined : Date.now() + timeoutMs;
    this.#head = head;
    this.#method = method;
    this.#counters = counters;
    this.#gzip = gzip;
    this.#context = context;
    this.#calls = calls;
  }

  // What a handler sees.

  get peer(): string {
    return this.connection.address;
  }

  metadata(key: string): string | undefined {
    return field(this.#head, key);
  }

  allMetadata(): [key: string, value: string | Buffer][] {
    const { fields } = this.#head;
    const metadata: [string, string | Buffer][] = [];
    for (let i = 0; i < fields.length; i += 2) {
      const key = fields[i]!;
      const value = fields[i + 1]!;
      if (ofTransport.test(key)) continue;
      if (!key.endsWith('-bin')) metadata.push([key, value]);
      // Values of one key may come as one field, with commas between.
      else for (const part of value.split(',')) metadata.push([key, Buffer.from(part, 'base64')]);
    }
    return metadata;
  }

  addInitialMetadata(key: string, value: string | Buffer): void {
    if (this.#headersSent) throw new Error(`${this.path}: initial metadata after the first message`);
    this.#initialMetadata ??= [];
    this.#initialMetadata.push(headerField(key, value));
  }

  addTrailingMetadata(key: string, value: string | Buffer): void {
    this.#trailingMetadata ??= [];
    this.#trailingMetadata.push(headerField(key, value));
  }

  /** Made when first asked for: most calls never do. */
  get signal(): AbortSignal {
    if (!this.#abort) {
      this.#abort = new AbortController();
      if (this.#abortReason) this.#abort.abort(this.#abortReason);
    }
    return this.#abort.signal;
  }

  read(): Promise<Uint8Array | undefined> {
    if (this.#reader) throw new Error(`${this.path}: a second read before the first was answered`);
    const next = this.#received.shift();
    if (next !== undefined) {
      this.#release(next);
      this.#creditPart();
      return Promise.resolve(next.message);
    }
    if (this.#ended || this.remoteClosed || this.#abortReason) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#reader = resolve;
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

  // What the server does with a call.

  /** The server stops. Streams end now; a unary call may finish, and learns of it by its signal. */
  stop(reason: RpcError): void {
    if (this.#method.kind !== 'unary') this.#end(reason.code, reason.message);
    this.#cancel(reason);
  }

  // What the connection tells.

  override start(): void {
    this.#counters.started++;
    this.#calls.hold(this.#head.bytes);
    if (this.#method.kind !== 'unary') this.#run(undefined);
  }

  override onData(bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    if (this.#takesNoMore) {
      this.connection.credit(this, length);
      this.connection.patience.idleData(length);
      return;
    }
    this.#owedBytes += length;
    if (!this.#hold(length)) this.connection.reset(this, ErrorCode.REFUSED_STREAM);
    else if (!this.#parts?.partial && this.#isWhole(bytes, start, length)) {
      // The usual case: one frame is one message.
      this.message(Buffer.from(bytes.subarray(start + prefixBytes, end)), bytes[start] !== 0);
    } else this.#onPart(bytes, start, end);
  }

  /** A unary call has one message; what comes after it is thrown away, as grpc-go does. */
  get #takesNoMore(): boolean {
    return this.#ended || (this.#method.kind === 'unary' && this.#received.length > 0);
  }

  /** False: the calls of the connection hold too much. */
  #hold(bytes: number): boolean {
    this.#heldBytes += bytes;
    return this.#calls.hold(bytes);
  }

  #isWhole(bytes: Buffer, start: number, length: number): boolean {
    if (length < prefixBytes || bytes.readUInt32BE(start + 1) !== length - prefixBytes) return false;
    return length - prefixBytes <= this.#context.receivedMessageBytesMax;
  }

  #onPart(bytes: Buffer, start: number, end: number): void {
    this.#parts ??= new MessageReader(this.#context.receivedMessageBytesMax);
    this.#parts.push(bytes, start, end, this);
    if (this.#ended || !this.#parts.partial) return;
    this.connection.patience.idleData(end - start);
    this.#creditPart();
  }

  /** The rest of the next message may be more than the window that is left. */
  #creditPart(): void {
    if (this.#received.length > 0 || this.#owedBytes === 0) return;
    this.connection.credit(this, this.#owedBytes);
    this.#owedBytes = 0;
  }

  message(bytes: Buffer, compressed: boolean): void {
    const message = this.#takesNoMore || !compressed ? bytes : this.#inflate(bytes);
    if (message === undefined || this.#takesNoMore) {
      this.#release(this.#take(noBytes));
      return;
    }
    this.#counters.messagesReceived++;
    this.#counters.bytesReceived += message.byteLength;
    if (this.#reader !== undefined) {
      this.#release(this.#take(message));
      this.#answerReader(message);
      return;
    }
    const fits = this.#hold(messageOverheadBytes + (compressed ? message.byteLength : 0));
    const received = this.#take(message);
    this.#received.push(received);
    if (this.#method.kind === 'unary') {
      // It waits for its end; flow control does not.
      this.connection.credit(this, received.owedBytes);
      received.owedBytes = 0;
    }
    if (!fits) this.connection.reset(this, ErrorCode.REFUSED_STREAM);
  }

  tooLong(bytes: number): void {
    this.#counters.messagesReceived++;
    this.#refuse(`grpc: received message larger than max (${bytes} vs. ${this.#context.receivedMessageBytesMax})`);
  }

  override onRemoteClosed(): void {
    // grpc-go's codes.
    if (this.#parts?.partial)
      this.#refuse('unexpected EOF', this.#method.kind === 'unary' ? Code.UNKNOWN : Code.INTERNAL);
    else if (this.#method.kind !== 'unary') {
      if (this.#received.length === 0) this.#answerReader(undefined);
    } else if (this.#received.length === 0) this.#end(Code.UNKNOWN, 'EOF');
    else this.#admit(this.#received[0]!.message);
  }

  override onBroken(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#counters.handled[Code.CANCELLED]!++;
    this.#cancel(new RpcError(Code.CANCELLED, 'context canceled'));
  }

  override onSent(bytes: number): void {
    this.#unsentBytes -= bytes;
    if (this.#method.kind === 'unary') this.#calls.backlog.remove(bytes);
    if (this.#drained !== undefined && this.writable) this.#resolveDrained();
  }

  override onClosed(): void {
    clearTimeout(this.#timer);
    if (this.#startInTurn !== undefined) this.#calls.backlog.forget(this.#startInTurn);
    if (this.#unsentBytes > 0) this.onSent(this.#unsentBytes);
    this.#release(this.#take(noBytes));
    // A handler that goes on has the request of a unary call until it is done; of a stream nobody reads any more.
    if (!this.#handling || this.#method.kind !== 'unary') this.#dropReceived();
    this.#closed = true;
    this.#forgetIfDone();
  }

  // Inside.

  /** Starts a unary call's handler, at the latest when the client has read enough of its earlier replies. */
  #admit(request: Buffer): void {
    const { backlog } = this.#calls;
    if (!backlog.full) {
      this.#run(request);
      return;
    }
    this.#startInTurn = () => this.#run(request);
    backlog.admit(this.#startInTurn);
  }

  #run(request: Buffer | undefined): void {
    if (this.#ended) return;
    const stopped = this.#context.stopped;
    if (stopped) {
      this.#end(stopped.code, stopped.message);
      return;
    }
    this.#handling = true;
    this.#calls.running++;
    const method = this.#method;
    try {
      if (method.kind === 'unary') {
        const reply = method.handle(request!, this);
        if (reply instanceof Promise) this.#await(reply);
        else this.#succeed(reply);
      } else this.#await(method.handle(this, this).then(() => undefined));
    } catch (error) {
      this.#fail(error);
    }
  }

  #await(reply: Promise<Message | undefined>): void {
    this.#context.active.add(this);
    reply.then(
      (late) => this.#succeed(late),
      (error) => this.#fail(error),
    );
    if (this.deadlineMs === undefined || this.#ended) return;
    const leftMs = Math.ceil((this.deadlineMs - Date.now()) / deadlineStepMs) * deadlineStepMs;
    if (leftMs > timerMsMax) return;
    this.#timer = setTimeout(() => this.#expire(), Math.max(leftMs, 1));
  }

  #expire(): void {
    const text = 'context deadline exceeded';
    this.#end(Code.DEADLINE_EXCEEDED, text);
    this.#cancel(new RpcError(Code.DEADLINE_EXCEEDED, text));
  }

  #succeed(reply: Message | undefined): void {
    if (reply && !this.#ended) this.#send(reply);
    this.#handled();
    this.#end(Code.OK, '');
    this.#forgetIfDone();
  }

  #fail(error: unknown): void {
    this.#handled();
    const report = (bug: unknown): void => this.#context.onInternalError(this.path, bug);
    const { code, message } = failureOf(error, this.#abortReason !== undefined, report);
    this.#end(code, message);
    this.#forgetIfDone();
  }

  #handled(): void {
    if (!this.#handling) return;
    this.#handling = false;
    this.#calls.running--;
    this.#dropReceived();
  }

  #dropReceived(): void {
    for (let next = this.#received.pop(); next !== undefined; next = this.#received.pop()) this.#release(next);
  }

  #send(message: Message): void {
    const bytes = byteLength(message);
    this.#counters.messagesSent++;
    this.#counters.bytesSent += bytes;
    this.#sendHeaders();
    if (message instanceof Uint8Array && this.sendNow(prefixOf(smallPrefix, bytes), message)) return;
    const prefix = prefixOf(Buffer.allocUnsafe(prefixBytes), bytes);
    const pieces = message instanceof Uint8Array ? [prefix, message] : [prefix, ...message];
    const total = prefixBytes + bytes;
    this.#unsentBytes += total;
    if (this.#method.kind === 'unary') this.#calls.backlog.add(total);
    this.sendData(pieces, total);
  }

  #sendHeaders(): void {
    if (this.#headersSent) return;
    this.#headersSent = true;
    const metadata = this.#initialMetadata;
    this.connection.writeHeaders(this, metadata === undefined ? responseHeaders : headersWith(metadata));
  }

  /** Sends the status, once. */
  #end(code: Code, text: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#counters.handled[code]!++;
    if (this.#initialMetadata !== undefined) this.#sendHeaders();
    const last = this.#headersSent ? trailers : trailersOnly;
    this.sendTrailers(last(code, text, this.#trailingMetadata));
    this.#answerReader(undefined);
    this.#resolveDrained();
  }

  #refuse(text: string, code: Code = Code.RESOURCE_EXHAUSTED): void {
    this.#end(code, text);
    this.#cancel(new RpcError(code, text));
  }

  /** undefined: it was no gzip, or too much; the call is ended. */
  #inflate(bytes: Buffer): Buffer | undefined {
    const max = this.#context.receivedMessageBytesMax;
    if (!this.#gzip) {
      this.#refuse('grpc: compressed flag set with identity or empty encoding', Code.INTERNAL);
      return undefined;
    }
    try {
      return withoutRest(gunzipSync(bytes, { maxOutputLength: max }));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
        this.#refuse(`grpc: received message after decompression larger than max ${max}`);
      } else
        this.#refuse(`grpc: failed to decompress the received message: ${(error as Error).message}`, Code.INTERNAL);
      return undefined;
    }
  }

  /** Tells the handler, if it listens, that nobody waits for its answer. */
  #cancel(reason: RpcError): void {
    this.#abortReason ??= reason;
    this.#abort?.abort(this.#abortReason);
    this.#answerReader(undefined);
    this.#resolveDrained();
  }

  #forgetIfDone(): void {
    if (this.#handling || !this.#ended) return;
    this.#context.active.delete(this);
    if (!this.#closed || this.#headReleased) return;
    this.#headReleased = true;
    this.#calls.release(this.#head.bytes);
  }

  /** What has come since the last message belongs to this one. */
  #take(message: Buffer): Received {
    const received = { message, heldBytes: this.#heldBytes, owedBytes: this.#owedBytes };
    this.#heldBytes = 0;
    this.#owedBytes = 0;
    return received;
  }

  /** It has gone to the handler, or away. */
  #release({ heldBytes, owedBytes }: Received): void {
    this.#calls.release(heldBytes);
    this.connection.credit(this, owedBytes);
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

/** Headers of HTTP/2 and gRPC themselves. */
const ofTransport = /^(:|grpc-|te$|content-type$|accept-encoding$|content-length$|user-agent$|host$)/;

/** Bytes travel as base64, under keys that end in -bin. */
function headerField(key: string, value: string | Buffer): HeaderField {
  return [key, typeof value === 'string' ? value : value.toString('base64')];
}

/** For what is copied at once. */
const smallPrefix = Buffer.alloc(prefixBytes);

/** What stands before a message that is not compressed. */
function prefixOf(bytes: Buffer, messageBytes: number): Buffer {
  bytes[0] = 0;
  bytes[1] = messageBytes >>> 24;
  bytes[2] = messageBytes >>> 16;
  bytes[3] = messageBytes >>> 8;
  bytes[4] = messageBytes;
  return bytes;
}

const noBytes = Buffer.alloc(0);

/** A message that is a small part of its buffer is copied: kept for long, it would keep all of that. */
function withoutRest(message: Buffer): Buffer {
  return 2 * message.byteLength < message.buffer.byteLength ? Buffer.from(message) : message;
}
