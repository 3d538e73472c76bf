/** A client with many calls under way: says what it sends next, and hears what the server answers. */
import assert from 'node:assert/strict';
import { Flag, FrameType, preface, SettingId, windowBytesDefault } from '../../src/transport/http2/frame.ts';
import type { Random } from '../support/random.ts';
import { BlockWriter, type CallOptions, ClientCall } from './calls.ts';
import { type Fields, Judge, type Listener } from './judge.ts';
import { type Frame, frame, settings, word } from './wire.ts';

/** `calm`: what it sends arrives as it is; then every call must be answered as expected, and nothing is an error. */
export interface ClientOptions extends CallOptions {
  readonly callsMax: number;
}

/** What was seen, over all clients of a run. */
export class Tally {
  calls = 0;
  answered = 0;
  cancelled = 0;
  /** How often the server stopped reading from a client that did not read. */
  pauses = 0;
  readonly resets = new Map<number, number>();
  readonly goAways = new Map<string, number>();

  count<K>(counts: Map<K, number>, key: K): void {
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
}

const windows = [0, 1, 100, 5000, windowBytesDefault, windowBytesDefault, 2 ** 20];
/** More than the sum of all answers: who finishes does not hold anything back. */
const ampleBytes = 2 ** 30;
/** More than the server queues on a socket. */
const aLotBytes = 2 ** 20;
/** Pings that the server bears without an open call. */
const freePings = 3;
const describedMax = 5;
const nothing = Buffer.alloc(0);

/** What a client does next, as often as it stands here. */
const actions = [
  'open',
  'open',
  'open',
  'go',
  'go',
  'go',
  'go',
  'go',
  'go',
  'go',
  'go',
  'allow',
  'allow',
  'allow',
  'allow',
  'allow',
  'settings',
  'ping',
  'priority',
  'cancel',
  'unknown',
] as const;

export class Client implements Listener {
  readonly judge: Judge;
  readonly #random: Random;
  readonly #options: ClientOptions;
  readonly #tally: Tally;
  readonly #blocks: BlockWriter;
  readonly #live = new Map<number, ClientCall>();
  #nextId = 1;
  /** What the server allows: on the connection, and on a stream at first. */
  #window = windowBytesDefault;
  #initialWindow = windowBytesDefault;
  /** DATA of the connection that the server was not allowed to send anew. */
  #owedBytes = 0;
  #pings = 0;
  #finishing = false;
  /** Answers to what the server asks. */
  #replies: Frame[] = [];
  #goingAway = false;
  /** From now on calls may end otherwise than they would. */
  serverStops = false;

  constructor(random: Random, options: ClientOptions, tally: Tally) {
    this.#random = random;
    this.#options = options;
    this.#tally = tally;
    this.#blocks = new BlockWriter(random);
    this.judge = new Judge(this);
  }

  // What it sends.

