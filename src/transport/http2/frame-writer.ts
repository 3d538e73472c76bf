/** Frames as this side sends them, into the output of their turn. */
import { copyBytes } from '../../proto/wire.ts';
import { EncoderTable, type HeaderBlock } from '../hpack/encoder-table.ts';
import { type ErrorCode, Flag, FrameType, frame, frameHeadBytes, writeFrameHead } from './frame.ts';
import type { Output } from './output.ts';
import type { PeerSettings } from './settings.ts';

const empty = Buffer.alloc(0);
/** Instead of a header block: the stream ends with its DATA. */
export const noTrailers: HeaderBlock = empty;
/** No peer allows less in a frame than 16 KiB (6.5.2); with its head it must fit into the output's reservation. */
const headersBytesMax = 8 * 1024;

export class FrameWriter {
  readonly #output: Output;
  readonly #peer: PeerSettings;
  readonly #table = new EncoderTable();
  /** Headers or DATA went out since this was last set to false. */
  answered = false;

  constructor(output: Output, peer: PeerSettings) {
    this.#output = output;
    this.#peer = peer;
  }

  /** A DATA frame of two pieces that are small. */
  data(streamId: number, first: Uint8Array, second: Uint8Array): void {
    this.answered = true;
    const length = first.length + second.length;
    const position = this.#output.reserve(frameHeadBytes + length);
    const { slab } = this.#output;
    const at = writeFrameHead(slab, position, length, FrameType.DATA, 0, streamId);
    copyBytes(first, slab, at);
    copyBytes(second, slab, at + first.length);
  }

  /** The head of a DATA frame, whose payload the caller writes next. */
  dataHead(streamId: number, length: number): void {
    this.answered = true;
    const position = this.#output.reserve(frameHeadBytes);
    writeFrameHead(this.#output.slab, position, length, FrameType.DATA, 0, streamId);
  }

  /** Ends a stream: with this header block, or with DATA where there is none. */
  end(streamId: number, trailers: HeaderBlock): void {
    this.answered = true;
    if (trailers !== noTrailers) this.headers(streamId, trailers, Flag.END_STREAM);
    else this.#small(FrameType.DATA, Flag.END_STREAM, streamId, empty);
  }

  /** A header block: one frame as long as that is allowed, more by CONTINUATION (6.10). */
  headers(streamId: number, headerBlock: HeaderBlock, flags: number): void {
    this.answered = true;
    this.#table.limit(this.#peer.headerTableBytes);
    const block = this.#table.encode(headerBlock);
    if (block.length <= headersBytesMax) {
      this.#small(FrameType.HEADERS, flags | Flag.END_HEADERS, streamId, block);
      return;
    }
    this.#small(FrameType.HEADERS, flags, streamId, block.subarray(0, headersBytesMax));
    for (let at = headersBytesMax; at < block.length; at += headersBytesMax) {
      const last = at + headersBytesMax >= block.length ? Flag.END_HEADERS : 0;
      this.#small(FrameType.CONTINUATION, last, streamId, block.subarray(at, at + headersBytesMax));
    }
  }

  #small(type: number, flags: number, streamId: number, payload: Buffer): void {
    const output = this.#output;
    const position = output.reserve(frameHeadBytes + payload.length);
    const { slab } = output;
    copyBytes(payload, slab, writeFrameHead(slab, position, payload.length, type, flags, streamId));
  }

  reset(streamId: number, code: ErrorCode): void {
    this.#word(FrameType.RST_STREAM, streamId, code);
  }

  /** Nothing for no bytes, which would be a violation. */
  windowUpdate(streamId: number, bytes: number): void {
    if (bytes > 0) this.#word(FrameType.WINDOW_UPDATE, streamId, bytes);
  }

  goAway(lastStreamId: number, code: ErrorCode, text: string): void {
    const payload = Buffer.alloc(8 + Buffer.byteLength(text));
    payload.writeUInt32BE(lastStreamId);
    payload.writeUInt32BE(code, 4);
    payload.write(text, 8);
    this.#output.write(frame(FrameType.GOAWAY, 0, 0, payload));
  }

  ping(data: Buffer): void {
    this.#small(FrameType.PING, 0, 0, data);
  }

  pingAck(data: Buffer): void {
    this.#small(FrameType.PING, Flag.ACK, 0, data);
  }

  settingsAck(): void {
    this.#small(FrameType.SETTINGS, Flag.ACK, 0, empty);
  }

  #word(type: number, streamId: number, word: number): void {
    const position = this.#output.reserve(frameHeadBytes + 4);
    const { slab } = this.#output;
    slab.writeUInt32BE(word, writeFrameHead(slab, position, 4, type, 0, streamId));
  }
}
