/** What the fuzzer calls: methods that answer at once or some turns later, fail, read and write streams, or never come to an end. */
import { type Code, type Method, type Methods, RpcError, type ServerStream } from '../../src/transport/rpc.ts';

/** What a handler throws on purpose without being an RpcError. */
export const bug = new Error('a handler with a bug');

/** Bytes that say where they are: a reply is a part of it, from its beginning on. */
export const pattern = Buffer.from(Uint8Array.from({ length: 512 * 1024 }, (_, i) => i ^ (i >>> 8) ^ (i >>> 16)));

/** Metadata of this many bytes needs CONTINUATION. */
const longValueBytesMax = 40_000;
const pouredMessagesMax = 40;
const pouredBytesMax = 3000;
const turnsMax = 4;

/** Lets handlers wait for turns of the driver, which counts them in the order of the seed. */
export class Turns {
  #waiting: { left: number; readonly resolve: () => void }[] = [];

  wait(turns: number): Promise<void> {
    return new Promise((resolve) => this.#waiting.push({ left: turns, resolve }));
  }

  next(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const entry of waiting) {
      if (--entry.left > 0) this.#waiting.push(entry);
      else entry.resolve();
    }
  }
}

/** Numbers out of a request, whatever has become of it: 0 where it has no byte. */
export function byteOf(request: Uint8Array, at: number): number {
  return request[at] ?? 0;
}

export function numberOf(request: Uint8Array, at: number): number {
  return byteOf(request, at) | (byteOf(request, at + 1) << 8) | (byteOf(request, at + 2) << 16);
}

export function largeBytes(request: Uint8Array): number {
  return numberOf(request, 0) % pattern.length;
}

export function poured(request: Uint8Array): { readonly messages: number; readonly bytes: number } {
  return { messages: byteOf(request, 0) % pouredMessagesMax, bytes: numberOf(request, 1) % pouredBytesMax };
}

export function failure(request: Uint8Array): { readonly code: Code; readonly text: string } {
  const code = (1 + (byteOf(request, 0) % 16)) as Code;
  return { code, text: Buffer.from(request.subarray(1, 40)).toString('latin1') };
}

export function methodsFor(turns: Turns): Methods {
  const late = (request: Uint8Array): Promise<void> => turns.wait(1 + (byteOf(request, 0) % turnsMax));
  const methods: Record<string, Method> = {
    Echo: { kind: 'unary', handle: (request) => request },
    Late: {
      kind: 'unary',
      async handle(request) {
        await late(request);
        return request;
      },
    },
    Fail: {
      kind: 'unary',
      handle(request) {
        const { code, text } = failure(request);
        throw new RpcError(code, text);
      },
    },
    FailLate: {
      kind: 'unary',
      async handle(request) {
        await late(request);
        const { code, text } = failure(request);
        throw new RpcError(code, text);
      },
    },
    Bug: {
      kind: 'unary',
      handle() {
        throw bug;
      },
    },
    Large: {
      kind: 'unary',
      handle(request) {
        const bytes = largeBytes(request);
        const middle = Math.min(bytes, byteOf(request, 3) * 16);
        return [pattern.subarray(0, middle), pattern.subarray(middle, bytes)];
      },
    },
    Metadata: {
      kind: 'unary',
      handle(request, call) {
        const [first] = call.allMetadata();
        const value = pattern.toString('hex', 0, numberOf(request, 0) % longValueBytesMax);
        if (byteOf(request, 3) % 2 === 0) call.addInitialMetadata('fuzz-initial', first?.[0] ?? 'none');
        if (byteOf(request, 3) % 3 === 0) call.addInitialMetadata('fuzz-long-bin', Buffer.from(value));
        if (byteOf(request, 3) % 5 === 0) call.addTrailingMetadata('fuzz-trailing', value);
        return request;
      },
    },
    /** Until the client gives up, or for some turns. */
    Wait: {
      kind: 'unary',
      async handle(request, { signal }) {
        const aborted = new Promise<void>((resolve) => {
          if (signal.aborted) resolve();
          else signal.addEventListener('abort', () => resolve(), { once: true });
        });
        await Promise.race([aborted, turns.wait(4 * turnsMax)]);
        signal.throwIfAborted();
        return request;
      },
    },
    Chat: {
      kind: 'bidi',
      async handle(stream) {
        for (let message = await stream.read(); message !== undefined; message = await stream.read()) {
          await put(stream, message);
        }
      },
    },
    Pour: {
      kind: 'server-stream',
      async handle(stream) {
        const request = (await stream.read()) ?? new Uint8Array();
        const { messages, bytes } = poured(request);
        const patient = byteOf(request, 0) >= 128;
        for (let i = 0; i < messages; i++) {
          if (patient) await put(stream, pattern.subarray(0, bytes));
          else stream.write(pattern.subarray(0, bytes));
        }
      },
    },
    /** Lets the client's messages pile up. */
    Deaf: {
      kind: 'bidi',
      async handle(stream) {
        await turns.wait(turnsMax);
        while ((await stream.read()) !== undefined) await turns.wait(1);
      },
    },
    /** Ends before the client does. */
    Curt: {
      kind: 'bidi',
      async handle(stream) {
        stream.write(pattern.subarray(0, 10));
      },
    },
  };
  return new Map(Object.entries(methods).map(([name, method]) => [pathOf(name), method]));
}

export function pathOf(name: string): string {
  return `/fuzz.Fuzz/${name}`;
}

async function put(stream: ServerStream, message: Uint8Array): Promise<void> {
  if (!stream.write(message)) await stream.drained();
}