  /** The first bytes, whose SETTINGS no mutation hits: most of what it does to them ends the connection. */
  hello(): [Buffer, Frame] {
    return [preface, frame(FrameType.SETTINGS, 0, 0, this.#someSettings())];
  }

  next(count: number): Frame[] {
    const frames = this.#replies;
    this.#replies = [];
    while (frames.length < count) {
      const more = this.#finishing ? this.#finish() : this.#act();
      if (more.length === 0) break;
      frames.push(...more);
    }
    return frames;
  }

  /** From now on it only brings to an end what it has begun. */
  finish(): void {
    if (this.#finishing) return;
    this.#finishing = true;
    // Windows that were small grow for all streams at once.
    this.#replies.push(frame(FrameType.SETTINGS, 0, 0, settings([[SettingId.INITIAL_WINDOW_SIZE, ampleBytes]])));
    this.#replies.push(frame(FrameType.WINDOW_UPDATE, 0, 0, word(ampleBytes)));
  }

  get done(): boolean {
    return this.#live.size === 0;
  }

  /** Calls without an end, for a message of what hangs. */
  get unfinished(): string {
    const calls = [...this.#live.values()].slice(0, describedMax).map((call) => call.describe());
    return `${this.#live.size}, first ${calls.join(', ')}`;
  }

  #act(): Frame[] {
    const random = this.#random;
    switch (random.pick(actions)) {
      case 'open':
        return this.#open();
      case 'allow':
        return this.#allow();
      case 'settings':
        return random.chance(0.1) ? [frame(FrameType.SETTINGS, 0, 0, this.#someSettings())] : this.#go();
      case 'ping':
        return random.chance(0.1) ? this.#ping() : this.#go();
      case 'priority':
        return random.chance(0.2)
          ? [frame(FrameType.PRIORITY, 0, this.#someId(), Buffer.of(0, 0, 0, 0, 16))]
          : this.#go();
      case 'cancel':
        return random.chance(0.2) ? this.#cancel() : this.#go();
      case 'unknown':
        return random.chance(0.1)
          ? [frame(random.integer(10, 255), 0, 0, Buffer.alloc(random.integer(0, 20)))]
          : this.#go();
      default:
        return this.#go();
    }
  }

  #open(): Frame[] {
    if (this.#live.size >= this.#options.callsMax || this.#goingAway) return this.#go();
    const call = new ClientCall(this.#nextId, this.#random, this.#initialWindow, this.#options);
    this.#nextId += this.#random.chance(0.95) ? 2 : 4;
    this.#live.set(call.id, call);
    this.#tally.calls++;
    return [...call.open(this.#blocks), ...this.#proceed(call)];
  }

  #go(): Frame[] {
    const call = this.#someCall();
    if (call === undefined) return this.#goingAway ? [] : this.#open();
    const frames = this.#proceed(call);
    return frames.length > 0 ? frames : this.#allow();
  }

  #proceed(call: ClientCall): Frame[] {
    const frames = call.next(this.#window, this.#blocks);
    for (const one of frames) if (one.type === FrameType.DATA) this.#window -= one.payload.length;
    return frames;
  }

  /** The server may send again what was read, on the connection or a stream, or some of it. */
  #allow(): Frame[] {
    const random = this.#random;
    const call = random.chance(0.5) ? this.#someCall() : undefined;
    const owed = call === undefined ? this.#owedBytes : call.owedBytes;
    const bytes = this.#allowance(owed);
    const paid = Math.min(owed, bytes);
    if (call === undefined) this.#owedBytes -= paid;
    else call.owedBytes -= paid;
    return [frame(FrameType.WINDOW_UPDATE, 0, call?.id ?? 0, word(bytes))];
  }

  #allowance(owed: number): number {
    const random = this.#random;
    if (random.chance(0.03)) return aLotBytes;
    if (owed === 0 || random.chance(0.2)) return random.integer(1, 1000);
    return random.chance(0.5) ? owed : random.integer(1, owed);
  }

  #ping(): Frame[] {
    if (this.#options.calm && this.#pings === freePings) return this.#go();
    this.#pings++;
    const data = Buffer.alloc(8, this.#pings);
    return [frame(FrameType.PING, 0, 0, data)];
  }

  #cancel(): Frame[] {
    const call = this.#someCall();
    if (call === undefined) return this.#go();
    call.stop();
    this.#live.delete(call.id);
    this.#tally.cancelled++;
    return [frame(FrameType.RST_STREAM, 0, call.id, word(8))];
  }

  #finish(): Frame[] {
    for (const call of this.#live.values()) {
      if (call.ended) continue;
      const frames = this.#proceed(call);
      if (frames.length > 0) return frames;
    }
    return [];
  }

  #someSettings(): Buffer {
    const random = this.#random;
    const pairs: (readonly [number, number])[] = [];
    if (random.chance(0.7)) pairs.push([SettingId.INITIAL_WINDOW_SIZE, random.pick(windows)]);
    if (random.chance(0.3)) pairs.push([SettingId.MAX_FRAME_SIZE, random.pick([16_384, 20_000, 2 ** 24 - 1])]);
    if (random.chance(0.2)) pairs.push([SettingId.ENABLE_PUSH, 0]);
    if (random.chance(0.2)) pairs.push([SettingId.HEADER_TABLE_SIZE, random.pick([0, 50, 4096, 65_536])]);
    if (random.chance(0.2)) pairs.push([random.integer(7, 100), random.integer(0, 2 ** 32 - 1)]);
    return settings(pairs);
  }

  #someId(): number {
    return this.#random.integer(1, this.#nextId + 10);
  }

  #someCall(): ClientCall | undefined {
    const { size } = this.#live;
    if (size === 0) return undefined;
    let left = this.#random.integer(0, size - 1);
    for (const call of this.#live.values()) if (left-- === 0) return call;
    return undefined;
  }

  // What it hears.

  onSettings(pairs: ReadonlyMap<number, number>): void {
    const initial = pairs.get(SettingId.INITIAL_WINDOW_SIZE) ?? windowBytesDefault;
    for (const call of this.#live.values()) call.window += initial - this.#initialWindow;
    this.#initialWindow = initial;
    this.#replies.push(frame(FrameType.SETTINGS, Flag.ACK, 0, nothing));
  }

  onWindow(streamId: number, bytes: number): void {
    if (streamId === 0) this.#window += bytes;
    else {
      const call = this.#live.get(streamId);
      if (call !== undefined) call.window += bytes;
    }
  }

  onPing(data: Buffer): void {
    this.#replies.push(frame(FrameType.PING, Flag.ACK, 0, Buffer.from(data)));
  }

  onData(streamId: number, data: Buffer): void {
    this.#owedBytes += data.length;
    const call = this.#live.get(streamId);
    if (call === undefined) return;
    call.owedBytes += data.length;
    if (this.#options.calm) call.body.push(data);
  }

  onEnd(streamId: number, trailers: Fields): void {
    const call = this.#live.get(streamId);
    if (call === undefined) return;
    this.#live.delete(streamId);
    this.#tally.answered++;
    if (!this.#options.calm || this.serverStops) return;
    const { expected } = call;
    if (expected === undefined) return;
    assert.equal(trailers.get('grpc-status'), String(expected.status), `status of ${call.describe()}`);
    assert.ok(Buffer.concat(call.body).equals(expected.body), `messages of ${call.describe()}`);
  }

  onReset(streamId: number, code: number): void {
    this.#tally.count(this.#tally.resets, code);
    const call = this.#live.get(streamId);
    this.#live.delete(streamId);
    if (!this.#options.calm || call === undefined || call.expected === undefined) return;
    assert.ok(this.serverStops, `reset with ${code}: ${call.describe()}`);
  }

  onGoAway(lastStreamId: number, code: number, text: string): void {
    this.#tally.count(this.#tally.goAways, `${code} ${text.replace(/\d+/g, '#')}`);
    this.#goingAway = true;
    if (this.#options.calm) assert.equal(code, 0, `GOAWAY: ${text}`);
    for (const id of this.#live.keys()) if (id > lastStreamId) this.#live.delete(id);
  }
}
