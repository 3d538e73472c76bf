/** Messages between rpc.ts and grpc-js. grpc-js copies a message once, behind its five-byte head: pieces go straight there. */
import { byteLength, type Message } from '../rpc.ts';

/** The two members that grpc-js uses of a serialized message. */
interface Serialized {
  readonly byteLength: number;
  copy(target: Buffer, offset: number): void;
}

/** For grpc-js, which wants a Buffer but only asks for its length and has it copied. */
export function serialize(message: Message): Buffer {
  if (Buffer.isBuffer(message)) return message;
  const pieces = message instanceof Uint8Array ? [message] : message;
  const serialized: Serialized = {
    byteLength: byteLength(message),
    copy(target, offset) {
      for (const piece of pieces) {
        target.set(piece, offset);
        offset += piece.byteLength;
      }
    },
  };
  return serialized as Buffer;
}

export function deserialize(bytes: Buffer): Buffer {
  return bytes;
}
