/**
 * What goes out on one connection. Everything that one cause writes, on all streams, leaves in one write to the socket: the answers
 * to what was read in one piece, those to all requests of one commit, the events of one round of the watchers. Small pieces are copied
 * behind one another, large ones are only referred to.
 */
import type { Socket } from 'node:net';
import { copyBytes } from '../../proto/wire.ts';
import { SocketWriter } from './socket-writer.ts';

/** Small pieces are collected in buffers of this size. */
const slabBytes = 16 * 1024;
/** From this size on a piece is not copied. */
const referencedBytesMin = 4 * 1024;
/**
 * With more than this waiting for the peer to read, DATA frames stay in their streams. More than one piece has (a slab, or what is of one
 * DATA frame): of so much the socket tells that it has gone, even if it never had to wait.
 */
const congestedBytes = 256 * 1024;

/** Outputs that have something to flush; all are flushed when the callback that runs now, and all promises that it settles, are done. */
let dirty: Output[] = [];

function flushAll(): void {
  const outputs = dirty;
  dirty = [];
  for (const output of outputs) output.flush();
}

export class Output {
  readonly #writer: SocketWriter;
  /** What is written, in order, without the open end of the slab. */
  #segments: Buffer[] = [];
  #segmentBytes = 0;
  #slab: Buffer = Buffer.alloc(0);
  #slabStart = 0;
  #slabEnd = 0;
  #scheduled = false;

  /** `onDrain`: the peer has read, so that what stayed in the streams may go on. */
  constructor(socket: Socket, onDrain: () => void) {
    this.#writer = new SocketWriter(socket, onDrain);
  }

  /** Written here and not taken by the operating system yet. */
  get bufferedBytes(): number {
    return this.#segmentBytes + this.#slabEnd - this.#slabStart + this.#writer.bufferedBytes;
  }

  get congested(): boolean {
    return this.bufferedBytes >= congestedBytes;
  }

  /**
   * Makes room for `length` bytes, at most `slabBytes`, in one buffer, which the caller fills: from `position` on in `slab`.
   * Nothing else is written before that is done.
   */
  reserve(length: number): number {
    if (this.#slab.length - this.#slabEnd < length) {
      this.#closeSlab();
      this.#slab = Buffer.allocUnsafeSlow(slabBytes);
      this.#slabStart = 0;
      this.#slabEnd = 0;
    }
    const position = this.#slabEnd;
    this.#slabEnd += length;
    this.#schedule();
    return position;
  }

  get slab(): Buffer {
    return this.#slab;
  }

  /** The caller is going to flush: nothing else has to. */
  collect(): void {
    this.#scheduled = true;
  }

  /** The bytes must not change any more. */
  write(bytes: Uint8Array): void {
    if (bytes.length < referencedBytesMin) {
      const position = this.reserve(bytes.length);
      copyBytes(bytes, this.#slab, position);
      return;
    }
    this.#closeSlab();
    this.#segments.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
    this.#segmentBytes += bytes.length;
    this.#schedule();
  }

  flush(): void {
    this.#scheduled = false;
    this.#closeSlab();
    const segments = this.#segments;
    if (segments.length === 0) return;
    this.#segments = [];
    this.#segmentBytes = 0;
    this.#writer.write(segments);
    // The usual case: the operating system has taken it all, and the slab can be filled anew.
    if (this.#writer.bufferedBytes > 0) return;
    this.#slabStart = 0;
    this.#slabEnd = 0;
  }

  #closeSlab(): void {
    if (this.#slabEnd === this.#slabStart) return;
    this.#segments.push(this.#slab.subarray(this.#slabStart, this.#slabEnd));
    this.#segmentBytes += this.#slabEnd - this.#slabStart;
    this.#slabStart = this.#slabEnd;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    if (dirty.push(this) === 1) process.nextTick(flushAll);
  }
}
