/**
 * One client's connection (RFC 9113): takes its frames apart, keeps the rules, and sends what its streams have to say.
 * What a request means is not known here: `accept` makes a stream of it.
 */
import type { Socket } from 'node:net';
import type { HeaderBlock } from '../hpack/encoder-table.ts';
import type { ConnectionOptions } from './connection-options.ts';
import { ConnectionError, ErrorCode, Flag, FrameType, readWord31, SettingId, windowBytesMost } from './frame.ts';
import { FrameReader, type FrameSink } from './frame-reader.ts';
import { FrameWriter } from './frame-writer.ts';
import { HeaderBlocks } from './header-blocks.ts';
import { Keepalive } from './keepalive.ts';
import { Lifetime } from './lifetime.ts';
import {
  closingTimeoutMs,
  headerListBytesMax,
  settingsTimeoutMs,
  streamsPerIdleFrame,
  unreadBytesMax,
} from './limits.ts';
import { Output } from './output.ts';
import { Patience } from './patience.ts';
import { ReceiveWindow } from './receive-window.ts';
import { Sender } from './sender.ts';
import { applySettings, defaultPeerSettings, settingsFrame } from './settings.ts';
import { readSocket } from './socket-reader.ts';
import type { Stream } from './stream.ts';
import { StreamTable } from './stream-table.ts';
import { paddingOf, throwSettingsTimeout, violation, wrongSize } from './violations.ts';

/** The payload of the ping that ends a drain, and of those that look for life. */
const drainPing = Buffer.from('plinthgo');
const keepalivePing = Buffer.from('plinth??');

export class Connection implements FrameSink {
  readonly peer = defaultPeerSettings();
  readonly output: Output;
  readonly frames: FrameWriter;
  readonly sender: Sender;
  readonly patience: Patience;
  readonly streamWindowBytes: number;
  readonly #socket: Socket;
  readonly #options: ConnectionOptions;
  readonly #reader = new FrameReader(this);
  readonly #blocks = new HeaderBlocks();
  readonly #streams = new StreamTable();
  #settingsSeen = false;
  readonly #receiveWindow: ReceiveWindow;
  /** No stream above is served any more: GOAWAY was sent. */
  #lastServedId = Number.POSITIVE_INFINITY;
  #draining = false;
  /** Nothing that comes is looked at any more. */
  #failed = false;
  #ending = false;
  #paused = false;
  /** The first SETTINGS are waited for, later the client's end of a connection that has ended here. */
  #timer: NodeJS.Timeout;
  readonly #keepalive: Keepalive;
  readonly #lifetime: Lifetime;
  #address: string | undefined;

