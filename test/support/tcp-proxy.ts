/**
 * Stands between a client and servers, and breaks the network on demand. With several targets each connection goes to the next
 * one that takes it.
 */

import type { AddressInfo } from 'node:net';
import net from 'node:net';

/** `pass`; `cut`: every connection is reset, new ones too; `hole`: nothing gets through, and nobody is told. */
export type ProxyMode = 'pass' | 'cut' | 'hole';

export class TcpProxy {
  mode: ProxyMode = 'pass';
  /** What comes back from the server waits for so long. */
  delayMs = 0;
  /** Connections made so far. */
  connections = 0;
  readonly #targets: readonly string[];
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();

  private constructor(targets: readonly string[]) {
    this.#targets = targets;
    this.#server = net.createServer((client) => this.#serve(client));
  }

  /** `targets`: host:port */
  static async start(...targets: string[]): Promise<TcpProxy> {
    const proxy = new TcpProxy(targets);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    proxy.#server.unref();
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get endpoint(): string {
    return `127.0.0.1:${this.port}`;
  }

  #serve(client: net.Socket): void {
    this.#keep(client);
    if (this.mode === 'cut') {
      reset(client);
      return;
    }
    this.#connect(client, this.connections++, this.#targets.length);
  }

  #connect(client: net.Socket, turn: number, attempts: number): void {
    const target = this.#targets[turn % this.#targets.length] as string;
    const [host, port] = target.split(':') as [string, string];
    const server = net.connect(Number(port), host);
    this.#keep(server);
    let connected = false;
    server.once('close', () => {
      if (connected) return;
      if (attempts > 1 && !client.destroyed) this.#connect(client, turn + 1, attempts - 1);
      else reset(client);
    });
    server.once('connect', () => {
      connected = true;
      // It may have gone while this took its time.
      if (client.destroyed) {
        server.destroy();
        return;
      }
      this.#pump(client, server, () => 0);
      this.#pump(server, client, () => this.delayMs);
    });
  }

  #keep(socket: net.Socket): void {
    socket.setNoDelay(true);
    // It never is what keeps a test from ending.
    socket.unref();
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
  }

  #pump(from: net.Socket, to: net.Socket, delayMs: () => number): void {
    from.on('data', (bytes) => {
      if (this.mode === 'hole') return;
      const wait = delayMs();
      if (wait > 0) setTimeout(() => to.write(bytes), wait);
      else if (!to.write(bytes)) {
        from.pause();
        to.once('drain', () => from.resume());
      }
    });
    from.on('close', () => to.destroy());
    from.on('end', () => to.end());
  }

  /** Resets every connection there is, once. */
  cut(): void {
    for (const socket of this.#sockets) reset(socket);
  }

  /** From now on. What went into a hole is lost: the connections of that time are reset when it closes. */
  set(mode: ProxyMode): void {
    const lost = this.mode === 'hole' && mode === 'pass';
    this.mode = mode;
    if (mode === 'cut' || lost) this.cut();
  }

  close(): void {
    this.mode = 'cut';
    this.cut();
    this.#server.close();
  }
}

/** A socket that is being shut down cannot be reset: Node would keep it for ever, and the process from ending. */
function reset(socket: net.Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
