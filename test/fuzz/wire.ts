/** Frames as the fuzzer sends them, also such as no client would, and the cutting of byte streams into frames. */

export const frameHeadBytes = 9;

/** What goes out; `length` may lie about the payload. */
export interface Frame {
  type: number;
  flags: number;
  streamId: number;
  payload: Buffer;
  length: number;
}

export function frame(type: number, flags: number, streamId: number, payload: Buffer): Frame {
  return { type, flags, streamId, payload, length: payload.length };
}

/** A buffer of its own, since the server keeps parts of what it gets. */
export function serialize(frames: readonly Frame[]): Buffer {
  let bytes = 0;
  for (const { payload } of frames) bytes += frameHeadBytes + payload.length;
  const buffer = Buffer.allocUnsafe(bytes);
  let at = 0;
  for (const { type, flags, streamId, payload, length } of frames) {
    buffer.writeUIntBE(length & 0xff_ffff, at, 3);
    buffer[at + 3] = type;
    buffer[at + 4] = flags;
    buffer.writeUInt32BE(streamId >>> 0, at + 5);
    buffer.set(payload, at + frameHeadBytes);
    at += frameHeadBytes + payload.length;
  }
  return buffer;
}

export function word(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

/** SETTINGS of these pairs. */
export function settings(pairs: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.allocUnsafe(6 * pairs.length);
  pairs.forEach(([id, value], i) => {
    payload.writeUInt16BE(id, 6 * i);
    payload.writeUInt32BE(value, 6 * i + 2);
  });
  return payload;
}

export type OnFrame = (type: number, flags: number, streamId: number, payload: Buffer) => void;

const nothing = Buffer.alloc(0);

/** Cuts a byte stream into frames, whatever pieces it comes in. */
export class FrameCutter {
  readonly #onFrame: OnFrame;
  readonly #bytesMax: () => number;
  readonly #onTooLong: (bytes: number) => void;
  #rest: Buffer = nothing;
  #stopped = false;

  /** A payload may have `bytesMax()`; above: `onTooLong`, and nothing more is cut. */
  constructor(onFrame: OnFrame, bytesMax: () => number, onTooLong: (bytes: number) => void) {
    this.#onFrame = onFrame;
    this.#bytesMax = bytesMax;
    this.#onTooLong = onTooLong;
  }

  /** Bytes of a frame that is not whole. */
  get unfinished(): number {
    return this.#rest.length;
  }

  push(chunk: Buffer): void {
    if (this.#stopped) return;
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (bytes.length - at >= frameHeadBytes) {
      const length = bytes.readUIntBE(at, 3);
      if (length > this.#bytesMax()) {
        this.#stopped = true;
        this.#onTooLong(length);
        return;
      }
      const end = at + frameHeadBytes + length;
      if (end > bytes.length) break;
      const streamId = bytes.readUInt32BE(at + 5) & 0x7fff_ffff;
      this.#onFrame(bytes[at + 3]!, bytes[at + 4]!, streamId, bytes.subarray(at + frameHeadBytes, end));
      at = end;
    }
    this.#rest = at === bytes.length ? nothing : bytes.subarray(at);
  }
}