  constructor(socket: Socket, options: ConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.streamWindowBytes = options.streamWindowBytes;
    this.patience = new Patience(options);
    this.output = new Output(socket, () => this.#drained());
    this.frames = new FrameWriter(this.output, this.peer);
    this.sender = new Sender(this.output, this.peer);
    this.output.write(
      settingsFrame([
        [SettingId.MAX_CONCURRENT_STREAMS, options.concurrentStreamsMax],
        [SettingId.INITIAL_WINDOW_SIZE, options.streamWindowBytes],
        [SettingId.MAX_HEADER_LIST_SIZE, headerListBytesMax],
      ]),
    );
    this.#receiveWindow = new ReceiveWindow(this.frames, options.connectionWindowBytes);
    this.#keepalive = new Keepalive(
      options,
      () => this.frames.ping(keepalivePing),
      () => socket.destroy(),
    );
    this.#lifetime = new Lifetime(options, this);
    this.#timer = setTimeout(() => this.#guarded(throwSettingsTimeout), settingsTimeoutMs).unref();
    readSocket(socket, (chunk) => this.#onBytes(chunk));
    socket.on('error', () => {});
    socket.on('end', () => socket.destroy());
    socket.on('close', () => this.#onClose());
    socket.setTimeout(0);
  }

  /** `127.0.0.1:34567`, for logs. */
  get address(): string {
    this.#address ??= `${this.#socket.remoteAddress ?? 'unix'}:${this.#socket.remotePort ?? ''}`;
    return this.#address;
  }

  // What streams use.

  /** The stream has something to send. */
  sendable(stream: Stream): void {
    if (!this.#failed) this.sender.add(stream);
  }

  /** Response headers that do not end the stream. */
  writeHeaders(stream: Stream, block: HeaderBlock): void {
    this.frames.headers(stream.id, block, 0);
  }

  /** Ends the stream. A client that has not finished its side is told to stop (8.1). */
  writeTrailers(stream: Stream, block: HeaderBlock): void {
    stream.localClosed = true;
    this.frames.end(stream.id, block);
    if (!stream.remoteClosed) this.frames.reset(stream.id, ErrorCode.NO_ERROR);
    this.#forget(stream, !stream.remoteClosed);
  }

  /** Breaks one stream off (5.4.2) because of a frame that is just being handled. Throws ConnectionError for too many. */
  reset(stream: Stream, code: ErrorCode): void {
    if (stream.localClosed) return;
    this.frames.reset(stream.id, code);
    this.#break(stream, code);
    this.#forget(stream, true);
    this.patience.brokenCall();
  }

  /** So many bytes of DATA of this stream are done with: the client may send as many anew (6.9). */
  credit(stream: Stream, bytes: number): void {
    this.#receiveWindow.credit(bytes);
    if (stream.remoteClosed || stream.localClosed) return;
    stream.uncredited += bytes;
    if (stream.uncredited < this.streamWindowBytes / 2) return;
    this.frames.windowUpdate(stream.id, stream.uncredited);
    stream.receiveWindow += stream.uncredited;
    stream.uncredited = 0;
  }

  // What the server uses.

  /** No new streams; closes when those that are open have ended. Clients learn of it before they are refused (6.8). */
  drain(): void {
    if (this.#draining || this.#failed) return;
    this.#draining = true;
    this.frames.goAway(windowBytesMost, ErrorCode.NO_ERROR, 'graceful_stop');
    this.frames.ping(drainPing);
    // Who does not answer is not waited for.
    setTimeout(() => this.#drainStreams(), closingTimeoutMs).unref();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  // Frames.

  #onBytes(chunk: Buffer): void {
    this.#keepalive.heard();
    if (this.#failed) return;
    this.output.collect();
    this.#guarded(() => this.#reader.push(chunk));
    this.output.flush();
    if (this.output.bufferedBytes > unreadBytesMax && !this.#failed && !this.#paused) {
      this.#paused = true;
      this.#socket.pause();
    }
  }

  /** A violation ends the connection. So does a bug of ours, which must not end those of other clients. */
  #guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      const known = error instanceof ConnectionError;
      if (known) this.#options.onViolation?.(this.address, error.codeName, error.message);
      else this.#options.onInternalError(`connection of ${this.address}`, error);
      this.#fail(known ? error : new ConnectionError(ErrorCode.INTERNAL_ERROR, 'internal error'));
    }
  }

  frame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    // Of a piece whose first frames have ended the connection.
    if (this.#failed) return;
    if (!this.#settingsSeen && (type !== FrameType.SETTINGS || (flags & Flag.ACK) !== 0)) {
      throw violation('the first frame is not SETTINGS'); // 3.4
    }
    if (
      this.#blocks.openStreamId !== 0 &&
      (type !== FrameType.CONTINUATION || streamId !== this.#blocks.openStreamId)
    ) {
      throw violation('a header block was interrupted'); // 6.10
    }
    switch (type) {
      case FrameType.DATA:
        this.#onData(flags, streamId, bytes, start, end);
        break;
      case FrameType.HEADERS:
        this.#onHeaders(flags, streamId, bytes, start, end);
        break;
      case FrameType.WINDOW_UPDATE:
        this.#onWindowUpdate(streamId, bytes, start, end);
        break;
      case FrameType.RST_STREAM:
        this.#onReset(streamId, end - start);
        break;
      case FrameType.PING:
        this.#onPing(flags, streamId, bytes, start, end);
        break;
      case FrameType.SETTINGS:
        this.#onSettings(flags, streamId, bytes, start, end);
        break;
      case FrameType.CONTINUATION:
        if (this.#blocks.openStreamId === 0) throw violation('CONTINUATION without HEADERS');
        this.#blocks.continue(bytes.subarray(start, end));
        if ((flags & Flag.END_HEADERS) !== 0) {
          const block = this.#blocks.finish();
          this.#onBlock(streamId, this.#blocks.openFlags, block, 0, block.length);
        }
        break;
      case FrameType.PRIORITY:
        this.#onPriority(streamId, bytes, start, end);
        break;
      case FrameType.GOAWAY:
        // A client that goes away opens no more streams; those that are open may end.
        if (streamId !== 0) throw violation('GOAWAY on a stream');
        if (end - start < 8) throw wrongSize('GOAWAY');
        this.patience.idleFrame();
        break;
      case FrameType.PUSH_PROMISE:
        throw violation('PUSH_PROMISE from a client'); // 8.4
      default:
        this.patience.idleFrame(); // 4.1: ignored
    }
  }

  #onData(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId === 0) throw violation('DATA on stream 0');
    const length = end - start;
    // Padding counts (6.9.1), also where the stream is gone.
    this.#receiveWindow.take(length);
    if ((flags & Flag.PADDED) !== 0) {
      end -= paddingOf(bytes, start, end);
      start++;
    }
    const stream = this.#streams.get(streamId);
    if (stream === undefined || stream.remoteClosed) {
      this.#receiveWindow.credit(length);
      this.#onDataWithoutStream(streamId, stream, length);
      return;
    }
    stream.receiveWindow -= length;
    if (stream.receiveWindow < 0) {
      this.#receiveWindow.credit(length);
      this.reset(stream, ErrorCode.FLOW_CONTROL_ERROR);
      return;
    }
    const padding = length - (end - start);
    if (padding > 0) this.credit(stream, padding);
    const ends = (flags & Flag.END_STREAM) !== 0;
    if (end === start && !ends) this.patience.idleFrame();
    if (!stream.counts(end - start, ends)) {
      this.#receiveWindow.credit(end - start);
      this.reset(stream, ErrorCode.PROTOCOL_ERROR); // 8.1.1
      return;
    }
    if (end > start) stream.onData(bytes, start, end);
    if (ends && !stream.localClosed) this.#closeRemote(stream);
  }

  #onDataWithoutStream(streamId: number, stream: Stream | undefined, length: number): void {
    if (stream !== undefined)
      this.reset(stream, ErrorCode.STREAM_CLOSED); // 5.1, half-closed (remote)
    else if (this.#streams.isIdle(streamId)) throw violation('DATA on an idle stream');
    else if (streamId > this.#lastServedId || this.#streams.howClosed(streamId) === 'reset')
      this.patience.idleData(length);
    else {
      this.patience.idleFrame();
      this.frames.reset(streamId, ErrorCode.STREAM_CLOSED);
    }
  }

  #onHeaders(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId === 0 || streamId % 2 === 0) throw violation('HEADERS on a stream that no client opens'); // 5.1.1
    if ((flags & Flag.PADDED) !== 0) {
      end -= paddingOf(bytes, start, end);
      start++;
    }
    if ((flags & Flag.PRIORITY) !== 0) {
      if (end - start < 5) throw wrongSize('HEADERS');
      if (readWord31(bytes, start) === streamId) throw violation('a stream that depends on itself');
      start += 5;
    }
    if ((flags & Flag.END_HEADERS) !== 0) this.#onBlock(streamId, flags, bytes, start, end);
    else this.#blocks.begin(streamId, flags, bytes.subarray(start, end));
  }

  /** A whole header block: of a new request, or the end of one. It must be read in any case, since HPACK has a state. */
  #onBlock(streamId: number, flags: number, bytes: Buffer, start: number, end: number): void {
    const ends = (flags & Flag.END_STREAM) !== 0;
    const open = this.#streams.get(streamId);
    if (open !== undefined) {
      const wellFormed = this.#blocks.trailers(bytes.subarray(start, end));
      if (open.remoteClosed) this.reset(open, ErrorCode.STREAM_CLOSED);
      else if (!ends || !wellFormed || !open.counts(0, true))
        this.reset(open, ErrorCode.PROTOCOL_ERROR); // 8.1
      else this.#closeRemote(open);
      return;
    }
    const head = this.#blocks.request(bytes, start, end);
    if (streamId <= this.#streams.newestId) {
      const how = this.#streams.howClosed(streamId);
      if (how === 'reset') {
        this.patience.idleFrame();
        return;
      }
      if (how === 'ended') throw new ConnectionError(ErrorCode.STREAM_CLOSED, 'HEADERS on a closed stream');
      throw violation('a stream identifier below an earlier one'); // 5.1.1
    }
    this.#streams.use(streamId);
    if (streamId > this.#lastServedId) {
      this.patience.idleFrame(); // 6.8: ignored
      return;
    }
    if (head === undefined) {
      this.#refuse(streamId, ErrorCode.PROTOCOL_ERROR); // 8.1.1
      return;
    }
    const room = this.#streams.size < this.#options.concurrentStreamsMax;
    const stream = room ? this.#options.accept(this, streamId, head, this.#blocks.timeout) : undefined;
    if (stream === undefined) {
      this.#refuse(streamId, ErrorCode.REFUSED_STREAM); // 5.1.2
      return;
    }
    this.#streams.open(stream);
    this.#lifetime.calls(this.#streams.size);
    // Known before it starts: an answer that is there at once needs no RST_STREAM after it.
    stream.remoteClosed = ends;
    stream.start();
    if (stream.localClosed || !ends) return;
    if (stream.counts(0, true)) stream.onRemoteClosed();
    else this.reset(stream, ErrorCode.PROTOCOL_ERROR);
  }

  #onWindowUpdate(streamId: number, bytes: Buffer, start: number, end: number): void {
    if (end - start !== 4) throw wrongSize('WINDOW_UPDATE');
    const increment = readWord31(bytes, start);
    if (streamId === 0) {
      if (increment === 0) throw violation('WINDOW_UPDATE by 0');
      this.sender.widen(increment);
      return;
    }
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      if (this.#streams.isIdle(streamId)) throw violation('WINDOW_UPDATE on an idle stream');
      return;
    }
    if (increment === 0) this.reset(stream, ErrorCode.PROTOCOL_ERROR);
    else if (!this.sender.widenStream(stream, increment)) this.reset(stream, ErrorCode.FLOW_CONTROL_ERROR);
  }

  #onReset(streamId: number, length: number): void {
    if (streamId === 0) throw violation('RST_STREAM on stream 0');
    if (length !== 4) throw wrongSize('RST_STREAM');
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      if (this.#streams.isIdle(streamId)) throw violation('RST_STREAM on an idle stream');
      return;
    }
    this.#break(stream, ErrorCode.CANCEL);
    this.#forget(stream, false);
    this.patience.brokenCall();
  }

  #onPing(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId !== 0) throw violation('PING on a stream');
    if (end - start !== 8) throw wrongSize('PING');
    const data = bytes.subarray(start, end);
    if ((flags & Flag.ACK) !== 0) {
      this.patience.idleFrame();
      if (this.#draining && data.equals(drainPing)) this.#drainStreams();
      return;
    }
    this.frames.pingAck(data);
    this.patience.ping(this.#streams.size > 0, this.frames.answered);
    this.frames.answered = false;
  }

  #onSettings(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId !== 0) throw violation('SETTINGS on a stream');
    if (this.#settingsSeen) this.patience.idleFrame();
    if ((flags & Flag.ACK) !== 0) {
      if (end > start) throw wrongSize('SETTINGS');
      return;
    }
    this.#settingsSeen = true;
    clearTimeout(this.#timer);
    const before = this.peer.initialWindowBytes;
    applySettings(this.peer, bytes, start, end);
    this.frames.settingsAck();
    const change = this.peer.initialWindowBytes - before;
    if (change === 0) return;
    this.patience.idleFrame(Math.floor(this.#streams.size / streamsPerIdleFrame));
    this.sender.widenStreams(this.#streams.all(), change);
  }

  #onPriority(streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId === 0) throw violation('PRIORITY on stream 0');
    if (end - start !== 5) throw wrongSize('PRIORITY');
    if (readWord31(bytes, start) === streamId) throw violation('a stream that depends on itself');
    this.patience.idleFrame();
  }

  #drained(): void {
    if (this.#paused) {
      this.#paused = false;
      this.#socket.resume();
    }
    this.#guarded(() => this.sender.pump());
  }

  // Ends of streams and of the connection.

  #closeRemote(stream: Stream): void {
    stream.remoteClosed = true;
    stream.onRemoteClosed();
  }

  #refuse(streamId: number, code: ErrorCode): void {
    this.#streams.close(streamId, true);
    this.frames.reset(streamId, code);
    this.patience.brokenCall();
  }

  /** To be forgotten next. */
  #break(stream: Stream, code: ErrorCode): void {
    stream.localClosed = true;
    stream.remoteClosed = true;
    stream.dropQueue();
    stream.onBroken(code);
  }

  /** All are broken before the first is forgotten: what one gives back must not start a call of another that ends as well. */
  #breakAll(code: ErrorCode): void {
    const streams = this.#streams.all();
    for (const stream of streams) this.#break(stream, code);
    for (const stream of streams) this.#forget(stream, true);
  }

  #forget(stream: Stream, reset: boolean): void {
    this.#streams.close(stream.id, reset);
    this.sender.forget(stream);
    stream.onClosed();
    this.#lifetime.calls(this.#streams.size);
    if (this.#streams.size === 0 && this.#lastServedId !== Number.POSITIVE_INFINITY) this.#end();
  }

  #drainStreams(): void {
    if (this.#failed || this.#lastServedId !== Number.POSITIVE_INFINITY) return;
    this.#lastServedId = this.#streams.newestId;
    this.frames.goAway(this.#lastServedId, ErrorCode.NO_ERROR, 'graceful_stop');
    if (this.#streams.size === 0) this.#end();
  }

  #fail({ code, message }: ConnectionError): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#breakAll(code);
    // The last frame, also after what the streams have given back.
    this.frames.goAway(this.#streams.newestId, code, message);
    this.#end();
    // Also a client that does not read what is written already.
    this.#cutSoon();
  }

  /** Sends what is written and closes; cuts a client that does not close its side. */
  #end(): void {
    if (this.#ending) return;
    this.#ending = true;
    this.#failed = true;
    this.output.flush();
    const socket = this.#socket;
    socket.resume();
    socket.end(() => this.#cutSoon());
  }

  #cutSoon(): void {
    clearTimeout(this.#timer);
    if (!this.#socket.destroyed) this.#timer = setTimeout(() => this.#socket.destroy(), closingTimeoutMs).unref();
  }

  #onClose(): void {
    this.#failed = true;
    this.#ending = true;
    this.#keepalive.stop();
    this.#lifetime.stop();
    clearTimeout(this.#timer);
    this.#breakAll(ErrorCode.CANCEL);
    this.#options.onClosed(this);
  }
}
