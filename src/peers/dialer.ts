/**
 * The link to one other replica, made by this one: over it come the batches which that replica commits, and go the writes that
 * it is asked to make. Broken, it is made again, until the replica is gone from the directory.
 */
import { randomBytes } from 'node:crypto';
import type { ForwardAnswer, ForwardRequest, Link } from '../mvcc/forwarder.ts';
import { ClientStream } from '../transport/grpc/client-stream.ts';
import { decodeFrames, FrameQueue } from './frames.ts';
import {
  decodeHandshake,
  encodeHandshake,
  type Hello,
  isProof,
  protocolVersion,
  prove,
  type Welcome,
  welcomeFields,
} from './handshake.ts';
import { handshakeBytesMax, linkMessageBytesMax, linkPath, linkSilentMs } from './limits.ts';

/** A link over which nothing came for so long is given up. */
const deadMs = 5000;
const redialPauseMs = { first: 100, last: 5000 };
/** Making a link, from the first byte to the welcome. */
const handshakeTimeoutMs = 5000;
/** Requests that wait for the network. Beyond that they are not forwarded. */
const unsentBytesMax = 32 * 1024 * 1024;

export interface DialerOptions {
  readonly from: string;
  readonly to: string;
  /** Tried one after the other. */
  readonly urls: readonly string[];
  /** PEM: by whom the certificate behind an https URL must be signed; undefined: by whom Node trusts. */
  readonly authorities?: Buffer | undefined;
  readonly secret: Uint8Array;
  /** This replica's own entry of the directory. */
  entry(): Uint8Array;
  onPush(slot: number, id: string, data: Uint8Array): void;
  onAnswer(sequence: number, answer: ForwardAnswer): void;
  onLost(): void;
  /** Why there is no link: once, until there was one. */
  warn(message: string): void;
}

export class Dialer implements Link {
  readonly #options: DialerOptions;
  /** What one turn of the event loop forwards leaves together. */
  readonly #requests = new FrameQueue((message) => this.#stream?.write(message), setImmediate);
  #stream: ClientStream | undefined;
  /** Both sides know each other. */
  #linked = false;
  #messageBytesMax = 0;
  #heardAtMs = Number.NEGATIVE_INFINITY;
  #attempts = 0;
  #pauseMs = redialPauseMs.first;
  #redial: NodeJS.Timeout | undefined;
  #watch: NodeJS.Timeout | undefined;
  #warned = false;
  #closed = false;

  constructor(options: DialerOptions) {
    this.#options = options;
    this.#dial();
  }

  /** Linked, and the other side gave a sign of life lately. */
  get alive(): boolean {
    return this.#linked && performance.now() - this.#heardAtMs < linkSilentMs;
  }

  get linked(): boolean {
    return this.#linked;
  }

  forward(request: ForwardRequest): boolean {
    const stream = this.#stream;
    if (stream === undefined || !this.#linked || stream.bufferedBytes > unsentBytesMax) return false;
    return this.#requests.add({ kind: 'forward', payload: request }, this.#messageBytesMax);
  }

  #dial(): void {
    const { from, to, urls } = this.#options;
    const url = urls[this.#attempts++ % urls.length] as string;
    try {
      this.#connect(url, from, to);
    } catch (error) {
      // No address. Others of that replica may be better, so it counts as one where nobody answers.
      this.#ended(url, error as Error);
    }
  }

  #connect(url: string, from: string, to: string): void {
    const hello: Hello = { protocol: protocolVersion, from, to, nonce: randomBytes(16).toString('hex') };
    let problem: Error | undefined;
    const stream = new ClientStream({
      url,
      path: linkPath,
      authorities: this.#options.authorities,
      messageBytesMax: handshakeBytesMax,
      onMessage: (message) => {
        try {
          this.#heardAtMs = performance.now();
          if (this.#linked) this.#received(message);
          else this.#welcomed(message, hello);
        } catch (error) {
          problem = error as Error;
          stream.cancel();
        }
      },
      onEnd: (error) => {
        clearTimeout(timeout);
        this.#ended(url, problem ?? error);
      },
    });
    const timeout = setTimeout(() => {
      if (this.#linked) return;
      problem = new Error(`no answer within ${handshakeTimeoutMs / 1000} s`);
      stream.cancel();
    }, handshakeTimeoutMs);
    this.#stream = stream;
    stream.write(encodeHandshake(hello));
  }

  #welcomed(message: Buffer, hello: Hello): void {
    const { secret, entry } = this.#options;
    const { nonce, proof, messageBytesMax } = decodeHandshake<Welcome>(message, welcomeFields);
    if (!isProof(prove(secret, 'acceptor', hello, nonce), proof)) {
      throw new Error('it does not know the secret of this keyspace');
    }
    const stream = this.#stream as ClientStream;
    stream.write(
      encodeHandshake({ proof: prove(secret, 'dialer', hello, nonce), entry: Buffer.from(entry()).toString() }),
    );
    this.#messageBytesMax = messageBytesMax;
    stream.messageBytesMax = linkMessageBytesMax;
    this.#linked = true;
    this.#pauseMs = redialPauseMs.first;
    this.#warned = false;
    this.#watch = setInterval(() => {
      if (performance.now() - this.#heardAtMs > deadMs) stream.cancel();
    }, linkSilentMs);
  }

  #received(message: Buffer): void {
    for (const frame of decodeFrames(message)) {
      if (frame.kind === 'push') this.#options.onPush(...frame.payload);
      else if (frame.kind === 'answer') this.#options.onAnswer(...frame.payload);
    }
  }

  #ended(url: string, error: Error | undefined): void {
    const linked = this.#linked;
    clearInterval(this.#watch);
    this.#stream = undefined;
    this.#linked = false;
    this.#requests.clear();
    if (linked) this.#options.onLost();
    if (this.#closed) return;
    if (!linked && !this.#warned) {
      this.#warned = true;
      this.#options.warn(`no link to the replica at ${url}: ${error?.message ?? 'it ended the link'}`);
    }
    this.#redial = setTimeout(() => this.#dial(), this.#pauseMs);
    this.#redial.unref();
    this.#pauseMs = Math.min(this.#pauseMs * 2, redialPauseMs.last);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#redial);
    this.#stream?.cancel();
  }
}
