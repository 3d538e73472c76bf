/**
 * What goes to a socket, without what Node's streams do for each piece of it: a request to the operating system, two objects and
 * two callbacks of the next tick, together a tenth of what a read of one key costs. A piece that the operating system takes at once, as
 * nearly all are, needs none of them. So it is given to what is behind the socket, by the class and the state that Node itself uses
 * for that. Where another version of Node lacks one of them, and with TLS, the socket's own `write` does it; a test notices.
 */
import type { Socket } from 'node:net';
import { isPlain } from './plain-socket.ts';

interface WriteRequest {
  /** Keeps alive what is being written. */
  buffer?: Buffer;
  oncomplete?: (status: number) => void;
}

interface StreamWrap {
  readonly WriteWrap: new () => WriteRequest;
  /** At `kLastWriteWasAsync`: whether the operating system has left some of the last write. */
  readonly streamBaseState: ArrayLike<number>;
  readonly kLastWriteWasAsync: number;
}

interface PrivateParts {
  readonly _handle?: { writeBuffer?(request: WriteRequest, bytes: Buffer): number } | null;
}

const streamWrap = findStreamWrap();

function findStreamWrap(): StreamWrap | undefined {
  try {
    const parts = (process as unknown as { binding(name: string): Partial<StreamWrap> }).binding('stream_wrap');
    if (typeof parts.WriteWrap !== 'function' || typeof parts.kLastWriteWasAsync !== 'number') return undefined;
    return parts.streamBaseState?.[parts.kLastWriteWasAsync] === undefined ? undefined : (parts as StreamWrap);
  } catch {
    // Node has been told to forbid it.
    return undefined;
  }
}

export class SocketWriter {
  readonly #socket: Socket;
  readonly #onDrain: () => void;
  readonly #direct: StreamWrap | undefined;
  /** Used again as long as the operating system takes everything. */
  #request: WriteRequest | undefined;
  /** Given to the operating system past the stream, and not taken as a whole yet. */
  #waitingBytes = 0;

  /**
   * `onDrain`: what waited has been taken. Of a single piece that never had to wait it is not told, as by Node's `write`; so who stops
   * writing because so much is there must do that for more than one piece may have (see `congestedBytes` in output.ts).
   */
  constructor(socket: Socket, onDrain: () => void) {
    this.#socket = socket;
    this.#onDrain = onDrain;
    this.#direct = isPlain(socket) ? streamWrap : undefined;
    socket.on('drain', onDrain);
  }

  /** Written and not taken by the operating system yet. */
  get bufferedBytes(): number {
    return this.#waitingBytes + this.#socket.writableLength;
  }

  /** In this order, after all that was written before. The bytes must not change until they are taken. */
  write(pieces: readonly Buffer[]): void {
    const socket = this.#socket;
    if (!socket.writable) return;
    if (pieces.length === 1) {
      const [piece] = pieces as [Buffer];
      if (!this.#writeDirectly(piece)) socket.write(piece);
      return;
    }
    socket.cork();
    for (const piece of pieces) socket.write(piece);
    socket.uncork();
  }

  /** False: it is for the stream; nothing was done. What the stream is given while some of this waits goes behind it, in one queue. */
  #writeDirectly(bytes: Buffer): boolean {
    const socket = this.#socket;
    const direct = this.#direct;
    const handle = (socket as unknown as PrivateParts)._handle;
    if (direct === undefined || !handle?.writeBuffer || socket.connecting || this.bufferedBytes > 0) return false;
    this.#request ??= new direct.WriteWrap();
    const failed = handle.writeBuffer(this.#request, bytes) !== 0;
    if (failed) socket.destroy();
    else if (direct.streamBaseState[direct.kLastWriteWasAsync] !== 0) this.#await(this.#request, bytes);
    return true;
  }

  #await(request: WriteRequest, bytes: Buffer): void {
    this.#request = undefined;
    this.#waitingBytes = bytes.length;
    request.buffer = bytes;
    request.oncomplete = (status) => {
      this.#waitingBytes = 0;
      if (status < 0) this.#socket.destroy();
      else this.#onDrain();
    };
  }
}
