/** URLs that are listened on: `http://127.0.0.1:2379`, `http://[::]:2379`, `unix:///run/plinth.sock`. */
import { isIP } from 'node:net';

export type ListenAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** Throws an Error whose message says what is wrong with the URL. */
export function parseListenUrl(text: string): ListenAddress {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase();
  switch (scheme) {
    case 'unix': {
      const path = text.slice('unix://'.length);
      if (path === '') throw new Error(`URL has no path of a socket: ${text}`);
      return { kind: 'unix', path };
    }
    case 'http':
      return parseTcp(text);
    case 'https':
    case 'unixs':
      throw new Error(`TLS is not supported yet, use http or unix: ${text}`);
    default:
      throw new Error(`URL scheme must be http or unix: ${text}`);
  }
}

function parseTcp(text: string): ListenAddress {
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
  if (host === 'localhost') return { kind: 'tcp', host: '127.0.0.1', port: Number(port) };
  if (isIP(host) === 0) throw new Error(`expected an IP address or localhost in a URL to listen on: ${text}`);
  return { kind: 'tcp', host, port: Number(port) };
}

export function formatListenUrl(address: ListenAddress): string {
  if (address.kind === 'unix') return `unix://${address.path}`;
  return `http://${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
}

/** True for 0.0.0.0 and [::]: a listener there is reachable, but nobody can dial the address itself. */
export function isWildcard(address: ListenAddress): boolean {
  return address.kind === 'tcp' && (address.host === '0.0.0.0' || address.host === '::');
}
