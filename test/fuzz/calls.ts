/** Calls as a client makes them: what is asked, in which frames, and what must come back. */
import { encodeHeaders } from '../../src/transport/hpack/encoder.ts';
import { Flag, FrameType, frameBytesDefault } from '../../src/transport/http2/frame.ts';
import { Code } from '../../src/transport/rpc.ts';
import type { Random } from '../support/random.ts';
import { TableEncoder } from '../unit/transport/hpack/table-encoder.ts';
import { failure, largeBytes, pathOf, pattern, poured } from './handlers.ts';
import { type Frame, frame } from './wire.ts';

export interface Expected {
  readonly status: number;
  /** The messages, each with its prefix. */
  readonly body: Buffer;
}

export interface CallOptions {
  /** Nothing is mutated. */
  readonly calm: boolean;
  /** The method that is called most. */
  readonly favourite: string | undefined;
}

/** As often as they stand here. */
const methodNames = [
  'Echo',
  'Echo',
  'Echo',
  'Echo',
  'Late',
  'Late',
  'Fail',
  'FailLate',
  'Bug',
  'Large',
  'Metadata',
  'Wait',
  'Chat',
  'Chat',
  'Chat',
  'Pour',
  'Pour',
  'Deaf',
  'Curt',
  'Nobody',
];

/** Those that make the server's queues long when a client calls little else. */
export const favourites = ['Echo', 'Late', 'Large', 'Metadata', 'Metadata', 'Wait', 'Chat', 'Pour', 'Deaf'];

const smallBytesMax = 200;
const largeBytesMax = 60_000;
const messagesMax = 12;
/** Frames of one request: the server takes crumbs for an attack. */
const fragmentsMax = 200;
const blockPieceBytesMin = 4;
/** CONTINUATION frames of one block; the server allows 16. */
const piecesMax = 6;
const paddingMax = 255;
const prefixBytes = 5;

const usualFields = [
  ['te', 'trailers'],
  ['content-type', 'application/grpc'],
  ['user-agent', 'plinth-fuzz/1'],
] as const;
const rareFields: readonly (readonly [name: string, value: string])[] = [
  ['grpc-timeout', '1H'],
  ['grpc-encoding', 'identity'],
  ['grpc-accept-encoding', 'gzip'],
  ['authorization', 'Bearer 0123456789abcdef'],
  ['trace-bin', 'AAECAwQ=,BQYH'],
  ['x-long', 'x'.repeat(500)],
];
/** With these the answer is up to time, or no gRPC. */
const unusualFields: readonly (readonly [name: string, value: string])[] = [
  ['grpc-timeout', '1n'],
  ['grpc-timeout', '3m'],
  ['grpc-timeout', 'soon'],
  ['grpc-encoding', 'gzip'],
  ['grpc-encoding', 'snappy'],
  ['content-length', '17'],
  ['content-type', 'text/html'],
  [':method', 'GET'],
];

/** Header blocks of one connection: each the same octets again, or by way of a table that both sides keep. */
export class BlockWriter {
  readonly #table: TableEncoder | undefined;

  constructor(random: Random) {
    this.#table = random.chance(0.2) ? new TableEncoder(random, 4096) : undefined;
  }

  encode(fields: readonly (readonly [name: string, value: string])[]): Buffer {
    return this.#table === undefined ? encodeHeaders(fields) : this.#table.encode(fields.map(([n, v]) => [n, v]));
  }
}

export class ClientCall {
  readonly id: number;
  /** What the server has said. */
  readonly body: Buffer[] = [];
  /** Of them, what it was not allowed to send anew. */
  owedBytes = 0;
  /** What the server allows us. */
  window: number;
  readonly #random: Random;
  readonly #method: string;
  readonly #messages: readonly Buffer[];
  readonly #unusual: boolean;
  readonly #fields: (readonly [name: string, value: string])[];
  readonly #request: Buffer;
  readonly #trailers: boolean;
  /** The end comes in a frame of its own. */
  readonly #endsApart: boolean;
  readonly #fragmentBytesMax: number;
  readonly #padded: boolean;
  #at = 0;
  #ended = false;

