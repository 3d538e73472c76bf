/**
 * A client that forgives nothing. It reads along on both sides of a connection: from what was sent, as it was sent after all
 * mutations, it knows what the server may send at most; everything that comes is held against that and against RFC 9113.
 */
import assert from 'node:assert/strict';
import { HpackDecoder } from '../../src/transport/hpack/decoder.ts';
import { defaultTableBytes } from '../../src/transport/hpack/dynamic-table.ts';
import {
  ErrorCode,
  Flag,
  FrameType,
  frameBytesDefault,
  preface,
  SettingId,
  windowBytesDefault,
} from '../../src/transport/http2/frame.ts';
import { FrameCutter } from './wire.ts';

export type Fields = ReadonlyMap<string, string>;

/** What the client does with what it is told. */
export interface Listener {
  onSettings(pairs: ReadonlyMap<number, number>): void;
  onWindow(streamId: number, bytes: number): void;
  onPing(data: Buffer): void;
  onData(streamId: number, data: Buffer): void;
  onEnd(streamId: number, trailers: Fields): void;
  onReset(streamId: number, code: number): void;
  onGoAway(lastStreamId: number, code: number, text: string): void;
}

interface Answer {
  /** DATA that the server may send at most. */
  window: number;
  state: 'waiting' | 'headers' | 'ended' | 'reset';
  /** gRPC frames its messages; other answers are not looked into. */
  grpc: boolean;
  /** Of the message that is under way: its prefix, and what is missing. */
  prefix: Buffer;
  missing: number;
}

interface ChangedSettings {
  readonly initialWindowBytes: number | undefined;
  readonly frameBytesMax: number | undefined;
  readonly headerTableBytes: number | undefined;
}

const prefixBytes = 5;
const nothing = Buffer.alloc(0);

/** Flags that a type may have when the server sends it. PADDED and PRIORITY it does not use. */
const flagsOf: readonly number[] = [
  Flag.END_STREAM, // DATA
  Flag.END_STREAM | Flag.END_HEADERS, // HEADERS
  -1, // PRIORITY: never
  0, // RST_STREAM
  Flag.ACK, // SETTINGS
  -1, // PUSH_PROMISE: never
  Flag.ACK, // PING
  0, // GOAWAY
  0, // WINDOW_UPDATE
  Flag.END_HEADERS, // CONTINUATION
];

/** The first octet of a block that begins with a new size of the table: 001xxxxx (RFC 7541, 6.3). */
const sizeUpdateMask = 0xe0;
const sizeUpdateFlag = 0x20;

export class Judge {
  readonly #listener: Listener;
  readonly #answers = new Map<number, Answer>();
  readonly #settings: ChangedSettings[] = [];
  readonly #pings: Buffer[] = [];
  readonly #sent: FrameCutter;
  readonly #received: FrameCutter;
  #skip = preface.length;
  #highestOpened = 0;
  #window = windowBytesDefault;
  #initialWindowBytes = windowBytesDefault;
  #frameBytesMax = frameBytesDefault;
  #settingsSeen = false;
  readonly #decoder = new HpackDecoder({ tableBytesMax: defaultTableBytes, headerListBytesMax: 2 ** 20 });
  /** How large the table may be that the server fills, and whether its next block must begin by saying that it knows. */
  #tableBytesMax = defaultTableBytes;
  #sizeUpdateDue = false;
  #sizeUpdateSeen = false;
  #lastStreamId = Number.POSITIVE_INFINITY;
  #failed = false;
  /** A header block without its end, and the stream and flags of its HEADERS. */
  #block: { readonly streamId: number; readonly flags: number; pieces: Buffer[] } | undefined;
  /** Frames that were sent, as the server cuts them. */
  framesSent = 0;

