/** Makes of frames that a client could send such as none should. */
import { Flag, FrameType, frameBytesDefault } from '../../src/transport/http2/frame.ts';
import type { Random } from '../support/random.ts';
import { type Frame, frame } from './wire.ts';

const kinds = [
  'type',
  'flags',
  'stream',
  'stream',
  'bytes',
  'bytes',
  'bytes',
  'shorten',
  'lengthen',
  'random',
  'huge',
  'lie',
  'duplicate',
  'duplicate',
  'swap',
  'swap',
  'drop',
  'repeat',
  'insert',
  'insert',
] as const;

/** Frames in a row that a mutation by repetition makes. */
const repetitionsMax = 30;
const randomBytesMax = 60;

/** Each frame is changed with this chance; the frames are the caller's to change. */
export function mutate(random: Random, frames: Frame[], chance: number): Frame[] {
  if (chance === 0) return frames;
  const mutated: Frame[] = [];
  for (const one of frames) {
    if (random.chance(chance)) mutated.push(...mutation(random, one, mutated));
    else mutated.push(one);
  }
  return mutated;
}

/** What is sent in place of a frame. `before`: frames of the same turn, the last of which may change places. */
function mutation(random: Random, one: Frame, before: Frame[]): Frame[] {
  switch (random.pick(kinds)) {
    case 'type':
      return [{ ...one, type: random.integer(0, 12) }];
    case 'flags':
      return [{ ...one, flags: one.flags ^ (1 << random.integer(0, 7)) }];
    case 'stream':
      return [{ ...one, streamId: otherStream(random, one.streamId) }];
    case 'bytes':
      return [withPayload(one, flipped(random, one.payload))];
    case 'shorten':
      return [withPayload(one, one.payload.subarray(0, random.integer(0, one.payload.length)))];
    case 'lengthen':
      return [withPayload(one, Buffer.concat([one.payload, noise(random, random.integer(1, 10))]))];
    case 'random':
      return [withPayload(one, noise(random, random.integer(0, randomBytesMax)))];
    case 'huge':
      return [withPayload(one, Buffer.alloc(frameBytesDefault + random.integer(-1, 1), random.integer(0, 255)))];
    case 'lie':
      // What follows is cut into other frames than were meant.
      return [{ ...one, length: Math.max(0, one.length + random.integer(-10, 10)) }];
    case 'duplicate':
      return [one, one];
    case 'swap': {
      const last = before.pop();
      return last === undefined ? [one] : [one, last];
    }
    case 'drop':
      return [];
    case 'repeat':
      return Array(random.integer(2, repetitionsMax)).fill(one);
    case 'insert':
      return [one, anyFrame(random, one.streamId)];
  }
}

/** A frame of a known type that is well-formed, or nearly so. */
function anyFrame(random: Random, streamId: number): Frame {
  const onStream = random.chance(0.7) ? streamId : otherStream(random, streamId);
  switch (random.integer(0, 6)) {
    case 0:
      return frame(FrameType.RST_STREAM, 0, onStream, Buffer.of(0, 0, 0, random.integer(0, 13)));
    case 1:
      return frame(FrameType.WINDOW_UPDATE, 0, onStream, increment(random));
    case 2:
      return frame(FrameType.SETTINGS, 0, 0, setting(random));
    case 3:
      return frame(FrameType.DATA, Flag.END_STREAM, onStream, noise(random, random.integer(0, randomBytesMax)));
    case 4:
      return frame(FrameType.HEADERS, Flag.END_STREAM | Flag.END_HEADERS, onStream, noise(random, 8));
    case 5:
      return frame(FrameType.PRIORITY, 0, onStream, noise(random, 5));
    default:
      return frame(random.integer(0, 255), random.integer(0, 255), onStream, noise(random, random.integer(0, 20)));
  }
}

function increment(random: Random): Buffer {
  return random.chance(0.5)
    ? Buffer.of(0, 0, random.integer(0, 255), random.integer(0, 255))
    : Buffer.of(0x7f, 0xff, 0xff, random.integer(0, 255));
}

function setting(random: Random): Buffer {
  return Buffer.of(0, random.integer(0, 8), random.integer(0, 128), 0, random.integer(0, 255), random.integer(0, 255));
}

function otherStream(random: Random, streamId: number): number {
  const near = Math.max(0, streamId + random.integer(-6, 6));
  return random.pick([0, near, near, near, near | 1, 2 ** 31 - 1, 2 ** 32 - 1, 2 ** 31]);
}

function withPayload(one: Frame, payload: Buffer): Frame {
  return { ...one, payload, length: payload.length };
}

function flipped(random: Random, payload: Buffer): Buffer {
  const bytes = Buffer.from(payload);
  for (let flips = random.integer(1, 3); flips > 0 && bytes.length > 0; flips--) {
    bytes[random.integer(0, Math.min(bytes.length, 40) - 1)] = random.integer(0, 255);
  }
  return bytes;
}

function noise(random: Random, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let i = 0; i < length; i++) bytes[i] = random.integer(0, 255);
  return bytes;
}
