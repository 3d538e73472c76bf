/** The vocabulary of RFC 9113: frame types (6), flags, settings (6.5.2) and error codes (7), by their names there. */

export const FrameType = {
  DATA: 0x0,
  HEADERS: 0x1,
  PRIORITY: 0x2,
  RST_STREAM: 0x3,
  SETTINGS: 0x4,
  PUSH_PROMISE: 0x5,
  PING: 0x6,
  GOAWAY: 0x7,
  WINDOW_UPDATE: 0x8,
  CONTINUATION: 0x9,
} as const;

export const Flag = {
  END_STREAM: 0x1,
  ACK: 0x1,
  END_HEADERS: 0x4,
  PADDED: 0x8,
  PRIORITY: 0x20,
} as const;

export const SettingId = {
  HEADER_TABLE_SIZE: 0x1,
  ENABLE_PUSH: 0x2,
  MAX_CONCURRENT_STREAMS: 0x3,
  INITIAL_WINDOW_SIZE: 0x4,
  MAX_FRAME_SIZE: 0x5,
  MAX_HEADER_LIST_SIZE: 0x6,
} as const;

export const ErrorCode = {
  NO_ERROR: 0x0,
  PROTOCOL_ERROR: 0x1,
  INTERNAL_ERROR: 0x2,
  FLOW_CONTROL_ERROR: 0x3,
  SETTINGS_TIMEOUT: 0x4,
  STREAM_CLOSED: 0x5,
  FRAME_SIZE_ERROR: 0x6,
  REFUSED_STREAM: 0x7,
  CANCEL: 0x8,
  COMPRESSION_ERROR: 0x9,
  ENHANCE_YOUR_CALM: 0xb,
} as const;
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

const errorCodeNames = new Map<ErrorCode, string>(Object.entries(ErrorCode).map(([name, code]) => [code, name]));

/** What a client's connection starts with (3.4). No HTTP/1.1 request shares more than a few bytes with it. */
export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

/** Length (3 bytes), type, flags, stream identifier (4 bytes): 4.1. */
export const frameHeadBytes = 9;
/** SETTINGS_MAX_FRAME_SIZE: its default, which this side keeps, and the most that a peer may set (6.5.2). */
export const frameBytesDefault = 16_384;
export const frameBytesMost = 16_777_215;
/** Of both windows of a peer that has set nothing (6.9.2), and the most that a window may become (6.9.1). */
export const windowBytesDefault = 65_535;
export const windowBytesMost = 2 ** 31 - 1;

/** The whole connection cannot go on: GOAWAY with the code, and closed (5.4.1). The text goes to the peer as debug data. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }

  get codeName(): string {
    return errorCodeNames.get(this.code) as string;
  }
}

/** An identifier or an increment: the highest bit of the four bytes is reserved, and ignored (4.1, 6.9). */
export function readWord31(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) & 0x7fff_ffff;
}

/** Writes the nine bytes before a payload; returns the position after them. */
export function writeFrameHead(
  target: Buffer,
  at: number,
  length: number,
  type: number,
  flags: number,
  streamId: number,
): number {
  target[at] = length >>> 16;
  target[at + 1] = length >>> 8;
  target[at + 2] = length;
  target[at + 3] = type;
  target[at + 4] = flags;
  target[at + 5] = streamId >>> 24;
  target[at + 6] = streamId >>> 16;
  target[at + 7] = streamId >>> 8;
  target[at + 8] = streamId;
  return at + frameHeadBytes;
}

/** A whole frame, for those that are rare or prebuilt. */
export function frame(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(frameHeadBytes + payload.length);
  bytes.set(payload, writeFrameHead(bytes, 0, payload.length, type, flags, streamId));
  return bytes;
}
