/**
 * A bidirectional stream to another server, as bytes: what replicas use among themselves. It is the only call of a connection of its own,
 * by the same HTTP/2 as the server's (RFC 9113), so that what one replica sends another costs as little as what it sends its clients.
 */
import type { Socket } from 'node:net';
import { encodeHeaders } from '../hpack/encoder.ts';
import {
  ConnectionError,
  ErrorCode,
  Flag,
  FrameType,
  preface,
  readWord31,
  SettingId,
  windowBytesDefault,
} from '../http2/frame.ts';
import { FrameReader, type FrameSink } from '../http2/frame-reader.ts';
import { FrameWriter } from '../http2/frame-writer.ts';
import { HeaderBlocks } from '../http2/header-blocks.ts';
import { sentFrameBytesMax } from '../http2/limits.ts';
import { Output } from '../http2/output.ts';
import { applySettings, defaultPeerSettings, settingsFrame } from '../http2/settings.ts';
import { Code } from '../rpc.ts';
import { clientAddress, connect } from './client-connection.ts';
import { MessageReader, type MessageSink, prefixBytes } from './message-reader.ts';

export interface ClientStreamOptions {
  /** `http://host:2379`, `https://host:2379`, `unix:///path` or `unixs:///path`, whose certificate must be for `localhost`. */
  readonly url: string;
  /** PEM: by whom the server's certificate must be signed; undefined: by whom Node trusts. */
  readonly authorities?: Buffer | undefined;
  /** `/package.Service/Method` */
  readonly path: string;
  /** Of a message of the server's. Above: the stream ends. */
  readonly messageBytesMax: number;
  onMessage(message: Buffer): void;
  /** Once, whoever ended it; undefined: the server did, with OK. */
  onEnd(error: Error | undefined): void;
}

/** The first stream that a client opens (5.1.1). */
const streamId = 1;
/** What this side takes before the server must wait for it to be read; it is read at once. */
const windowBytes = 8 * 1024 * 1024;
/** A message of the server's that is no longer is not moved while it grows. */
const atOnceBytes = 1024 * 1024;

const codeNames = new Map<number, string>(Object.entries(Code).map(([name, code]) => [code, name]));

export class ClientStream implements FrameSink, MessageSink {
  readonly #options: ClientStreamOptions;
  readonly #socket: Socket;
  readonly #output: Output;
  readonly #frames: FrameWriter;
  readonly #reader = new FrameReader(this, 'server');
  readonly #blocks = new HeaderBlocks();
  readonly #messages: MessageReader;
  readonly #peer = defaultPeerSettings();
  /** What may be sent, on the connection and on the stream. */
  #connectionWindow = windowBytesDefault;
  #streamWindow = windowBytesDefault;
  /** Received since the server was told of it. */
  #uncredited = 0;
  /** Messages behind their prefixes that the windows or the socket have kept, the first one from #sent on. */
  #unsent: Buffer[] = [];
  #unsentBytes = 0;
  #sent = 0;
  #ended = false;

