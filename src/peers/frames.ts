/**
 * What goes over a link once both ends know each other. A message of the stream holds any number of frames, and none is a
 * sign of life:
 *
 *   frame = kind (1 byte)  length (4 bytes, big-endian)  payload
 *
 * The payload of a push is the slot (8 bytes, big-endian), the length of the batch's id (1 byte), the id and the batch; of the
 * others, plain data (plain-data.ts). It is read only after the other end has proved that it knows the keyspace's secret (handshake.ts).
 */
import type { ForwardAnswer, ForwardRequest } from '../mvcc/forwarder.ts';
import { PlainDataWriter, readPlainData } from './plain-data.ts';

export type Frame =
  /** A batch that the log has taken. */
  | { readonly kind: 'push'; readonly payload: readonly [slot: number, id: string, data: Uint8Array] }
  | { readonly kind: 'forward'; readonly payload: ForwardRequest }
  | { readonly kind: 'answer'; readonly payload: readonly [sequence: number, answer: ForwardAnswer] };

type PlainFrame = Exclude<Frame, { kind: 'push' }>;

const kinds = ['push', 'forward', 'answer'] as const;
const headBytes = 5;
/** Slot and length of the id. */
const pushHeadBytes = 9;

/** So many bytes of frames are not gathered further. */
const gatheredBytesMax = 64 * 1024;

/** A message that is one push, in pieces: the batch is not copied. */
export function encodePush(slot: number, id: string, data: Uint8Array): readonly Uint8Array[] {
  const head = Buffer.allocUnsafe(headBytes + pushHeadBytes + id.length);
  head[0] = kinds.indexOf('push');
  head.writeUInt32BE(pushHeadBytes + id.length + data.length, 1);
  head.writeBigUInt64BE(BigInt(slot), headBytes);
  head[headBytes + 8] = id.length;
  head.write(id, headBytes + pushHeadBytes, 'latin1');
  return [head, data];
}

/** Frames on their way into a message that they share: what is added until `later` calls back. */
export class FrameQueue {
  readonly #send: (message: Buffer) => void;
  readonly #later: (flush: () => void) => void;
  readonly #writer = new PlainDataWriter();
  readonly #flush = (): void => this.flush();
  #scheduled = false;

  constructor(send: (message: Buffer) => void, later: (flush: () => void) => void) {
    this.#send = send;
    this.#later = later;
  }

  /** False: the frame is longer than a message may be, and is not sent. */
  add({ kind, payload }: PlainFrame, messageBytesMax: number): boolean {
    const writer = this.#writer;
    const start = writer.length;
    writer.write(payload, headBytes);
    const end = writer.length;
    if (end - start > messageBytesMax) {
      writer.resetTo(start);
      return false;
    }
    writer.bytes[start] = kinds.indexOf(kind);
    writer.bytes.writeUInt32BE(end - start - headBytes, start + 1);
    if (end > messageBytesMax) this.#send(writer.take(start));
    if (writer.length >= gatheredBytesMax) this.#send(writer.take());
    if (writer.length > 0 && !this.#scheduled) {
      this.#scheduled = true;
      this.#later(this.#flush);
    }
    return true;
  }

  flush(): void {
    this.#scheduled = false;
    if (this.#writer.length > 0) this.#send(this.#writer.take());
  }

  /** What is not sent yet never is. */
  clear(): void {
    this.#writer.resetTo(0);
  }
}

/** Throws an Error for damaged bytes: always this one, so that nobody has to look for its meaning. */
export function decodeFrames(message: Buffer): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at < message.length; ) {
    const start = at + headBytes;
    const end = start <= message.length ? start + message.readUInt32BE(at + 1) : Number.POSITIVE_INFINITY;
    const frame = end <= message.length && decodeFrame(message, kinds[message[at]!], start, end);
    if (!frame) throw new Error('a damaged message between replicas');
    frames.push(frame);
    at = end;
  }
  return frames;
}

/** undefined: damaged. */
function decodeFrame(message: Buffer, kind: Frame['kind'] | undefined, start: number, end: number): Frame | undefined {
  if (kind === undefined) return undefined;
  if (kind === 'push') return decodePush(message, start, end);
  let payload: unknown;
  try {
    payload = readPlainData(message, start, end);
  } catch {
    return undefined;
  }
  return hasShape[kind](payload) ? ({ kind, payload } as Frame) : undefined;
}

function decodePush(message: Buffer, start: number, end: number): Frame | undefined {
  if (end - start < pushHeadBytes) return undefined;
  const slot = Number(message.readBigUInt64BE(start));
  const idStart = start + pushHeadBytes;
  const idEnd = idStart + message[start + 8]!;
  if (!isCount(slot) || idEnd > end) return undefined;
  return { kind: 'push', payload: [slot, message.toString('latin1', idStart, idEnd), message.subarray(idEnd, end)] };
}

/**
 * What a frame of this kind must have for the code behind it to read on. What is inside commands and answers is the other
 * end's word: it has proved itself, and speaks the same version of the protocol.
 */
const hasShape: Readonly<Record<PlainFrame['kind'], (payload: unknown) => boolean>> = {
  forward(payload) {
    const { sequence, epoch, command } = (payload ?? {}) as Record<string, unknown>;
    return isCount(sequence) && isCount(epoch) && hasKind(command);
  },
  answer: (payload) => Array.isArray(payload) && isCount(payload[0]) && hasKind(payload[1]),
};

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const hasKind = (value: unknown): boolean => typeof (value as { kind?: unknown } | null | undefined)?.kind === 'string';