  constructor(id: number, random: Random, window: number, { calm, favourite }: CallOptions) {
    this.id = id;
    this.#random = random;
    this.window = window;
    const method = favourite !== undefined && random.chance(0.8) ? favourite : random.pick(methodNames);
    const streams = method === 'Chat' || method === 'Deaf' || method === 'Curt';
    const count = streams ? random.integer(0, messagesMax) : 1;
    this.#method = method;
    this.#messages = Array.from({ length: count }, () => message(random));
    this.#unusual = random.chance(calm ? 0.02 : 0.1);
    this.#fields = fieldsOf(method, random, this.#unusual);
    this.#request = Buffer.concat(this.#messages.map(framed));
    this.#trailers = random.chance(0.05);
    this.#endsApart = this.#trailers || this.#request.length === 0 || random.chance(0.2);
    const fragmentBytesMin = Math.ceil(this.#request.length / fragmentsMax);
    this.#fragmentBytesMax = random.chance(0.6) ? frameBytesDefault : random.integer(fragmentBytesMin, 4000);
    this.#padded = random.chance(0.1);
  }

  /** undefined: that is up to time, or it is no gRPC. */
  get expected(): Expected | undefined {
    return this.#unusual ? undefined : expectedOf(this.#method, this.#messages, this.#request);
  }

  get ended(): boolean {
    return this.#ended;
  }

  describe(): string {
    const state = this.#ended ? 'asked' : `asked ${this.#at} of ${this.#request.length} bytes`;
    return `${this.#method} on stream ${this.id} (${state})`;
  }

  /** The client gives up. */
  stop(): void {
    this.#ended = true;
  }

  /** HEADERS and what continues them. */
  open(blocks: BlockWriter): Frame[] {
    const random = this.#random;
    const block = blocks.encode(this.#fields);
    const priority = random.chance(0.1);
    return headerFrames(random, this.id, block, { ends: false, priority, padded: this.#padded });
  }

  /** The next frames of the request within `windowBytes`; none if they do not allow it. */
  next(windowBytes: number, blocks: BlockWriter): Frame[] {
    if (this.#ended) return [];
    const random = this.#random;
    if (this.#at === this.#request.length) {
      this.#ended = true;
      if (!this.#trailers) return [frame(FrameType.DATA, Flag.END_STREAM, this.id, nothing)];
      const block = blocks.encode([['fuzz-trailer', 'of a request']]);
      return headerFrames(random, this.id, block, { ends: true, priority: false, padded: this.#padded });
    }
    const padding = this.#padded ? random.integer(0, paddingMax) : 0;
    const overhead = this.#padded ? 1 + padding : 0;
    const allowed = Math.min(windowBytes, this.window, frameBytesDefault) - overhead;
    const bytes = Math.min(this.#fragmentBytesMax, this.#request.length - this.#at, allowed);
    if (bytes <= 0) return [];
    const data = this.#request.subarray(this.#at, this.#at + bytes);
    this.#at += bytes;
    this.window -= bytes + overhead;
    this.#ended = this.#at === this.#request.length && !this.#endsApart;
    const flags = (this.#ended ? Flag.END_STREAM : 0) | (this.#padded ? Flag.PADDED : 0);
    const payload = this.#padded ? Buffer.concat([Buffer.of(padding), data, Buffer.alloc(padding)]) : data;
    return [frame(FrameType.DATA, flags, this.id, payload)];
  }
}

const nothing = Buffer.alloc(0);

function fieldsOf(method: string, random: Random, unusual: boolean): (readonly [name: string, value: string])[] {
  const fields: (readonly [name: string, value: string])[] = [
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', pathOf(method)],
    [':authority', 'localhost:2379'],
    ...usualFields,
  ];
  if (random.chance(0.3)) fields.push(random.pick(rareFields));
  if (!unusual) return fields;
  const [name, value] = random.pick(unusualFields);
  const known = fields.findIndex(([other]) => other === name);
  fields.splice(known < 0 ? fields.length : known, 1, [name, value]);
  return fields;
}

function message(random: Random): Buffer {
  const bytes = random.chance(0.95) ? random.integer(0, smallBytesMax) : random.integer(0, largeBytesMax);
  const content = Buffer.from(pattern.subarray(0, bytes));
  for (let i = 0; i < Math.min(bytes, 4); i++) content[i] = random.integer(0, 255);
  // Numbers of three bytes are sizes: most are small.
  if (bytes > 2 && random.chance(0.8)) content[2] = 0;
  return content;
}

/** With the prefix of gRPC: not compressed, and the length. */
export function framed(content: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(prefixBytes + content.length);
  bytes[0] = 0;
  bytes.writeUInt32BE(content.length, 1);
  bytes.set(content, prefixBytes);
  return bytes;
}

function expectedOf(method: string, messages: readonly Buffer[], request: Buffer): Expected {
  const first = messages[0] ?? nothing;
  switch (method) {
    case 'Fail':
    case 'FailLate':
      return { status: failure(first).code, body: nothing };
    case 'Bug':
      return { status: Code.INTERNAL, body: nothing };
    case 'Large':
      return { status: Code.OK, body: framed(pattern.subarray(0, largeBytes(first))) };
    case 'Pour': {
      const { messages: count, bytes } = poured(first);
      return { status: Code.OK, body: Buffer.concat(Array(count).fill(framed(pattern.subarray(0, bytes)))) };
    }
    case 'Deaf':
      return { status: Code.OK, body: nothing };
    case 'Curt':
      return { status: Code.OK, body: framed(pattern.subarray(0, 10)) };
    case 'Nobody':
      return { status: Code.UNIMPLEMENTED, body: nothing };
    default:
      return { status: Code.OK, body: request };
  }
}

interface HeaderOptions {
  readonly ends: boolean;
  readonly priority: boolean;
  readonly padded: boolean;
}

/** A block in one frame, or in some. */
function headerFrames(random: Random, id: number, block: Buffer, { ends, priority, padded }: HeaderOptions): Frame[] {
  const cuts = random.chance(0.9) ? 0 : random.integer(1, piecesMax);
  const pieceBytes = Math.max(blockPieceBytesMin, Math.ceil(block.length / (cuts + 1)));
  const pieces: Buffer[] = [];
  for (let at = 0; at < block.length; at += pieceBytes) pieces.push(block.subarray(at, at + pieceBytes));
  const padding = padded ? random.integer(0, paddingMax) : 0;
  const first = Buffer.concat([
    padded ? Buffer.of(padding) : nothing,
    priority ? Buffer.of(0, 0, 0, 0, random.integer(0, 255)) : nothing,
    pieces[0]!,
    Buffer.alloc(padding),
  ]);
  let flags = pieces.length === 1 ? Flag.END_HEADERS : 0;
  if (ends) flags |= Flag.END_STREAM;
  if (padded) flags |= Flag.PADDED;
  if (priority) flags |= Flag.PRIORITY;
  const frames = [frame(FrameType.HEADERS, flags, id, first)];
  for (let i = 1; i < pieces.length; i++) {
    frames.push(frame(FrameType.CONTINUATION, i === pieces.length - 1 ? Flag.END_HEADERS : 0, id, pieces[i]!));
  }
  return frames;
}
