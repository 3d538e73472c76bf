/**
 * The other kind of backend: a server behind that speaks etcd's protocol itself. Calls go through as bytes; nothing of plinth's
 * own (log, index, watches) is between the client and that server.
 */
import type { BackendInfo, BuildContext } from './backend.ts';
import type { Options } from './flag.ts';

/** Keys in lower case; a key that ends in -bin has bytes. */
export type RelayMetadata = readonly (readonly [key: string, value: string | Uint8Array])[];

/** What comes with a call. */
export interface RelayCall {
  /** `/etcdserverpb.KV/Range` */
  readonly path: string;
  readonly metadata: RelayMetadata;
  /** Milliseconds since the epoch; undefined: none. */
  readonly deadlineMs: number | undefined;
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

/** The status with which the server behind (or the way to it) ended a call: passed on as it is. */
export class RelayError extends Error {
  override readonly name = 'RelayError';
  /** gRPC's number. */
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

export interface RelayStream {
  /** Resolves when the next one may be written. Writing to an ended stream does nothing. */
  write(message: Uint8Array): Promise<void>;
  /** No more messages will be written. */
  end(): void;
  /** The next message; undefined: the stream ended well. Rejects with RelayError. One reader at a time. */
  read(): Promise<Uint8Array | undefined>;
}

export interface Relay {
  /** Rejects with RelayError. */
  unary(request: Uint8Array, call: RelayCall): Promise<Uint8Array>;
  stream(call: RelayCall): RelayStream;
  /** Ends all calls under way. Idempotent. */
  close(): Promise<void>;
}

export interface RelayBackend extends BackendInfo {
  /** Makes ready within 30 s, or an Error whose message names the endpoints and says what to check. */
  relay(options: Options, context: BuildContext): Promise<Relay>;
}
