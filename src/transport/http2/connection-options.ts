/** What a connection is told by the server that it belongs to. */
import type { Connection } from './connection.ts';
import type { KeepaliveOptions } from './keepalive.ts';
import type { LifetimeOptions } from './lifetime.ts';
import type { PatienceOptions } from './patience.ts';
import type { RequestHead } from './request-head.ts';
import type { Stream } from './stream.ts';

export interface ConnectionOptions extends KeepaliveOptions, LifetimeOptions, PatienceOptions {
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  readonly concurrentStreamsMax: number;
  /** A request has come; its DATA follows. `timeout`: its grpc-timeout. undefined: refused, the client may ask again elsewhere. */
  accept(connection: Connection, id: number, head: RequestHead, timeout: string | undefined): Stream | undefined;
  /** A bug of ours, met while the connection was served. It is closed. */
  onInternalError(place: string, error: unknown): void;
  /** The client broke the rules, and its connection is closed. `code`: `PROTOCOL_ERROR`, `ENHANCE_YOUR_CALM`. */
  onViolation?: ((peer: string, code: string, reason: string) => void) | undefined;
  /** Last: no socket, no streams. */
  onClosed(connection: Connection): void;
}
