/** What a client may send on a connection before it is allowed more (RFC 9113, 6.9). Those of streams are with the streams. */
import { ConnectionError, ErrorCode, windowBytesDefault } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';

export class ReceiveWindow {
  readonly #frames: FrameWriter;
  readonly #bytesMax: number;
  #left: number;
  #uncredited = 0;

  /** Below the default no connection begins (6.9.2). */
  constructor(frames: FrameWriter, bytes: number) {
    this.#frames = frames;
    this.#bytesMax = Math.max(bytes, windowBytesDefault);
    this.#left = this.#bytesMax;
    frames.windowUpdate(0, this.#bytesMax - windowBytesDefault);
  }

  /** DATA has come. Throws ConnectionError if it is too much. */
  take(bytes: number): void {
    this.#left -= bytes;
    if (this.#left < 0) {
      throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, 'more DATA than the window of the connection');
    }
  }

  /** So much of it is done with. The client is told of half a window at once. */
  credit(bytes: number): void {
    this.#uncredited += bytes;
    if (this.#uncredited < this.#bytesMax / 2) return;
    this.#frames.windowUpdate(0, this.#uncredited);
    this.#left += this.#uncredited;
    this.#uncredited = 0;
  }

  /** What the client may send, and what it will be told of: all of it, when nothing is held. */
  get freeBytes(): number {
    return this.#left + this.#uncredited;
  }
}
