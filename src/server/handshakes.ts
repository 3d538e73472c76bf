/** What the log says of TLS handshakes that failed: all at level debug, some at warn. */
import type { Logger } from '../observe/log.ts';
import { Allowance } from '../transport/http2/allowance.ts';
import { toldHandshakesBurst, toldHandshakesPerSecond } from './limits.ts';

/** What OpenSSL says shortest: `http request`, `unknown ca`. */
interface TlsError extends NodeJS.ErrnoException {
  readonly reason?: string;
}

/** The result is called for each failure. A scanner, or many clients with a wrong certificate, cannot flood the log. */
export function handshakeTeller(log: Logger, now?: () => number): (peer: string, error: Error) => void {
  const told = new Allowance(toldHandshakesBurst, toldHandshakesPerSecond, now);
  let untold = 0;
  return (peer, error) => {
    const { code, reason = error.message }: TlsError = error;
    const message = 'rejected connection';
    if (code === 'ECONNRESET') {
      // Whoever only looks whether somebody listens, as load balancers do, is no news.
      log.debug({ peer, reason, code }, message);
    } else if (told.take()) {
      log.warn({ peer, reason, code, untold }, message);
      untold = 0;
    } else {
      log.debug({ peer, reason, code }, message);
      untold++;
    }
  };
}
