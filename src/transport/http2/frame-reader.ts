/**
 * Cuts what comes from a socket, in whatever pieces, into frames. A payload is a view of the piece it came in, and is copied only
 * where a frame spans pieces.
 */
import { ConnectionError, ErrorCode, frameBytesDefault, frameHeadBytes, preface, readWord31 } from './frame.ts';

export interface FrameSink {
  /** The payload is `bytes` from `start` up to `end`, as long as the call lasts. What it throws comes out of `push`. */
  frame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void;
}

export class FrameReader {
  readonly #sink: FrameSink;
  /** Of a frame that began in an earlier piece: as long as the frame once that is known, as its head before. */
  #partial: Buffer | undefined;
  #filled = 0;
  #prefaceSeen: boolean;

  /** `from`: whose frames they are. A client's connection begins with the preface. */
  constructor(sink: FrameSink, from: 'client' | 'server' = 'client') {
    this.#sink = sink;
    this.#prefaceSeen = from === 'server';
    if (from === 'client') this.#partial = Buffer.allocUnsafe(preface.length);
  }

  /** Throws ConnectionError for a wrong preface or a frame that is too long. Takes nothing more then. */
  push(chunk: Buffer): void {
    let at = 0;
    while (this.#partial !== undefined) {
      const copied = chunk.copy(this.#partial, this.#filled, at);
      at += copied;
      this.#filled += copied;
      if (this.#filled < this.#partial.length) return;
      this.#complete(this.#partial);
    }
    while (chunk.length - at >= frameHeadBytes) {
      const end = at + frameHeadBytes + lengthAt(chunk, at);
      if (end > chunk.length) break;
      this.#deliver(chunk, at, end);
      at = end;
    }
    if (at === chunk.length) return;
    const left = chunk.length - at;
    const whole = left < frameHeadBytes ? frameHeadBytes : frameHeadBytes + lengthAt(chunk, at);
    this.#partial = Buffer.allocUnsafe(whole);
    this.#filled = chunk.copy(this.#partial, 0, at);
  }

  /** `partial` is full: the preface, a head whose frame follows, or a frame. */
  #complete(partial: Buffer): void {
    this.#partial = undefined;
    this.#filled = 0;
    if (!this.#prefaceSeen) {
      if (!partial.equals(preface)) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'not the preface of HTTP/2');
      this.#prefaceSeen = true;
      return;
    }
    const length = lengthAt(partial, 0);
    if (partial.length === frameHeadBytes + length) {
      this.#deliver(partial, 0, partial.length);
      return;
    }
    this.#partial = Buffer.allocUnsafe(frameHeadBytes + length);
    this.#filled = partial.copy(this.#partial);
  }

  #deliver(bytes: Buffer, at: number, end: number): void {
    const streamId = readWord31(bytes, at + 5);
    this.#sink.frame(bytes[at + 3]!, bytes[at + 4]!, streamId, bytes, at + frameHeadBytes, end);
  }
}

function lengthAt(bytes: Buffer, at: number): number {
  const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
  if (length > frameBytesDefault) {
    throw new ConnectionError(
      ErrorCode.FRAME_SIZE_ERROR,
      `a frame of ${length} bytes, ${frameBytesDefault} are allowed`,
    );
  }
  return length;
}
