/**
 * How two replicas make sure of each other before anything is believed. Both prove that they know the keyspace's secret, which
 * is in the database only; the secret itself never travels. (Against somebody who can change what is on the wire only TLS helps.)
 *
 *   dialer → acceptor   hello    who it is, whom it wants, a nonce
 *   acceptor → dialer   welcome  its nonce, proof over both nonces, the largest message it takes
 *   dialer → acceptor   proof    its own proof, and its entry of the directory, so that the acceptor can dial back
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { handshakeBytesMax } from './limits.ts';

/** Replicas whose numbers differ do not link: each writes for itself and follows the log. */
export const protocolVersion = 3;

export interface Hello {
  readonly protocol: number;
  readonly from: string;
  readonly to: string;
  readonly nonce: string;
}

export interface Welcome {
  readonly nonce: string;
  readonly proof: string;
  readonly messageBytesMax: number;
}

export interface Proof {
  readonly proof: string;
  readonly entry: string;
}

export function encodeHandshake(message: Hello | Welcome | Proof): Buffer {
  return Buffer.from(JSON.stringify(message));
}

/** Throws an Error for what is no message of the handshake: `fields` with their types must be there. */
export function decodeHandshake<T extends Hello | Welcome | Proof>(
  bytes: Uint8Array,
  fields: Readonly<Record<keyof T, 'string' | 'number'>>,
): T {
  if (bytes.length > handshakeBytesMax) throw new Error('not the handshake of a replica: too long');
  let message: unknown;
  try {
    message = JSON.parse(Buffer.from(bytes).toString());
  } catch {
    throw new Error('not the handshake of a replica');
  }
  for (const [name, type] of Object.entries(fields)) {
    if (typeof (message as Record<string, unknown> | null)?.[name] !== type) {
      throw new Error(`not the handshake of a replica: no ${name}`);
    }
  }
  return message as T;
}

export const helloFields = { protocol: 'number', from: 'string', to: 'string', nonce: 'string' } as const;
export const welcomeFields = { nonce: 'string', proof: 'string', messageBytesMax: 'number' } as const;
export const proofFields = { proof: 'string', entry: 'string' } as const;

/** The proof of one side, for this link only. */
export function prove(secret: Uint8Array, side: 'dialer' | 'acceptor', hello: Hello, acceptorNonce: string): string {
  const parts = [side, hello.protocol, hello.from, hello.to, hello.nonce, acceptorNonce];
  return createHmac('sha256', secret).update(JSON.stringify(parts)).digest('hex');
}

export function isProof(expected: string, given: string): boolean {
  const [a, b] = [Buffer.from(expected), Buffer.from(given)];
  return a.length === b.length && timingSafeEqual(a, b);
}
