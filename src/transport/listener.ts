/**
 * Takes connections on client URLs, plain or with TLS, and decides who serves them: by what was agreed on in the TLS handshake
 * (ALPN), else by the first bytes. The HTTP/2 preface goes to gRPC, all else to HTTP/1.1.
 */
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import net from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { ListenAddress } from './address.ts';
import { preface } from './http2/frame.ts';
import { createTlsServer, type TlsOptions } from './tls.ts';

export interface ListenerOptions {
  /** Serves a connection that speaks HTTP/2; absent: HTTP/1.1 only. */
  readonly grpc?: (socket: net.Socket) => void;
  readonly http: (socket: net.Socket) => void;
  /** A connection whose first bytes do not tell in this time is closed. */
  readonly detectionTimeoutMs: number;
  /** For addresses with TLS. */
  readonly tls?: TlsOptions | undefined;
  /** A connection could not be accepted (no file descriptors left …). The listener goes on. */
  readonly onError: (error: Error) => void;
}

const socketOptions = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 };

export class Listener {
  readonly #options: ListenerOptions;
  readonly #servers: net.Server[] = [];
  readonly #undecided = new Set<net.Socket>();
  #closed = false;

  constructor(options: ListenerOptions) {
    this.#options = options;
  }

  /** Binds one address and returns it with the port that it really got. Rejects with the system's error (EADDRINUSE …). */
  async listen(address: ListenAddress): Promise<ListenAddress> {
    const server = address.tls
      ? this.#tlsServer()
      : net.createServer(socketOptions, (socket) => this.#accept(socket, undefined));
    if (address.kind === 'unix') {
      await removeDeadSocket(address.path);
      // Only this user may connect: there is no other protection on a socket file.
      const mask = process.umask(0o177);
      server.listen({ path: address.path });
      process.umask(mask);
    } else {
      server.listen({ host: address.host, port: address.port });
    }
    await once(server, 'listening');
    server.on('error', this.#options.onError);
    this.#servers.push(server);
    return address.kind === 'unix' ? address : { ...address, port: (server.address() as net.AddressInfo).port };
  }

  #tlsServer(): net.Server {
    const { grpc, tls } = this.#options;
    if (tls === undefined) throw new Error('there is no certificate for it');
    const server = createTlsServer(tls, grpc ? ['h2', 'http/1.1'] : ['http/1.1'], socketOptions);
    server.on('secureConnection', (socket: TLSSocket) => {
      if (this.#closed) socket.destroy();
      else this.#accept(socket, socket.alpnProtocol || undefined);
    });
    return server;
  }

  /**
   * Stops accepting and drops connections that are not decided yet, those in the middle of a TLS handshake when it is over. Those
   * handed over belong to who serves them.
   */
  close(): void {
    this.#closed = true;
    for (const server of this.#servers) server.close();
    for (const socket of this.#undecided) socket.destroy();
  }

  /** `protocol`: what a TLS handshake has agreed on. */
  #accept(socket: net.Socket, protocol: string | undefined): void {
    const { grpc, http } = this.#options;
    if (!grpc || protocol === 'http/1.1') {
      http(socket);
      return;
    }
    if (protocol === 'h2') {
      grpc(socket);
      return;
    }
    const undecided = this.#undecided;
    let head: Buffer = Buffer.alloc(0);
    const timer = setTimeout(() => socket.destroy(), this.#options.detectionTimeoutMs);
    undecided.add(socket);
    socket.on('readable', decide);
    socket.on('error', ignore);
    socket.on('end', drop);
    socket.on('close', forget);

    function decide(): void {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
      const compared = Math.min(head.length, preface.length);
      const isHttp2 = head.compare(preface, 0, compared, 0, compared) === 0;
      if (isHttp2 && compared < preface.length) return;
      forget();
      socket.off('readable', decide);
      socket.off('end', drop);
      socket.off('close', forget);
      socket.unshift(head);
      (isHttp2 ? grpc! : http)(socket);
      socket.off('error', ignore);
    }

    /** The client hung up before it said anything. */
    function drop(): void {
      socket.destroy();
    }

    function forget(): void {
      clearTimeout(timer);
      undecided.delete(socket);
    }
  }
}

function ignore(): void {}

/** A socket file that a killed process left behind would make binding fail; one that somebody listens on stays. */
async function removeDeadSocket(path: string): Promise<void> {
  const probe = net.connect({ path });
  try {
    await once(probe, 'connect');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') rmSync(path, { force: true });
  } finally {
    probe.destroy();
  }
}
