/** How TLS is spoken with clients: versions, ciphers and protocols, the same for all addresses. */
import tls from 'node:tls';

/** Both PEM; the certificate may have those of its issuers behind it. */
export interface TlsIdentity {
  readonly certificate: Buffer;
  readonly key: Buffer;
}

export interface TlsOptions {
  readonly identity: TlsIdentity;
  /** A handshake that takes longer has failed. */
  readonly handshakeTimeoutMs: number;
  /** Somebody did not get through a handshake, and is gone. The listener goes on. */
  readonly onHandshakeFailed: (peer: string, error: Error) => void;
}

/** ALPN (RFC 7301): what a client and this server can agree on in the handshake. */
export type Protocol = 'h2' | 'http/1.1';

/**
 * All of TLS 1.3, and of TLS 1.2 those that HTTP/2 does not forbid (RFC 9113, appendix A): with forward secrecy, and
 * authenticated. The curves and the rest are Node's.
 */
const ciphers = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

/** A server whose 'secureConnection' brings sockets on which both sides can talk. Node refuses clients that want no protocol of these. */
export function createTlsServer(options: TlsOptions, protocols: readonly Protocol[], base: tls.TlsOptions): tls.Server {
  const { identity, handshakeTimeoutMs, onHandshakeFailed } = options;
  const server = tls.createServer({
    ...base,
    cert: identity.certificate,
    key: identity.key,
    minVersion: 'TLSv1.2',
    ciphers,
    ALPNProtocols: [...protocols],
    handshakeTimeout: handshakeTimeoutMs,
  });
  server.on('tlsClientError', (error, socket) => {
    const { remoteAddress, remotePort } = socket;
    // Node leaves that to us where the time was up.
    socket.destroy();
    onHandshakeFailed(remoteAddress === undefined ? 'unknown' : `${remoteAddress}:${remotePort}`, error);
  });
  return server;
}
