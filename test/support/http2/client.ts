/**
 * A client of HTTP/2 that says what a test wants, however wrong, and keeps what comes back. It answers nothing by itself: no
 * acknowledgement, no window.
 */
import { once } from 'node:events';
import net from 'node:net';
import { HpackDecoder } from '../../../src/transport/hpack/decoder.ts';
import { ack, endStream, type Frame, FrameParser, frame, preface, settings as settingsFrame, Type } from './frames.ts';

export interface GoAway {
  readonly lastStreamId: number;
  readonly code: number;
  readonly text: string;
}

/** What came on one stream. */
export interface Answer {
  readonly fields: Record<string, string>;
  body: Buffer[];
  bodyBytes: number;
  /** END_STREAM came. */
  ended: boolean;
  resetCode: number | undefined;
}

export interface Flood {
  readonly sent: number;
  readonly bytes: number;
  /** GOAWAY came, the connection was lost, or the server has stopped reading. */
  readonly end: 'all' | 'goAway' | 'closed' | 'stalled';
}

export interface FrameClientOptions {
  /** Sent with the preface; default: an empty SETTINGS frame. */
  readonly first?: Buffer;
  /** Acknowledge the server's pings. */
  readonly answersPings?: boolean;
  /** Keep the bodies of answers. Otherwise they are only counted. */
  readonly keepBodies?: boolean;
}

export class FrameClient {
  readonly socket: net.Socket;
  /** By stream. */
  readonly answers = new Map<number, Answer>();
  /** How many frames of each type came, acknowledgements apart. */
  readonly counts = { frames: 0, settingsAcks: 0, pings: 0, pingAcks: 0, resets: 0, bytes: 0 };
  goAway: GoAway | undefined;
  closed = false;
  readonly #parser = new FrameParser();
  readonly #decoder = new HpackDecoder({ tableBytesMax: 4096, headerListBytesMax: 1024 * 1024 });
  readonly #keepBodies: boolean;
  readonly #answersPings: boolean;
  #wake: (() => void)[] = [];

  constructor(socket: net.Socket, { keepBodies = true, answersPings = false }: FrameClientOptions = {}) {
    this.socket = socket;
    this.#keepBodies = keepBodies;
    this.#answersPings = answersPings;
    socket.on('data', (chunk: Buffer) => {
      this.counts.bytes += chunk.length;
      for (const frame of this.#parser.push(chunk)) this.#onFrame(frame);
      this.#changed();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.closed = true;
      this.#changed();
    });
  }

  /** Connected, and the preface is sent. */
  static async connect(port: number, options: FrameClientOptions = {}): Promise<FrameClient> {
    const socket = net.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    const client = new FrameClient(socket, options);
    client.send(preface, options.first ?? settingsFrame());
    return client;
  }

  send(...frames: readonly Buffer[]): void {
    this.socket.write(frames.length === 1 ? frames[0]! : Buffer.concat(frames));
  }

  /** Sends pieces as fast as the server reads them, until `count` went or one of the other ends has come. */
  async flood(count: number, piece: (index: number) => Buffer): Promise<Flood> {
    let bytes = 0;
    for (let index = 0; index < count; index++) {
      if (this.closed) return { sent: index, bytes, end: 'closed' };
      if (this.goAway !== undefined) return { sent: index, bytes, end: 'goAway' };
      // Where the server reads as fast as this sends, nothing else would make this read its answers.
      if (index % 500 === 499) await new Promise((resolve) => setImmediate(resolve));
      const next = piece(index);
      bytes += next.length;
      if (!this.socket.write(next) && !(await this.#room())) return { sent: index + 1, bytes, end: 'stalled' };
    }
    return { sent: count, bytes, end: 'all' };
  }

  /** False: nothing moves for a while, the server has stopped reading. */
  async #room(): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const stalled = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), stalledMs);
    });
    const moves = this.#drained().then(() => true);
    const room = await Promise.race([moves, stalled]);
    clearTimeout(timer);
    return room;
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      this.socket.once('drain', resolve);
      this.#wake.push(resolve);
    });
  }

  /** Waits until `condition` holds; it is asked after everything that comes. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  /** Until the stream has ended or was reset, or the connection is lost. */
  async answer(streamId: number): Promise<Answer> {
    const over = (): boolean => {
      const answer = this.answers.get(streamId);
      return this.closed || answer?.ended === true || answer?.resetCode !== undefined;
    };
    await this.until(over);
    return this.#answerOf(streamId);
  }

  async end(): Promise<void> {
    this.socket.destroy();
    await this.until(() => this.closed);
  }

  #changed(): void {
    const wake = this.#wake;
    this.#wake = [];
    for (const one of wake) one();
  }

  #answerOf(streamId: number): Answer {
    let answer = this.answers.get(streamId);
    if (answer === undefined) {
      answer = { fields: {}, body: [], bodyBytes: 0, ended: false, resetCode: undefined };
      this.answers.set(streamId, answer);
    }
    return answer;
  }

  #onFrame(received: Frame): void {
    this.counts.frames++;
    const { type, flags, streamId, payload } = received;
    if (type === Type.settings && (flags & ack) !== 0) this.counts.settingsAcks++;
    else if (type === Type.ping && (flags & ack) !== 0) this.counts.pingAcks++;
    else if (type === Type.ping) {
      this.counts.pings++;
      if (this.#answersPings) this.send(frame(Type.ping, ack, 0, payload));
    } else if (type === Type.goAway) {
      this.goAway = {
        lastStreamId: payload.readUInt32BE(0),
        code: payload.readUInt32BE(4),
        text: payload.toString('utf8', 8),
      };
    } else if (type === Type.reset) {
      this.counts.resets++;
      this.#answerOf(streamId).resetCode = payload.readUInt32BE(0);
    } else if (type === Type.headers || type === Type.data) this.#onAnswer(type, flags, streamId, payload);
  }

  #onAnswer(type: number, flags: number, streamId: number, payload: Buffer): void {
    const answer = this.#answerOf(streamId);
    if (type === Type.headers) {
      this.#decoder.decode(payload, (name, value) => {
        answer.fields[name] = value;
      });
    } else {
      answer.bodyBytes += payload.length;
      if (this.#keepBodies) answer.body.push(payload);
    }
    if ((flags & endStream) !== 0) answer.ended = true;
  }
}

/** So long a flood waits for room. */
const stalledMs = 2000;
