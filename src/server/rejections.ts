/** What the log says of connections that are not served, or not any longer: all at level debug, some at warn. */
import type { LogFields, Logger } from '../observe/log.ts';
import { Allowance } from '../transport/http2/allowance.ts';
import { toldRejectionsBurst, toldRejectionsPerSecond } from './limits.ts';

/** What OpenSSL says shortest: `http request`, `unknown ca`. */
interface TlsError extends NodeJS.ErrnoException {
  readonly reason?: string;
}

/** A scanner, or many clients with the same mistake, cannot flood the log. */
function teller(log: Logger, message: string, now?: () => number): (fields: LogFields) => void {
  const told = new Allowance(toldRejectionsBurst, toldRejectionsPerSecond, now);
  let untold = 0;
  return (fields) => {
    if (told.take()) {
      log.warn({ ...fields, untold }, message);
      untold = 0;
    } else {
      log.debug(fields, message);
      untold++;
    }
  };
}

/** The result is called for each TLS handshake that failed. */
export function handshakeTeller(log: Logger, now?: () => number): (peer: string, error: Error) => void {
  const message = 'rejected connection';
  const tell = teller(log, message, now);
  return (peer, error) => {
    const { code, reason = error.message }: TlsError = error;
    // Whoever only looks whether somebody listens, as load balancers do, is no news.
    if (code === 'ECONNRESET') log.debug({ peer, reason, code }, message);
    else tell({ peer, reason, code });
  };
}

/** The result is called for each connection that was closed because its client broke the rules of HTTP/2, or did too much of something. */
export function violationTeller(log: Logger, now?: () => number): (peer: string, code: string, reason: string) => void {
  const tell = teller(log, 'closed connection', now);
  return (peer, code, reason) => tell({ peer, reason, code });
}
