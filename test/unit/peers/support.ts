/** Ends of links that the test holds in its own hands, over a real server on a socket. */
import type * as grpc from '@grpc/grpc-js';
import type { Test } from 'tap';
import type { ForwardRequest } from '../../../src/mvcc/forwarder.ts';
import { Acceptor, type AcceptorOptions } from '../../../src/peers/acceptor.ts';
import { decodeFrames, encodePush, type Frame, FrameQueue } from '../../../src/peers/frames.ts';
import {
  decodeHandshake,
  encodeHandshake,
  type Hello,
  protocolVersion,
  prove,
  type Welcome,
  welcomeFields,
} from '../../../src/peers/handshake.ts';
import { linkPath } from '../../../src/peers/limits.ts';
import type { ServerStream, StreamMethod } from '../../../src/transport/rpc.ts';
import { type Fixture, type Start, start } from '../transport/grpc-support.ts';

export const secret = Buffer.alloc(32, 1);
/** Replica ids. */
export const [here, there] = ['a'.repeat(16), 'b'.repeat(16)] as [string, string];
export const messageBytesMax = 1024 * 1024;

export interface AcceptorFixture extends Fixture {
  readonly acceptor: Acceptor;
  /** Who asked for what. */
  readonly performed: (readonly [from: string, request: ForwardRequest])[];
  readonly linked: (readonly [from: string, entry: string])[];
}

/** An acceptor with the id `here` that answers each request with `again`. */
export async function startAcceptor(
  t: Test,
  options: Partial<AcceptorOptions> = {},
  begin: Start = start,
): Promise<AcceptorFixture> {
  const performed: (readonly [string, ForwardRequest])[] = [];
  const linked: (readonly [string, string])[] = [];
  const acceptor = new Acceptor({
    self: here,
    messageBytesMax,
    secret: () => secret,
    performer: (from) => (request, answer) => {
      performed.push([from, request]);
      answer({ kind: 'again' });
    },
    onLinked: (from, entry) => linked.push([from, Buffer.from(entry).toString()]),
    ...options,
  });
  const fixture = await begin(t, { [linkPath]: acceptor.method }, { receivedMessageBytesMax: messageBytesMax });
  return { ...fixture, acceptor, performed, linked };
}

/** The dialing end of a link, one message at a time. */
export class Caller {
  readonly stream: grpc.ClientDuplexStream<Buffer, Buffer>;
  readonly status: Promise<Pick<grpc.StatusObject, 'code' | 'details'>>;
  readonly #messages: Buffer[] = [];
  #wake = (): void => {};
  #ended = false;

  constructor({ bidi }: Fixture) {
    this.stream = bidi(linkPath);
    this.stream.on('error', () => {});
    this.stream.on('data', (message: Buffer) => {
      this.#messages.push(message);
      this.#wake();
    });
    this.status = new Promise((resolve) => {
      this.stream.on('status', ({ code, details }: grpc.StatusObject) => {
        this.#ended = true;
        this.#wake();
        resolve({ code, details });
      });
    });
  }

  send(message: Uint8Array): void {
    this.stream.write(Buffer.from(message));
  }

  /** The next message; undefined: the link has ended. */
  async next(): Promise<Buffer | undefined> {
    for (;;) {
      const message = this.#messages.shift();
      if (message !== undefined || this.#ended) return message;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** The next message that has a frame: signs of life are passed over. */
  async nextFrames(): Promise<Frame[]> {
    for (;;) {
      const message = await this.next();
      if (message === undefined) throw new Error('the link has ended');
      const frames = decodeFrames(message);
      if (frames.length > 0) return frames;
    }
  }

  /** Says hello, and what comes back. */
  async greet(hello: Partial<Hello> = {}): Promise<{ hello: Hello; welcome: Welcome }> {
    const full: Hello = { ...helloOf(), ...hello };
    this.send(encodeHandshake(full));
    const welcome = decodeHandshake<Welcome>((await this.next()) as Buffer, welcomeFields);
    return { hello: full, welcome };
  }

  /** A link, as it should be. */
  static async linked(fixture: Fixture, from = there): Promise<Caller> {
    const caller = new Caller(fixture);
    const { hello, welcome } = await caller.greet({ from });
    caller.send(encodeHandshake({ proof: prove(secret, 'dialer', hello, welcome.nonce), entry: 'entry' }));
    const first = await caller.next();
    if (first === undefined) throw new Error(`no link: ${JSON.stringify(await caller.status)}`);
    return caller;
  }
}

export const helloOf = (): Hello => ({ protocol: protocolVersion, from: there, to: here, nonce: 'nonce' });

/** A message that is this frame alone. */
export function encodeFrame(frame: Frame): Buffer {
  if (frame.kind === 'push') return Buffer.concat(encodePush(...frame.payload));
  let message: Buffer = Buffer.alloc(0);
  const queue = new FrameQueue(
    (sent) => {
      message = sent;
    },
    () => {},
  );
  queue.add(frame, Number.POSITIVE_INFINITY);
  queue.flush();
  return message;
}

export const forwardFrame = (request: ForwardRequest): Buffer => encodeFrame({ kind: 'forward', payload: request });

/** The accepting end, written by the test. */
export function accepting(handle: (stream: ServerStream) => Promise<void>): StreamMethod {
  return { kind: 'bidi', handle };
}
