/**
 * Stands before a server and lets what a client sends in quick succession arrive as one piece. h2spec writes frame by frame
 * and means them together: "HEADERS with END_STREAM, then DATA, must be a stream error" holds while the server has not
 * answered, and a server that answers at once may have closed the stream when the DATA comes. Then it depends on the
 * scheduler which tests fail.
 */
import { once } from 'node:events';
import net from 'node:net';

/** A burst is over when nothing has come for so long. h2spec waits for what it expects before it goes on. */
const quietMs = 20;

export class Bursts {
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();

  private constructor(port: number) {
    this.#server = net.createServer({ allowHalfOpen: true }, (client) => this.#serve(client, port));
  }

  static async start(port: number): Promise<Bursts> {
    const bursts = new Bursts(port);
    bursts.#server.listen(0, '127.0.0.1');
    await once(bursts.#server, 'listening');
    return bursts;
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #serve(client: net.Socket, port: number): void {
    const server = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    let held: Buffer[] = [];
    const send = (): void => {
      if (held.length > 0) server.write(Buffer.concat(held));
      held = [];
    };
    let quiet = setTimeout(send, quietMs);
    client.on('data', (bytes) => {
      held.push(bytes);
      clearTimeout(quiet);
      quiet = setTimeout(send, quietMs);
    });
    client.on('end', () => {
      clearTimeout(quiet);
      send();
      server.end();
    });
    server.pipe(client);
    this.#closeTogether(client, server);
    this.#closeTogether(server, client);
  }

  #closeTogether(socket: net.Socket, other: net.Socket): void {
    socket.setNoDelay(true);
    this.#sockets.add(socket);
    // What was received for the other is still delivered to it.
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#sockets.delete(socket);
      other.destroySoon();
    });
  }
}