  /** Begins to connect. Throws an Error for what cannot be an address. */
  constructor(options: ClientStreamOptions) {
    this.#options = options;
    this.#messages = new MessageReader(options.messageBytesMax, atOnceBytes);
    const address = clientAddress(options.url);
    const socket = connect(address, options.authorities);
    this.#socket = socket;
    this.#output = new Output(socket, () => this.#pump());
    this.#frames = new FrameWriter(this.#output, this.#peer);
    socket.on('data', (chunk: Buffer) => this.#received(chunk));
    socket.on('error', (error) => this.#end(error));
    socket.on('close', () => this.#end(new Error('the connection was closed')));
    this.#begin(address.authority, address.secure ? 'https' : 'http');
  }

  #begin(authority: string, scheme: string): void {
    const settings = [
      [SettingId.ENABLE_PUSH, 0],
      [SettingId.INITIAL_WINDOW_SIZE, windowBytes],
    ] as const;
    this.#output.write(preface);
    this.#output.write(settingsFrame(settings));
    this.#frames.windowUpdate(0, windowBytes - windowBytesDefault);
    const fields = [
      [':method', 'POST'],
      [':scheme', scheme],
      [':path', this.#options.path],
      [':authority', authority],
      ['content-type', 'application/grpc'],
      ['te', 'trailers'],
    ] as const;
    this.#frames.headers(streamId, encodeHeaders(fields), 0);
  }

  /** From the next message on. */
  set messageBytesMax(bytes: number) {
    this.#messages.bytesMax = bytes;
  }

  write(message: Buffer): void {
    if (this.#ended) return;
    const bytes = Buffer.allocUnsafe(prefixBytes + message.length);
    bytes[0] = 0;
    bytes.writeUInt32BE(message.length, 1);
    message.copy(bytes, prefixBytes);
    this.#unsent.push(bytes);
    this.#unsentBytes += bytes.length;
    this.#pump();
  }

  /** Written, and not taken by the operating system yet. */
  get bufferedBytes(): number {
    return this.#unsentBytes + this.#output.bufferedBytes;
  }

  /** `onEnd` follows, unless it came already. */
  cancel(): void {
    this.#end(new Error('cancelled'));
  }

  /** Sends what the windows and the socket allow (6.9). */
  #pump(): void {
    while (this.#unsent.length > 0 && !this.#output.congested && !this.#ended) {
      const message = this.#unsent[0] as Buffer;
      const allowed = Math.min(this.#connectionWindow, this.#streamWindow, this.#peer.frameBytesMax, sentFrameBytesMax);
      const length = Math.min(message.length - this.#sent, allowed);
      if (length <= 0) return;
      this.#frames.dataHead(streamId, length);
      this.#output.write(message.subarray(this.#sent, this.#sent + length));
      this.#connectionWindow -= length;
      this.#streamWindow -= length;
      this.#unsentBytes -= length;
      this.#sent += length;
      if (this.#sent < message.length) continue;
      this.#unsent.shift();
      this.#sent = 0;
    }
  }

  #received(chunk: Buffer): void {
    if (this.#ended) return;
    try {
      this.#reader.push(chunk);
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      this.#end(new Error(`no HTTP/2 as it should be: ${error.message}`));
    }
  }

  frame(type: number, flags: number, stream: number, bytes: Buffer, start: number, end: number): void {
    if (this.#ended) return;
    switch (type) {
      case FrameType.DATA:
        this.#data(flags, bytes, start, end);
        break;
      case FrameType.HEADERS:
        this.#blocks.begin(stream, flags, bytes.subarray(start, end));
        if ((flags & Flag.END_HEADERS) !== 0) this.#headers();
        break;
      case FrameType.CONTINUATION:
        this.#blocks.continue(bytes.subarray(start, end));
        if ((flags & Flag.END_HEADERS) !== 0) this.#headers();
        break;
      case FrameType.RST_STREAM:
        this.#end(new Error(`the stream was reset with code ${wordOf(bytes, start, end)}`));
        break;
      case FrameType.SETTINGS:
        if ((flags & Flag.ACK) === 0) this.#settings(bytes, start, end);
        break;
      case FrameType.PING:
        if ((flags & Flag.ACK) === 0) this.#frames.pingAck(bytes.subarray(start, end));
        break;
      case FrameType.WINDOW_UPDATE:
        if (stream === 0) this.#connectionWindow += wordOf(bytes, start, end);
        else this.#streamWindow += wordOf(bytes, start, end);
        this.#pump();
        break;
      // Of GOAWAY: what is under way goes on until the server ends it. Unknown frames are ignored (4.1).
    }
  }

  /** The initial window of the stream changes by what the setting does (6.9.2). */
  #settings(bytes: Buffer, start: number, end: number): void {
    const before = this.#peer.initialWindowBytes;
    applySettings(this.#peer, bytes, start, end);
    this.#streamWindow += this.#peer.initialWindowBytes - before;
    this.#frames.settingsAck();
    this.#pump();
  }

  #data(flags: number, bytes: Buffer, start: number, end: number): void {
    const padded = (flags & Flag.PADDED) !== 0 && start < end;
    const from = padded ? start + 1 : start;
    const to = padded ? end - (bytes[start] as number) : end;
    this.#uncredited += end - start;
    if (this.#uncredited >= windowBytes / 2) {
      this.#frames.windowUpdate(0, this.#uncredited);
      this.#frames.windowUpdate(streamId, this.#uncredited);
      this.#uncredited = 0;
    }
    if (from < to) this.#messages.push(bytes, from, to, this);
    if ((flags & Flag.END_STREAM) !== 0) this.#end(new Error('the server ended the stream without a status'));
  }

  message(bytes: Buffer, compressed: boolean): void {
    if (compressed) this.#end(new Error('a compressed message, which was not asked for'));
    else if (!this.#ended) this.#options.onMessage(bytes);
  }

  tooLong(bytes: number): void {
    this.#end(new Error(`a message of ${bytes} bytes`));
  }

  /** The block that is open is complete: response headers, or the status. */
  #headers(): void {
    const last = (this.#blocks.openFlags & Flag.END_STREAM) !== 0;
    const fields = this.#blocks.fields(this.#blocks.finish());
    const status = fields.get(':status');
    if (status !== undefined && status !== '200') this.#end(new Error(`HTTP status ${status}`));
    else if (last) this.#end(statusError(fields));
  }

  #end(error: Error | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#unsent = [];
    this.#unsentBytes = 0;
    this.#socket.destroy();
    this.#options.onEnd(error);
  }
}

function wordOf(bytes: Buffer, start: number, end: number): number {
  if (end - start !== 4) throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, 'a frame that should have 4 bytes');
  return readWord31(bytes, start);
}

/** For instance `16 UNAUTHENTICATED: this replica does not know the secret`; undefined: OK. */
function statusError(fields: ReadonlyMap<string, string>): Error | undefined {
  const code = Number(fields.get('grpc-status') ?? Code.UNKNOWN);
  if (code === Code.OK) return undefined;
  return new Error(`${code} ${codeNames.get(code) ?? 'UNKNOWN'}: ${percentDecode(fields.get('grpc-message') ?? '')}`);
}

function percentDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
