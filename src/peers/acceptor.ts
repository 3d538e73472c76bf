/**
 * The other ends of links: replicas that follow this one. Each is told of every batch that is committed here, unless it does not
 * keep up (then it finds the gap, and reads the log), and has its writes made.
 */
import { randomBytes } from 'node:crypto';
import type { ForwardAnswer, ForwardRequest } from '../mvcc/forwarder.ts';
import { type Call, Code, RpcError, type ServerStream, type StreamMethod } from '../transport/rpc.ts';
import { decodeFrames, encodePush, FrameQueue } from './frames.ts';
import {
  decodeHandshake,
  encodeHandshake,
  type Hello,
  helloFields,
  isProof,
  type Proof,
  proofFields,
  protocolVersion,
  prove,
} from './handshake.ts';
import { acceptTimeoutMs, linkBeatMs, linkMessageBytesMax, linksMax, unreadAnswerBytesMax } from './limits.ts';

export interface AcceptorOptions {
  /** The replica id of this process. */
  readonly self: string;
  /** The largest message that the transport takes. */
  readonly messageBytesMax: number;
  secret(): Uint8Array | undefined;
  /** What executes the requests of one replica, and answers each once. */
  performer(from: string): (request: ForwardRequest, answer: (answer: ForwardAnswer) => void) => void;
  /** A replica has proved itself; `entry` is what it would tell the directory. */
  onLinked(from: string, entry: Uint8Array): void;
}

interface Follower {
  readonly stream: ServerStream;
  /** All that one commit has answered leaves together, in the same write as the push of its batch before it. */
  readonly answers: FrameQueue;
  /** Answers that wait until the follower reads. */
  waiting: Buffer[];
  waitingBytes: number;
  ended: boolean;
}

export class Acceptor {
  readonly #options: AcceptorOptions;
  readonly #followers = new Set<Follower>();
  #streams = 0;
  #beat: NodeJS.Timeout | undefined;
  /** Batches that a follower was not told of because it did not keep up. */
  dropped = 0;

  constructor(options: AcceptorOptions) {
    this.#options = options;
  }

  get followers(): number {
    return this.#followers.size;
  }

  push(slot: number, id: string, data: Uint8Array): void {
    if (this.#followers.size === 0) return;
    const frame = encodePush(slot, id, data);
    for (const { stream } of this.#followers) {
      if (stream.writable) stream.write(frame);
      else this.dropped++;
    }
  }

  readonly method: StreamMethod = {
    kind: 'bidi',
    handle: async (stream, call) => {
      if (this.#streams >= linksMax) throw new RpcError(Code.RESOURCE_EXHAUSTED, `more than ${linksMax} links`);
      this.#streams++;
      try {
        const from = await this.#handshake(stream, call);
        if (from !== undefined) await this.#serve(from, stream);
      } finally {
        this.#streams--;
      }
    },
  };

  /** The id of the replica at the other end; undefined: it went. */
  async #handshake(stream: ServerStream, call: Call): Promise<string | undefined> {
    const timer = new Promise<undefined>((resolve) => {
      setTimeout(() => resolve(undefined), acceptTimeoutMs).unref();
    });
    const next = async (): Promise<Uint8Array | undefined> => {
      const read = await Promise.race([stream.read(), timer]);
      if (read === undefined && !call.signal.aborted) throw refused('the handshake was not finished');
      return read;
    };
    const helloBytes = await next();
    if (helloBytes === undefined) return undefined;
    const hello = understood(() => decodeHandshake<Hello>(helloBytes, helloFields));
    const secret = this.#options.secret();
    if (secret === undefined) throw new RpcError(Code.UNAVAILABLE, 'plinth: the replica is starting');
    if (hello.protocol !== protocolVersion) throw refused(`protocol ${hello.protocol}, this is ${protocolVersion}`);
    if (hello.to !== this.#options.self) throw refused('another replica answers at this address');
    if (!/^[0-9a-f]{16}$/.test(hello.from)) throw refused('not the id of a replica');
    const nonce = randomBytes(16).toString('hex');
    const { messageBytesMax } = this.#options;
    stream.write(encodeHandshake({ nonce, proof: prove(secret, 'acceptor', hello, nonce), messageBytesMax }));
    const proofBytes = await next();
    if (proofBytes === undefined) return undefined;
    const { proof, entry } = understood(() => decodeHandshake<Proof>(proofBytes, proofFields));
    if (!isProof(prove(secret, 'dialer', hello, nonce), proof)) {
      throw new RpcError(Code.UNAUTHENTICATED, 'plinth: this replica does not know the secret of the keyspace');
    }
    this.#options.onLinked(hello.from, Buffer.from(entry));
    return hello.from;
  }

  async #serve(from: string, stream: ServerStream): Promise<void> {
    const answers = new FrameQueue((message) => this.#answer(follower, message), queueMicrotask);
    const follower: Follower = { stream, answers, waiting: [], waitingBytes: 0, ended: false };
    const perform = this.#options.performer(from);
    this.#followers.add(follower);
    this.#beat ??= setInterval(() => this.#beats(), linkBeatMs);
    stream.write(Buffer.alloc(0));
    try {
      for (let message = await stream.read(); message !== undefined; message = await stream.read()) {
        if (follower.ended) return;
        for (const frame of understood(() => decodeFrames(message as Buffer))) {
          if (frame.kind !== 'forward') continue;
          const { sequence } = frame.payload;
          perform(frame.payload, (answer) => {
            const taken = answers.add({ kind: 'answer', payload: [sequence, answer] }, linkMessageBytesMax);
            if (!taken) this.#end(follower);
          });
        }
      }
    } finally {
      this.#end(follower);
    }
  }

  /** It is told nothing any more, so it gives the link up, if it has not yet. */
  #end(follower: Follower): void {
    follower.ended = true;
    follower.waiting = [];
    this.#followers.delete(follower);
    if (this.#followers.size > 0) return;
    clearInterval(this.#beat);
    this.#beat = undefined;
  }

  #beats(): void {
    for (const { stream } of this.#followers) if (stream.writable) stream.write(Buffer.alloc(0));
  }

  #answer(follower: Follower, message: Buffer): void {
    if (follower.ended) return;
    if (follower.waiting.length === 0 && follower.stream.writable) {
      follower.stream.write(message);
      return;
    }
    follower.waiting.push(message);
    follower.waitingBytes += message.length;
    if (follower.waitingBytes > unreadAnswerBytesMax) this.#end(follower);
    else if (follower.waiting.length === 1) void this.#drain(follower);
  }

  async #drain(follower: Follower): Promise<void> {
    while (follower.waiting.length > 0 && !follower.ended) {
      await follower.stream.drained();
      for (let message = follower.waiting[0]; message !== undefined; message = follower.waiting[0]) {
        if (!follower.stream.writable) break;
        follower.waiting.shift();
        follower.waitingBytes -= message.length;
        follower.stream.write(message);
      }
    }
  }
}

function refused(reason: string): RpcError {
  return new RpcError(Code.FAILED_PRECONDITION, `plinth: no link: ${reason}`);
}

function understood<T>(decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    throw new RpcError(Code.INVALID_ARGUMENT, `plinth: ${(error as Error).message}`);
  }
}
