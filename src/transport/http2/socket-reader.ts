/**
 * What comes from a socket, without what Node's streams do for each piece of it: a buffer of 64 KiB, an event, a callback of the next tick,
 * together a seventh of what a read of one key costs. Node can read into one buffer and call one function instead (`onread` of net.Socket),
 * but offers that only to who connects. For a socket that was accepted the same is set in its private members. Where another version of
 * Node lacks one of them, and with TLS, the server still works, with Node's own behaviour; a test notices.
 */
import type { Socket } from 'node:net';
import { isPlain } from './plain-socket.ts';

/** As much as Node asks the operating system for at once. */
const readBytesMax = 64 * 1024;
/** One for all sockets: what was read into it is done with before anything else is read. */
const buffer = Buffer.allocUnsafeSlow(readBytesMax);

interface PrivateParts {
  readonly _handle?: { useUserBuffer?(buffer: Uint8Array): void } | null;
  /** `kBuffer` and `kBufferCb`. */
  [member: symbol]: unknown;
}

/** Calls `take` with all that comes, in order. The bytes may change as soon as it returns. */
export function readSocket(socket: Socket, take: (bytes: Buffer) => void): void {
  let canReadDirectly = isPlain(socket);
  socket.on('data', (chunk: Buffer) => {
    take(chunk);
    // What was read before comes first. A socket that is paused now would go on to read.
    if (!canReadDirectly || socket.readableLength > 0 || socket.isPaused()) return;
    canReadDirectly = false;
    readDirectly(socket as unknown as PrivateParts, take);
  });
}

function readDirectly(socket: PrivateParts, take: (bytes: Buffer) => void): void {
  const handle = socket._handle;
  const target = memberOf(socket, 'kBuffer');
  const callback = memberOf(socket, 'kBufferCb');
  if (!handle?.useUserBuffer || target === undefined || callback === undefined) return;
  socket[target] = buffer;
  socket[callback] = (length: number): boolean => {
    take(buffer.subarray(0, length));
    return true;
  };
  handle.useUserBuffer(buffer);
}

function memberOf(socket: PrivateParts, name: string): symbol | undefined {
  return Object.getOwnPropertySymbols(socket).find(({ description }) => description === name);
}
