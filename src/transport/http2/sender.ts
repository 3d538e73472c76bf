/** Sends the DATA of a connection's streams in turn, a frame of each, as far as the windows (RFC 9113, 5.2) and the socket allow. */
import { ConnectionError, ErrorCode, windowBytesDefault, windowBytesMost } from './frame.ts';
import { sentFrameBytesMax, sentNowBytesMax } from './limits.ts';
import type { Output } from './output.ts';
import type { PeerSettings } from './settings.ts';
import type { Stream } from './stream.ts';

export class Sender {
  readonly #output: Output;
  readonly #peer: PeerSettings;
  /** Of the connection; each stream has its own. */
  #window = windowBytesDefault;
  /** Streams that have DATA and a window for it: in turn, since a Set keeps the order in which they came. */
  readonly #ready = new Set<Stream>();

  constructor(output: Output, peer: PeerSettings) {
    this.#output = output;
    this.#peer = peer;
  }

  /** The stream has something to send. The usual case: nobody else waits, and everything goes at once. */
  add(stream: Stream): void {
    if (this.#ready.size === 0) while (stream.hasData && this.#sendFrame(stream));
    if (stream.hasData && stream.sendWindow > 0) this.#ready.add(stream);
  }

  /** Takes so many bytes from the windows for a frame that goes at once; false: it must wait, or is too large for that. */
  takeSmall(stream: Stream, bytes: number): boolean {
    const bytesMax = Math.min(this.#window, stream.sendWindow, sentNowBytesMax);
    if (bytes > bytesMax || this.#ready.size > 0 || this.#output.congested) return false;
    this.#window -= bytes;
    stream.sendWindow -= bytes;
    return true;
  }

  forget(stream: Stream): void {
    this.#ready.delete(stream);
  }

  /** The peer has read, or allows more. */
  pump(): void {
    // What is added during the loop comes at its end.
    for (const stream of this.#ready) {
      if (this.#window <= 0 || this.#output.congested) return;
      this.#ready.delete(stream);
      this.#sendFrame(stream);
      if (stream.hasData && stream.sendWindow > 0) this.#ready.add(stream);
    }
  }

  /** Throws ConnectionError if the window becomes too large (6.9.1). */
  widen(bytes: number): void {
    this.#window += bytes;
    if (this.#window > windowBytesMost) throw windowTooLarge();
    this.pump();
  }

  /** False: the window of the stream became too large (6.9.1). */
  widenStream(stream: Stream, bytes: number): boolean {
    if (!this.#widen(stream, bytes)) return false;
    this.pump();
    return true;
  }

  /**
   * The initial window has changed by `bytes`, maybe negative: so do those of all streams, maybe below zero (6.9.2). Nothing is sent before
   * all of them have changed. Throws ConnectionError if one becomes too large.
   */
  widenStreams(streams: Iterable<Stream>, bytes: number): void {
    for (const stream of streams) if (!this.#widen(stream, bytes)) throw windowTooLarge();
    this.pump();
  }

  #widen(stream: Stream, bytes: number): boolean {
    stream.sendWindow += bytes;
    if (stream.hasData && stream.sendWindow > 0) this.#ready.add(stream);
    return stream.sendWindow <= windowBytesMost;
  }

  /** False: a window or the socket does not allow it. */
  #sendFrame(stream: Stream): boolean {
    const bytesMax = Math.min(this.#window, stream.sendWindow, this.#peer.frameBytesMax, sentFrameBytesMax);
    if (bytesMax <= 0 || this.#output.congested) return false;
    const bytes = stream.nextFrameBytes(bytesMax);
    // Before anybody hears of it: what `sent` leads to sends on other streams, within the same window.
    this.#window -= bytes;
    stream.sendWindow -= bytes;
    stream.writeFrame(bytes);
    stream.sent(bytes);
    return true;
  }
}

function windowTooLarge(): ConnectionError {
  return new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, 'a window above 2^31-1');
}
