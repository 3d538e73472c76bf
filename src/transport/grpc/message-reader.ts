/** Length-prefixed messages (gRPC over HTTP/2) out of DATA that is cut anywhere: one byte of compression, four of length, the message. */
export const prefixBytes = 5;

const nothing: Buffer = Buffer.alloc(0);

export interface MessageSink {
  message(bytes: Buffer, compressed: boolean): void;
  /** A longer one is announced than allowed; nothing else comes after. */
  tooLong(bytes: number): void;
}

export class MessageReader {
  /** A longer one is not taken. May change between two messages. */
  bytesMax: number;
  readonly #prefix = Buffer.allocUnsafe(prefixBytes);
  #prefixFilled = 0;
  #length = 0;
  #body = nothing;
  #filled = 0;
  readonly #atOnceBytes: number;

  /** `atOnceBytes`: the memory of a message that is no longer is taken when it begins. For senders that are known. */
  constructor(bytesMax: number, atOnceBytes = 0) {
    this.bytesMax = bytesMax;
    this.#atOnceBytes = atOnceBytes;
  }

  /** In the middle of a message. */
  get partial(): boolean {
    return this.#prefixFilled > 0;
  }

  push(bytes: Buffer, start: number, end: number, sink: MessageSink): void {
    for (let at = start; at < end; ) {
      if (this.#prefixFilled < prefixBytes) {
        const copied = bytes.copy(this.#prefix, this.#prefixFilled, at, end);
        at += copied;
        this.#prefixFilled += copied;
        if (this.#prefixFilled < prefixBytes) return;
        this.#length = this.#prefix.readUInt32BE(1);
        if (this.#length > this.bytesMax) {
          sink.tooLong(this.#length);
          return;
        }
        this.#filled = 0;
      }
      const taken = Math.min(this.#length - this.#filled, end - at);
      this.#reserve(this.#filled + taken);
      bytes.copy(this.#body, this.#filled, at, at + taken);
      this.#filled += taken;
      at += taken;
      if (this.#filled === this.#length) this.#finish(sink);
    }
  }

  /** Memory follows what has come, not what was announced: beyond what is taken at once it is at most twice as much. */
  #reserve(bytes: number): void {
    if (bytes <= this.#body.length) return;
    const size = Math.max(bytes, 2 * this.#body.length, this.#atOnceBytes);
    const larger = Buffer.allocUnsafe(Math.min(this.#length, size));
    this.#body.copy(larger, 0, 0, this.#filled);
    this.#body = larger;
  }

  #finish(sink: MessageSink): void {
    const body = this.#body;
    // A stream that goes on without a message for hours does not keep its last one.
    this.#body = nothing;
    this.#prefixFilled = 0;
    sink.message(body, this.#prefix[0] !== 0);
  }
}
