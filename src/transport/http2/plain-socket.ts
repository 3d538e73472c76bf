import { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/** Whether its bytes are those of the network: past its streams there is only the operating system. */
export function isPlain(socket: Socket): boolean {
  return socket instanceof Socket && !(socket instanceof TLSSocket);
}
