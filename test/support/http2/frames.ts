/** Frames of HTTP/2 (RFC 9113, 4 and 6) as tests write and read them: on purpose not the code that the server uses. */
import { encodeHeaders, type HeaderField } from '../../../src/transport/hpack/encoder.ts';

export const Type = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const endStream = 0x1;
export const ack = 0x1;
export const endHeaders = 0x4;

/** Error codes (7). */
export const Http2Code = {
  noError: 0x0,
  protocolError: 0x1,
  internalError: 0x2,
  flowControlError: 0x3,
  settingsTimeout: 0x4,
  streamClosed: 0x5,
  frameSizeError: 0x6,
  refusedStream: 0x7,
  cancel: 0x8,
  compressionError: 0x9,
  enhanceYourCalm: 0xb,
} as const;

/** Settings (6.5.2). */
export const Setting = { headerTableSize: 1, concurrentStreamsMax: 3, initialWindowSize: 4, frameBytesMax: 5 } as const;

export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
export const headBytes = 9;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

const nothing: Buffer = Buffer.alloc(0);

/** `length` lies about the payload where it is given. */
export function frame(
  type: number,
  flags: number,
  streamId: number,
  payload = nothing,
  length = payload.length,
): Buffer {
  const bytes = Buffer.allocUnsafe(headBytes + payload.length);
  bytes.writeUIntBE(length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(streamId, 5);
  payload.copy(bytes, headBytes);
  return bytes;
}

export function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function settings(...pairs: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(6 * pairs.length);
  pairs.forEach(([id, value], index) => {
    payload.writeUInt16BE(id, 6 * index);
    payload.writeUInt32BE(value, 6 * index + 2);
  });
  return frame(Type.settings, 0, 0, payload);
}

export const settingsAck = frame(Type.settings, ack, 0);

export function ping(text = 'plinthes', flags = 0): Buffer {
  return frame(Type.ping, flags, 0, Buffer.from(text.slice(0, 8).padEnd(8)));
}

export function windowUpdate(streamId: number, increment: number): Buffer {
  return frame(Type.windowUpdate, 0, streamId, word(increment));
}

export function reset(streamId: number, code: number = Http2Code.cancel): Buffer {
  return frame(Type.reset, 0, streamId, word(code));
}

export function data(streamId: number, payload = nothing, flags = 0): Buffer {
  return frame(Type.data, flags, streamId, payload);
}

/** A complete block in one frame. */
export function headers(streamId: number, block: Buffer, flags = 0): Buffer {
  return frame(Type.headers, flags | endHeaders, streamId, block);
}

export function continuation(streamId: number, block: Buffer, flags = 0): Buffer {
  return frame(Type.continuation, flags, streamId, block);
}

/** The header block of a gRPC request. */
export function requestBlock(path: string, ...fields: readonly HeaderField[]): Buffer {
  return encodeHeaders([
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', path],
    [':authority', 'test'],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
    ...fields,
  ]);
}

/** A message with the five bytes before it; `length` lies where it is given. */
export function message(bytes: Buffer, compressed = 0, length = bytes.length): Buffer {
  const prefixed = Buffer.alloc(5 + bytes.length);
  prefixed[0] = compressed;
  prefixed.writeUInt32BE(length, 1);
  bytes.copy(prefixed, 5);
  return prefixed;
}

/** A whole unary call in two frames. */
export function unaryCall(streamId: number, block: Buffer, request = nothing): Buffer {
  return Buffer.concat([headers(streamId, block), data(streamId, message(request), endStream)]);
}

/** Cuts what comes into frames. */
export class FrameParser {
  #pending: Buffer = nothing;

  push(chunk: Buffer): Frame[] {
    let bytes = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    const frames: Frame[] = [];
    while (bytes.length >= headBytes) {
      const end = headBytes + bytes.readUIntBE(0, 3);
      if (bytes.length < end) break;
      frames.push({
        type: bytes[3]!,
        flags: bytes[4]!,
        streamId: bytes.readUInt32BE(5),
        payload: bytes.subarray(headBytes, end),
      });
      bytes = bytes.subarray(end);
    }
    this.#pending = bytes;
    return frames;
  }

  /** Of a frame that is not complete. */
  get pendingBytes(): number {
    return this.#pending.length;
  }
}
