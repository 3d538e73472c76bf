/** URLs that are listened on: `http://127.0.0.1:2379`, `https://[::]:2379`, `unix:///run/plinth.sock`, `unixs://…`. */
import { isIP } from 'node:net';

export type ListenAddress = (
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string }
) & {
  /** https and unixs: connections begin with a TLS handshake. */
  readonly tls: boolean;
};

/** Throws an Error whose message says what is wrong with the URL. */
export function parseListenUrl(text: string): ListenAddress {
  const [start, scheme] = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text) ?? ['', ''];
  switch (scheme?.toLowerCase()) {
    case 'unix':
      return parseUnix(text, start, false);
    case 'unixs':
      return parseUnix(text, start, true);
    case 'http':
      return parseTcp(text, false);
    case 'https':
      return parseTcp(text, true);
    default:
      throw new Error(`URL scheme must be http, https, unix or unixs: ${text}`);
  }
}

function parseUnix(text: string, start: string, tls: boolean): ListenAddress {
  const path = text.slice(start.length);
  if (path === '') throw new Error(`URL has no path of a socket: ${text}`);
  return { kind: 'unix', path, tls };
}

function parseTcp(text: string, tls: boolean): ListenAddress {
  if (!URL.canParse(text)) throw new Error(`not a URL: ${text}`);
  const url = new URL(text);
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '')
    throw new Error(`URL must not have a path: ${text}`);
  if (url.username !== '' || url.password !== '') throw new Error('URL must not have a user name or password');
  // The URL class hides the scheme's default port, so look at what was typed.
  const port = /:(\d+)\/?$/.exec(text)?.[1];
  if (port === undefined) throw new Error(`URL address does not have the form "host:port": ${text}`);
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  // One address family, whatever the resolver prefers: clients that dial 127.0.0.1 must get through.
  if (host === 'localhost') return { kind: 'tcp', host: '127.0.0.1', port: Number(port), tls };
  if (isIP(host) === 0) throw new Error(`expected an IP address or localhost in a URL to listen on: ${text}`);
  return { kind: 'tcp', host, port: Number(port), tls };
}

export function formatListenUrl(address: ListenAddress): string {
  if (address.kind === 'unix') return `${address.tls ? 'unixs' : 'unix'}://${address.path}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `${address.tls ? 'https' : 'http'}://${host}:${address.port}`;
}

/** True for 0.0.0.0 and [::]: a listener there is reachable, but nobody can dial the address itself. */
export function isWildcard(address: ListenAddress): boolean {
  return address.kind === 'tcp' && (address.host === '0.0.0.0' || address.host === '::');
}
