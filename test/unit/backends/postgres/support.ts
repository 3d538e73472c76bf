/** A proxy that stands between a storage and its database, and cuts connections where the test says so. */
import net from 'node:net';
import type { Test } from 'tap';
import { postgres } from '../../../../src/backends/postgres/backend.ts';
import type { Storage } from '../../../../src/registry/backend.ts';

/** `before`: what has this text is not passed on; `after`: it is, but the answer is not. In both cases the connection ends. */
export interface Cut {
  readonly text: string;
  readonly when: 'before' | 'after';
}

export interface Proxy {
  readonly port: number;
  /** For the next message with that text; undefined again when it has happened. */
  cut: Cut | undefined;
}

export async function startProxy(t: Test, target: number): Promise<Proxy> {
  const sockets = new Set<net.Socket>();
  const proxy: { port: number; cut: Cut | undefined } = { port: 0, cut: undefined };
  const server = net.createServer((client) => {
    const upstream = net.connect(target, '127.0.0.1');
    let silent = false;
    const end = () => {
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', end);
      socket.on('close', end);
    }
    client.on('data', (chunk) => {
      const cut = proxy.cut;
      if (cut && chunk.includes(cut.text)) {
        proxy.cut = undefined;
        if (cut.when === 'before') return end();
        silent = true;
      }
      upstream.write(chunk);
    });
    upstream.on('data', (chunk) => {
      if (silent) end();
      else client.write(chunk);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  proxy.port = (server.address() as net.AddressInfo).port;
  return proxy;
}

/** Closed when the test ends. */
export async function open(
  t: Test,
  url: string,
  options: readonly (readonly [string, number])[] = [],
  warn = (message: string): void => t.comment(message),
): Promise<Storage> {
  const given = new Map<string, string | number>([['postgres-url', url], ...options]);
  const storage = await postgres().build(given, { dataDir: '', keyspace: 'default', warn });
  t.teardown(() => storage.close());
  return storage;
}
