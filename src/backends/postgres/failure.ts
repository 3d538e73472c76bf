import { Fenced } from '../../registry/image.ts';
import { BackendError } from '../../registry/log.ts';

/** What an operator can do about an SQLSTATE, or about an error code of the network. */
const advice = new Map([
  ['28P01', 'check user and password'],
  ['28000', 'check the user, and what pg_hba.conf allows it'],
  ['3D000', 'create the database'],
  ['3F000', 'check search_path'],
  ['42501', 'grant the user what is missing'],
  ['53100', 'free space on the disk of the database'],
  ['53300', 'raise max_connections, or lower --postgres-connections-max'],
  ['57P03', 'the database is starting, stopping or recovering'],
  ['25006', 'the server is a standby, or the user may only read: name the primary'],
  ['57014', 'look for long transactions and locks, or raise --postgres-statement-timeout'],
  ['ECONNREFUSED', 'check that PostgreSQL runs there and listens on that address'],
  ['ENOTFOUND', 'check the name of the host'],
  ['EAI_AGAIN', 'check the name of the host and the name server'],
  ['EHOSTUNREACH', 'check the network'],
  ['ETIMEDOUT', 'check the address, firewalls and the network'],
  ['ENOENT', 'check that the file exists'],
]);

/** Errors after which the server has certainly rolled back: bad data, permission, constraint, resources, conflict. */
const certain = /^(22|23|25|28|3D|3F|40001|40P01|42|53|54|55|0A)/;
/** A transaction that lost against another one; the same again is likely to succeed. */
const conflicts = ['40001', '40P01'];

/** Also of an error that was translated already. */
export function codeOf(error: unknown): string {
  const { code, cause } = error as { code?: string; cause?: { code?: string } };
  return code ?? cause?.code ?? '';
}

export const isConflict = (error: unknown): boolean => conflicts.includes(codeOf(error));
/** The server said so itself, and the connection goes on; other errors end it. */
export const isOfServer = (error: unknown): boolean => /^[0-9A-Z]{5}$/.test(codeOf(error)) && !isEnding(error);
/** Connection errors, and a server that shuts down. */
const isEnding = (error: unknown): boolean => /^(08|57P|[E])/.test(codeOf(error));

/** Turns what the client library threw into what the contract knows. `where` names the database, without the password. */
export function failureOf(error: unknown, where: string, write: 'read' | 'write'): Error {
  if (error instanceof BackendError || error instanceof Fenced) return error;
  const code = codeOf(error);
  const { message } = error as Error;
  const hint = advice.get(code) ?? (/timeout/i.test(message) ? advice.get('ETIMEDOUT') : undefined);
  // Several addresses of one host give an error without a message of its own.
  const text = message || code || String(error);
  const outcome = write === 'read' || certain.test(code) ? 'failed' : 'unknown';
  return new BackendError(outcome, `postgres: ${text} (${where}${hint ? `: ${hint}` : ''})`, { cause: { code } });
}