  constructor(listener: Listener) {
    this.#listener = listener;
    this.#sent = new FrameCutter(
      (type, flags, streamId, payload) => this.#onSent(type, flags, streamId, payload),
      () => frameBytesDefault,
      () => {},
    );
    this.#received = new FrameCutter(
      (type, flags, streamId, payload) => this.#onReceived(type, flags, streamId, payload),
      () => this.#frameBytesMax,
      (bytes) => assert.fail(`a frame of ${bytes} bytes, ${this.#frameBytesMax} are allowed`),
    );
  }

  // What the client sends.

  sent(bytes: Buffer): void {
    const skipped = Math.min(this.#skip, bytes.length);
    this.#skip -= skipped;
    if (skipped < bytes.length) this.#sent.push(skipped === 0 ? bytes : bytes.subarray(skipped));
  }

  #onSent(type: number, flags: number, streamId: number, payload: Buffer): void {
    this.framesSent++;
    if (type === FrameType.HEADERS) {
      if (streamId % 2 === 0 || streamId <= this.#highestOpened) return;
      this.#highestOpened = streamId;
      const window = this.#initialWindowBytes;
      this.#answers.set(streamId, { window, state: 'waiting', grpc: true, prefix: nothing, missing: 0 });
    } else if (type === FrameType.WINDOW_UPDATE && payload.length === 4) {
      const increment = payload.readUInt32BE() & 0x7fff_ffff;
      const answer = this.#answers.get(streamId);
      if (streamId === 0) this.#window += increment;
      else if (answer !== undefined) answer.window += increment;
    } else if (type === FrameType.SETTINGS && (flags & Flag.ACK) === 0) {
      const pairs = pairsOf(payload);
      this.#settings.push({
        initialWindowBytes: pairs.get(SettingId.INITIAL_WINDOW_SIZE),
        frameBytesMax: pairs.get(SettingId.MAX_FRAME_SIZE),
        headerTableBytes: pairs.get(SettingId.HEADER_TABLE_SIZE),
      });
    } else if (type === FrameType.PING && (flags & Flag.ACK) === 0) this.#pings.push(payload);
  }

  // What the server sends.

  received(bytes: Buffer): void {
    this.#received.push(bytes);
  }

  /** The server has closed: it must not have stopped within a frame. */
  ended(): void {
    assert.equal(this.#received.unfinished, 0, 'the connection ends within a frame');
    assert.equal(this.#block, undefined, 'the connection ends within a header block');
  }

  /** The server has told of an error of the connection. */
  get failed(): boolean {
    return this.#failed;
  }

  #onReceived(type: number, flags: number, streamId: number, payload: Buffer): void {
    const allowed = flagsOf[type] ?? -1;
    assert.ok(allowed >= 0 && (flags & ~allowed) === 0, `frame type ${type} with flags ${flags}`);
    assert.ok(!this.#failed, `frame type ${type} after GOAWAY with an error`);
    assert.ok(this.#settingsSeen || (type === FrameType.SETTINGS && flags === 0), 'the first frame is SETTINGS');
    if (this.#block !== undefined) {
      assert.ok(type === FrameType.CONTINUATION && streamId === this.#block.streamId, 'a header block is interrupted');
    }
    switch (type) {
      case FrameType.DATA:
        this.#onData(flags, streamId, payload);
        break;
      case FrameType.HEADERS:
        this.#block = { streamId, flags, pieces: [payload] };
        if ((flags & Flag.END_HEADERS) !== 0) this.#onBlock();
        break;
      case FrameType.CONTINUATION:
        assert.ok(this.#block, 'CONTINUATION without HEADERS');
        this.#block.pieces.push(payload);
        if ((flags & Flag.END_HEADERS) !== 0) this.#onBlock();
        break;
      case FrameType.RST_STREAM:
        this.#onReset(streamId, payload);
        break;
      case FrameType.SETTINGS:
        this.#onSettings(flags, streamId, payload);
        break;
      case FrameType.PING:
        this.#onPing(flags, streamId, payload);
        break;
      case FrameType.GOAWAY:
        this.#onGoAway(streamId, payload);
        break;
      default:
        this.#onWindowUpdate(streamId, payload);
    }
  }

  #answer(type: string, streamId: number): Answer {
    const answer = this.#answers.get(streamId);
    assert.ok(answer, `${type} on stream ${streamId}, which was never opened`);
    return answer;
  }

  #onData(flags: number, streamId: number, payload: Buffer): void {
    const answer = this.#answer('DATA', streamId);
    assert.equal(answer.state, 'headers', `DATA on stream ${streamId}`);
    this.#window -= payload.length;
    answer.window -= payload.length;
    assert.ok(this.#window >= 0, 'DATA beyond the window of the connection');
    if (payload.length > 0) assert.ok(answer.window >= 0, `DATA beyond the window of stream ${streamId}`);
    assert.equal(flags, 0, 'gRPC ends a stream by trailers');
    if (answer.grpc) follow(answer, payload);
    this.#listener.onData(streamId, payload);
  }

  #onBlock(): void {
    const { streamId, flags, pieces } = this.#block!;
    this.#block = undefined;
    const answer = this.#answer('HEADERS', streamId);
    const fields = this.#decode(pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces));
    const ends = (flags & Flag.END_STREAM) !== 0;
    if (answer.state === 'waiting') {
      answer.state = 'headers';
      assert.match(fields.get(':status') ?? '', /^\d{3}$/, 'a response has a status');
      answer.grpc = fields.get('content-type') === 'application/grpc';
    } else {
      assert.equal(answer.state, 'headers', `HEADERS on stream ${streamId}`);
      assert.ok(ends, 'HEADERS after the first end the stream');
      assert.ok(!fields.has(':status'), 'trailers have no pseudo fields');
    }
    if (!ends) return;
    assert.match(fields.get('grpc-status') ?? '', /^\d+$/, `stream ${streamId} ends with a gRPC status`);
    if (answer.grpc) {
      assert.ok(answer.missing === 0 && answer.prefix.length === 0, `stream ${streamId} ends within a message`);
    }
    answer.state = 'ended';
    this.#listener.onEnd(streamId, fields);
  }

  #decode(block: Buffer): Fields {
    if (this.#sizeUpdateDue) {
      assert.equal(block[0]! & sizeUpdateMask, sizeUpdateFlag, 'a block after a smaller table begins with its size');
      this.#sizeUpdateDue = false;
      this.#sizeUpdateSeen = true;
    }
    const fields = new Map<string, string>();
    this.#decoder.decode(block, (name, value) => {
      assert.ok(!fields.has(name) || !name.startsWith(':'), `${name} twice`);
      fields.set(name, value);
    });
    assert.ok(this.#decoder.table.bytes <= this.#tableBytesMax, 'the table is no larger than allowed');
    return fields;
  }

  #onReset(streamId: number, payload: Buffer): void {
    assert.equal(payload.length, 4, 'the length of RST_STREAM');
    const answer = this.#answers.get(streamId);
    if (answer === undefined) {
      // Whoever opens a stream closes all below it that were not opened (5.1.1).
      assert.ok(streamId % 2 === 1 && streamId < this.#highestOpened, `RST_STREAM on idle stream ${streamId}`);
      return;
    }
    const before = answer.state;
    answer.state = 'reset';
    if (before === 'waiting' || before === 'headers') this.#listener.onReset(streamId, payload.readUInt32BE());
  }

  #onSettings(flags: number, streamId: number, payload: Buffer): void {
    assert.equal(streamId, 0, 'SETTINGS is about the connection');
    if (flags === 0) {
      assert.equal(payload.length % 6, 0, 'the length of SETTINGS');
      this.#settingsSeen = true;
      this.#listener.onSettings(pairsOf(payload));
      return;
    }
    assert.equal(payload.length, 0, 'the length of an acknowledgement');
    const changed = this.#settings.shift();
    assert.ok(changed, 'settings are acknowledged that were not sent');
    this.#frameBytesMax = changed.frameBytesMax ?? this.#frameBytesMax;
    const tableBytesMax = changed.headerTableBytes ?? this.#tableBytesMax;
    if (tableBytesMax < this.#tableBytesMax) {
      // A server that does not use its table any more has said so once.
      this.#sizeUpdateDue = !this.#sizeUpdateSeen;
      this.#tableBytesMax = tableBytesMax;
    }
    const change = (changed.initialWindowBytes ?? this.#initialWindowBytes) - this.#initialWindowBytes;
    if (change === 0) return;
    this.#initialWindowBytes += change;
    for (const answer of this.#answers.values()) answer.window += change;
  }

  #onPing(flags: number, streamId: number, payload: Buffer): void {
    assert.equal(streamId, 0, 'PING is about the connection');
    assert.equal(payload.length, 8, 'the length of PING');
    if (flags === 0) this.#listener.onPing(payload);
    else assert.deepEqual(payload, this.#pings.shift(), 'pings are answered in their order');
  }

  #onGoAway(streamId: number, payload: Buffer): void {
    assert.equal(streamId, 0, 'GOAWAY is about the connection');
    assert.ok(payload.length >= 8, 'the length of GOAWAY');
    const lastStreamId = payload.readUInt32BE();
    assert.ok(lastStreamId <= this.#lastStreamId, 'a second GOAWAY does not promise more');
    this.#lastStreamId = lastStreamId;
    const code = payload.readUInt32BE(4);
    this.#failed = code !== ErrorCode.NO_ERROR;
    this.#listener.onGoAway(lastStreamId, code, payload.toString('utf8', 8));
  }

  #onWindowUpdate(streamId: number, payload: Buffer): void {
    assert.equal(payload.length, 4, 'the length of WINDOW_UPDATE');
    const increment = payload.readUInt32BE();
    assert.ok(increment > 0 && increment < 2 ** 31, `WINDOW_UPDATE by ${increment}`);
    if (streamId !== 0) this.#answer('WINDOW_UPDATE', streamId);
    this.#listener.onWindow(streamId, increment);
  }
}

/** Goes through the messages of an answer: each has five bytes before it, and says its length there. */
function follow(answer: Answer, payload: Buffer): void {
  for (let at = 0; at < payload.length; ) {
    if (answer.missing > 0) {
      const taken = Math.min(answer.missing, payload.length - at);
      answer.missing -= taken;
      at += taken;
      continue;
    }
    const taken = Math.min(prefixBytes - answer.prefix.length, payload.length - at);
    answer.prefix = Buffer.concat([answer.prefix, payload.subarray(at, at + taken)]);
    at += taken;
    if (answer.prefix.length < prefixBytes) return;
    assert.equal(answer.prefix[0], 0, 'messages are not compressed');
    answer.missing = answer.prefix.readUInt32BE(1);
    answer.prefix = nothing;
  }
}

function pairsOf(payload: Buffer): Map<number, number> {
  const pairs = new Map<number, number>();
  for (let at = 0; at + 6 <= payload.length; at += 6) pairs.set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
  return pairs;
}
