/**
 * What a handler sees of a call: bytes, metadata, deadline, cancellation and back-pressure. No type of a gRPC library
 * appears here, so that the transport can be exchanged (see docs/architecture.md).
 */

/** gRPC status codes, by number as on the wire. */
export const Code = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;
export type Code = (typeof Code)[keyof typeof Code];

/** What a handler throws to end a call with a status. Anything else that is thrown becomes INTERNAL and is logged. */
export class RpcError extends Error {
  override readonly name = 'RpcError';
  readonly code: Code;

  constructor(code: Code, message: string) {
    super(message);
    this.code = code;
  }
}

/** A protobuf message: one buffer, or pieces to be sent one after the other (shared pieces are never changed). */
export type Message = Uint8Array | readonly Uint8Array[];

export function byteLength(message: Message): number {
  if (message instanceof Uint8Array) return message.byteLength;
  let total = 0;
  for (const piece of message) total += piece.byteLength;
  return total;
}

export interface Call {
  /** `/etcdserverpb.KV/Range` */
  readonly path: string;
  /** The client's address, for logs. */
  readonly peer: string;
  /** First value of a metadata key (lower case), undefined if the client did not send it. */
  metadata(key: string): string | undefined;
  /** All metadata that the client sent, without what belongs to the transport. Bytes where the key ends in -bin. */
  allMetadata(): [key: string, value: string | Buffer][];
  /**
   * One more pair for the client, sent before the first message, or before the status if there is none. Keys are lower case; bytes
   * where the key ends in -bin. After the first message this throws.
   */
  addInitialMetadata(key: string, value: string | Buffer): void;
  /** One more pair for the client, sent with the status, whatever that is. */
  addTrailingMetadata(key: string, value: string | Buffer): void;
  /** Milliseconds since the epoch; undefined: none. The transport itself answers DEADLINE_EXCEEDED when it passes. */
  readonly deadlineMs: number | undefined;
  /** Aborted when the client cancelled, the connection broke, the deadline passed or the server shuts down. */
  readonly signal: AbortSignal;
}

export interface ServerStream {
  /** The next message of the client; undefined after the last (half-close or cancellation). One reader at a time. */
  read(): Promise<Uint8Array | undefined>;
  /**
   * Queues a message. False: the client is slow and what is queued for it exceeds `streamBufferedBytesMax`; the handler should wait
   * for `drained` before it writes more. Writing to an ended stream does nothing.
   */
  write(message: Message): boolean;
  /** True while a `write` would be within the limit. */
  readonly writable: boolean;
  /** Resolves when the stream is writable again, or has ended. */
  drained(): Promise<void>;
}

export interface UnaryMethod {
  readonly kind: 'unary';
  /** A reply that is there at once may be returned without a promise. */
  handle(request: Uint8Array, call: Call): Message | Promise<Message>;
}

/** Server-streaming and bidirectional calls: the stream ends OK when the promise resolves. */
export interface StreamMethod {
  readonly kind: 'server-stream' | 'bidi';
  handle(stream: ServerStream, call: Call): Promise<void>;
}

export type Method = UnaryMethod | StreamMethod;

/** Methods by path, for instance `/etcdserverpb.KV/Range`. */
export type Methods = ReadonlyMap<string, Method>;
