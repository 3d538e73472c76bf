/** A connection without an operating system: what a server sees as a socket, with the client's end in the hands of the test. */
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';

/** As Node's sockets: above it `write` says false, and 'drain' follows once everything was read. */
const highWaterMarkBytes = 16 * 1024;

export class MemorySocket extends EventEmitter {
  readonly remoteAddress = '127.0.0.1';
  readonly remotePort = 1;
  /** Written by the server and not read by the client. */
  writableLength = 0;
  #written: Buffer[] = [];
  #readOffset = 0;
  /** Sent by the client while the server did not read. */
  #undelivered: Buffer[] = [];
  #paused = false;
  #needsDrain = false;
  #onFinish: (() => void)[] = [];
  #ended = false;
  #destroyed = false;

  /** The same object, as the server is to take it. */
  get asSocket(): Socket {
    return this as unknown as Socket;
  }

  // What the server uses.

  get writable(): boolean {
    return !this.#ended && !this.#destroyed;
  }

  write(bytes: Buffer): boolean {
    if (!this.writable) throw new Error('written after the end');
    if (bytes.length > 0) this.#written.push(bytes);
    this.writableLength += bytes.length;
    const accepted = this.writableLength < highWaterMarkBytes;
    if (!accepted) this.#needsDrain = true;
    return accepted;
  }

  cork(): void {}
  uncork(): void {}
  setTimeout(): void {}

  end(onFinish: () => void): void {
    this.#ended = true;
    this.#onFinish.push(onFinish);
    this.#finishIfRead();
  }

  pause(): void {
    this.#paused = true;
    this.emit('pause');
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    process.nextTick(() => {
      while (!this.#paused && this.#undelivered.length > 0) this.deliver(this.#undelivered.shift()!);
    });
  }

  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#undelivered = [];
    this.#finish();
    process.nextTick(() => this.emit('close'));
  }

  // What the client does.

  get destroyed(): boolean {
    return this.#destroyed;
  }

  /** The server has ended its side, and the client has read all of it. */
  get over(): boolean {
    return this.#destroyed || (this.#ended && this.writableLength === 0);
  }

  /** The bytes must not change any more. */
  deliver(bytes: Buffer): void {
    if (this.#destroyed) return;
    if (this.#paused) this.#undelivered.push(bytes);
    else this.emit('data', bytes);
  }

  /** What the server has written, up to so many bytes. */
  read(bytesMax = Number.POSITIVE_INFINITY): Buffer[] {
    const chunks: Buffer[] = [];
    let left = bytesMax;
    while (left > 0 && this.#written.length > 0) {
      const first = this.#written[0]!;
      const chunk = first.subarray(this.#readOffset, this.#readOffset + Math.min(left, first.length));
      chunks.push(chunk);
      left -= chunk.length;
      this.#readOffset += chunk.length;
      this.writableLength -= chunk.length;
      if (this.#readOffset < first.length) break;
      this.#written.shift();
      this.#readOffset = 0;
    }
    if (this.writableLength === 0 && this.#needsDrain && !this.#destroyed) {
      this.#needsDrain = false;
      process.nextTick(() => this.emit('drain'));
    }
    this.#finishIfRead();
    return chunks;
  }

  /** The client has sent everything it will. */
  sendEnd(): void {
    if (!this.#destroyed) this.emit('end');
  }

  /** The connection breaks. */
  breakOff(): void {
    if (this.#destroyed) return;
    this.emit('error', new Error('read ECONNRESET'));
    this.destroy();
  }

  #finishIfRead(): void {
    if (this.#ended && this.writableLength === 0) this.#finish();
  }

  /** Node calls back in any case, also where nothing was read. */
  #finish(): void {
    for (const onFinish of this.#onFinish.splice(0)) process.nextTick(onFinish);
  }
}
