import { Fenced } from '../../registry/image.ts';
import { BackendError } from '../../registry/log.ts';

/** gRPC's codes, as far as they matter here. */
export const Code = {
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

/** What an operator can do about it. */
const advice = new Map<number, string>([
  [Code.DEADLINE_EXCEEDED, 'check the network and the load of the instance, or raise --spanner-timeout'],
  [Code.PERMISSION_DENIED, 'grant the account roles/spanner.databaseUser'],
  [Code.RESOURCE_EXHAUSTED, 'check quotas and the size of the instance'],
  [Code.UNAVAILABLE, 'check the address, firewalls and the network'],
  [Code.UNAUTHENTICATED, 'check the credentials'],
]);
const unnamed = 'no credentials: give --spanner-credentials-file, or application default credentials';

/** With these the service certainly did not commit. */
const certain: readonly number[] = [
  Code.INVALID_ARGUMENT,
  Code.NOT_FOUND,
  Code.ALREADY_EXISTS,
  Code.PERMISSION_DENIED,
  Code.FAILED_PRECONDITION,
  Code.ABORTED,
  Code.OUT_OF_RANGE,
  Code.UNIMPLEMENTED,
  Code.UNAUTHENTICATED,
];

interface Detail {
  readonly resourceType?: string;
  readonly retryDelay?: { readonly seconds?: number | string | null; readonly nanos?: number | null } | null;
}

interface SpannerError {
  readonly code?: number;
  readonly details?: string;
  readonly message: string;
  readonly statusDetails?: readonly Detail[];
}

export function codeOf(error: unknown): number | undefined {
  const { code, cause } = error as { code?: number; cause?: { code?: number } };
  return typeof code === 'number' ? code : cause?.code;
}

/** The text of the service alone. */
export function detailsOf(error: unknown): string {
  return (error as SpannerError).details ?? (error as Error).message;
}

/**
 * The kind of thing that a NOT_FOUND speaks of: 'Session', 'Database', 'Instance', or undefined for a row or a table, which say no
 * more than the code.
 */
export function missingResource(error: unknown): string | undefined {
  if (codeOf(error) !== Code.NOT_FOUND) return undefined;
  const type = (error as SpannerError).statusDetails?.find(({ resourceType }) => resourceType)?.resourceType;
  if (type !== undefined) return type.slice(type.lastIndexOf('.') + 1);
  return /^(Session|Database|Instance) (not found|does not exist)/.exec(detailsOf(error))?.[1];
}

/** A row that a mutation asked for is not there. */
export const isMissingRow = (error: unknown): boolean =>
  codeOf(error) === Code.NOT_FOUND && missingResource(error) === undefined;

/** How long the service asks to wait before an aborted transaction is tried again; undefined: it does not say. */
export function retryDelayMsOf(error: unknown): number | undefined {
  const delay = (error as SpannerError).statusDetails?.find(({ retryDelay }) => retryDelay)?.retryDelay;
  return delay ? Number(delay.seconds ?? 0) * 1000 + Number(delay.nanos ?? 0) / 1e6 : undefined;
}

/** Turns what the client library threw into what the contract knows. `where` names the database. */
export function failureOf(error: unknown, where: string, kind: 'read' | 'write'): Error {
  if (error instanceof BackendError || error instanceof Fenced) return error;
  const code = codeOf(error);
  const resource = missingResource(error);
  const text = detailsOf(error).split('\n')[0] as string;
  const hint = adviceFor(code, resource, text);
  // An error without a code comes from the library before anything was sent, for instance about credentials.
  const outcome = kind === 'read' || code === undefined || certain.includes(code) ? 'failed' : 'unknown';
  return new BackendError(outcome, `spanner: ${text} (${where}${hint ? `: ${hint}` : ''})`, { cause: { code } });
}

function adviceFor(code: number | undefined, resource: string | undefined, text: string): string | undefined {
  if (resource === 'Database') return 'create the database, or start with --spanner-create';
  if (resource === 'Instance') return 'create the instance';
  if (/default credentials/i.test(text)) return unnamed;
  return code === undefined ? undefined : advice.get(code);
}
