/**
 * A stream of a connection (RFC 9113, 5): its state, its windows, and what waits to be sent on it. What the frames mean is for the
 * class that extends it.
 *
 * Of the states of 5.1 a server that does not push knows four, which the two flags say:
 *
 *   | state              | remoteClosed | localClosed | the client may send       | this side may send      |
 *   |--------------------|--------------|-------------|---------------------------|-------------------------|
 *   | open               |              |             | DATA, trailers            | HEADERS, DATA, trailers |
 *   | half-closed remote | x            |             | WINDOW_UPDATE, RST_STREAM | HEADERS, DATA, trailers |
 *   | half-closed local  |              | x           | (it is reset at once)     |                         |
 *   | closed             | x            | x           | (forgotten)               |                         |
 */
import type { HeaderBlock } from '../hpack/encoder-table.ts';
import type { Connection } from './connection.ts';
import type { ErrorCode } from './frame.ts';
import type { RequestHead } from './request-head.ts';

/** What is to be sent, in pieces that stay where they are; `sent` is their progress. */
interface Outgoing {
  readonly pieces: readonly Uint8Array[];
  readonly bytes: number;
}

export abstract class Stream {
  readonly connection: Connection;
  readonly id: number;
  /** The client has sent END_STREAM. */
  remoteClosed = false;
  /** END_STREAM or RST_STREAM went out, or the connection is lost: nothing more is sent. */
  localClosed = false;
  /** Bytes that the client may send yet, and those that were taken but not yet credited. */
  receiveWindow: number;
  uncredited = 0;
  /** Bytes that may be sent yet; negative after the client has made its window smaller (6.9.2). */
  sendWindow: number;
  /** Messages whose DATA has not been written wholly, the first of them up to `#piece` and `#offset`. */
  readonly #queue: Outgoing[] = [];
  #piece = 0;
  #offset = 0;
  #left = 0;
  /** The header block that ends the stream once the queue is empty. */
  #trailers: HeaderBlock | undefined;
  /** Of the body, by content-length; and what has come of it. */
  readonly #announcedBytes: number | undefined;
  #bodyBytes = 0;

  constructor(connection: Connection, id: number, { contentLength }: RequestHead) {
    this.connection = connection;
    this.id = id;
    this.#announcedBytes = contentLength;
    this.receiveWindow = connection.streamWindowBytes;
    this.sendWindow = connection.peer.initialWindowBytes;
  }

  /** The connection has taken the stream up; DATA follows. */
  abstract start(): void;
  /** DATA without its padding, there as long as the call lasts. What it takes it credits by `connection.credit`, now or later. */
  abstract onData(bytes: Buffer, start: number, end: number): void;
  /** The client sends no more. */
  abstract onRemoteClosed(): void;
  /** The stream is over before it was closed on both sides: by the client, the connection, or a violation. Called once. */
  abstract onBroken(code: ErrorCode): void;
  /** So many bytes of messages have left the queue. */
  abstract onSent(bytes: number): void;
  /** Closed on both sides, or broken: no callback comes any more. */
  abstract onClosed(): void;

  /** So many bytes of the body have come, and it `ends` there; false: that contradicts content-length (8.1.1). */
  counts(bytes: number, ends: boolean): boolean {
    const announced = this.#announcedBytes;
    if (announced === undefined) return true;
    this.#bodyBytes += bytes;
    return ends ? this.#bodyBytes === announced : this.#bodyBytes <= announced;
  }

  get hasData(): boolean {
    return this.#queue.length > 0;
  }

  /** Queues DATA; the connection sends it as far as windows and socket allow. */
  sendData(pieces: readonly Uint8Array[], bytes: number): void {
    if (this.localClosed || bytes === 0) return;
    if (this.#queue.length === 0) this.#left = bytes;
    this.#queue.push({ pieces, bytes });
    this.connection.sendable(this);
  }

  /** Sends both pieces as one frame, copied, if nothing waits and windows and socket allow it; false: use `sendData`. */
  sendNow(first: Uint8Array, second: Uint8Array): boolean {
    if (this.localClosed || this.#queue.length > 0) return false;
    const { sender, frames } = this.connection;
    if (!sender.takeSmall(this, first.length + second.length)) return false;
    frames.data(this.id, first, second);
    return true;
  }

  /** Ends the stream with this header block after all DATA. */
  sendTrailers(block: HeaderBlock): void {
    if (this.localClosed) return;
    if (this.#queue.length > 0) this.#trailers = block;
    else this.connection.writeTrailers(this, block);
  }

  /** So many bytes the next DATA frame may have, of `bytesMax`. Within a frame there are parts of one message only. */
  nextFrameBytes(bytesMax: number): number {
    return Math.min(this.#left, bytesMax);
  }

  /** Writes one DATA frame of this length, which `nextFrameBytes` has said. `sent` must follow. */
  writeFrame(length: number): void {
    const message = this.#queue[0]!;
    const { connection } = this;
    connection.frames.dataHead(this.id, length);
    for (let open = length; open > 0; ) {
      const piece = message.pieces[this.#piece]!;
      const available = piece.length - this.#offset;
      if (available <= open) {
        connection.output.write(this.#offset === 0 ? piece : piece.subarray(this.#offset));
        this.#piece++;
        this.#offset = 0;
        open -= available;
      } else {
        connection.output.write(piece.subarray(this.#offset, this.#offset + open));
        this.#offset += open;
        open = 0;
      }
    }
    this.#left -= length;
    if (this.#left > 0) return;
    this.#queue.shift();
    this.#piece = 0;
    this.#offset = 0;
    this.#left = this.#queue[0]?.bytes ?? 0;
  }

  /** What follows a frame. `onSent` may make other streams send; this one is not over before it has been told. */
  sent(length: number): void {
    this.onSent(length);
    if (this.#trailers !== undefined && this.#queue.length === 0) this.connection.writeTrailers(this, this.#trailers);
  }

  /** Forgets what was not sent. */
  dropQueue(): void {
    this.#queue.length = 0;
    this.#left = 0;
    this.#trailers = undefined;
  }
}
