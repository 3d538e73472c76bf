/**
 * What goes over a link once both ends know each other. A message of the stream holds any number of frames, and none is a
 * sign of life:
 *
 *   frame = kind (1 byte)  length (4 bytes, big-endian)  payload (plain-data.ts)
 *
 * The payload is read only after the other end has proved that it knows the keyspace's secret (handshake.ts).
 */
import type { ForwardAnswer, ForwardRequest } from '../mvcc/forwarder.ts';
import { decodePlainData, encodePlainData } from './plain-data.ts';

export type Frame =
  /** A batch that the log has taken. */
  | { readonly kind: 'push'; readonly payload: readonly [slot: number, id: string, data: Uint8Array] }
  | { readonly kind: 'forward'; readonly payload: ForwardRequest }
  | { readonly kind: 'answer'; readonly payload: readonly [sequence: number, answer: ForwardAnswer] };

const kinds = ['push', 'forward', 'answer'] as const;
const headBytes = 5;

export function encodeFrame({ kind, payload }: Frame): Buffer {
  const frame = encodePlainData(payload, headBytes);
  frame[0] = kinds.indexOf(kind);
  frame.writeUInt32BE(frame.length - headBytes, 1);
  return frame;
}

/** Throws an Error for damaged bytes: always this one, so that nobody has to look for its meaning. */
export function decodeFrames(message: Buffer): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at < message.length; ) {
    const start = at + headBytes;
    const end = start <= message.length ? start + message.readUInt32BE(at + 1) : Number.POSITIVE_INFINITY;
    const frame = end <= message.length && decodeFrame(message[at] as number, message.subarray(start, end));
    if (!frame) throw new Error('a damaged message between replicas');
    frames.push(frame);
    at = end;
  }
  return frames;
}

/** undefined: damaged. */
function decodeFrame(kindByte: number, body: Buffer): Frame | undefined {
  const kind = kinds[kindByte];
  if (kind === undefined) return undefined;
  let payload: unknown;
  try {
    payload = decodePlainData(body);
  } catch {
    return undefined;
  }
  return hasShape[kind](payload) ? ({ kind, payload } as Frame) : undefined;
}

/**
 * What a frame of this kind must have for the code behind it to read on. What is inside commands and answers is the other
 * end's word: it has proved itself, and speaks the same version of the protocol.
 */
const hasShape: Readonly<Record<Frame['kind'], (payload: unknown) => boolean>> = {
  push(payload) {
    if (!Array.isArray(payload)) return false;
    const [slot, id, data] = payload as unknown[];
    return isCount(slot) && typeof id === 'string' && data instanceof Uint8Array;
  },
  forward(payload) {
    const { sequence, epoch, command } = (payload ?? {}) as Record<string, unknown>;
    return isCount(sequence) && isCount(epoch) && hasKind(command);
  },
  answer: (payload) => Array.isArray(payload) && isCount(payload[0]) && hasKind(payload[1]),
};

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const hasKind = (value: unknown): boolean => typeof (value as { kind?: unknown } | null | undefined)?.kind === 'string';
