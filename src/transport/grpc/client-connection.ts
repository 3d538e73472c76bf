/** Opens the socket of a client: by TCP, TLS or a socket file, as the URL says. */
import net from 'node:net';
import tls from 'node:tls';

export interface ClientAddress {
  readonly secure: boolean;
  /** `host:port`, or `localhost` for a socket file, whose certificate must be for that. */
  readonly authority: string;
  readonly target: { readonly path: string } | { readonly host: string; readonly port: number };
}

/** Of `http://host:2379`, `https://host:2379`, `unix:///path` or `unixs:///path`. Throws an Error for what cannot be an address. */
export function clientAddress(text: string): ClientAddress {
  const [, scheme = '', rest = ''] = /^(https?|unixs?):\/\/(.+)$/.exec(text) ?? [];
  const secure = scheme === 'https' || scheme === 'unixs';
  if (scheme.startsWith('unix')) return { secure, authority: 'localhost', target: { path: rest } };
  const { hostname, port, host } = new URL(text);
  if (hostname === '' || scheme === '') throw new Error(`no address: ${text}`);
  // A URL has IPv6 addresses in brackets, and leaves out the usual port.
  const plainHost = hostname.replace(/^\[|\]$/g, '');
  return { secure, authority: host, target: { host: plainHost, port: Number(port) || (secure ? 443 : 80) } };
}

/** `authorities`: PEM, by whom the server's certificate must be signed; undefined: by whom Node trusts. */
export function connect({ secure, authority, target }: ClientAddress, authorities: Buffer | undefined): net.Socket {
  if (!secure) return net.connect({ ...target, noDelay: true });
  const name = 'path' in target ? authority : target.host;
  const socket = tls.connect({
    ...target,
    ...(authorities === undefined ? {} : { ca: authorities }),
    ...(net.isIP(name) ? {} : { servername: name }),
    ALPNProtocols: ['h2'],
    minVersion: 'TLSv1.2',
  });
  socket.setNoDelay(true);
  return socket;
}
