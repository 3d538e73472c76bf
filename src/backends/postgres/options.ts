import type { Flag, Options } from '../../registry/flag.ts';

const url = 'postgres-url';
const connectionsMax = 'postgres-connections-max';
const connectTimeout = 'postgres-connect-timeout';
const statementTimeout = 'postgres-statement-timeout';
const group = 'Storage: postgres';
/** Node's timers and PostgreSQL's settings take no more. */
const timeoutMsMax = 2 ** 31 - 1;
/** Below that, a server that is merely busy would be given up. */
const timeoutMsLeast = 100;
const connectionsMaxMost = 1000;

export const flags: readonly Flag[] = [
  {
    name: url,
    type: 'string',
    group,
    help:
      'Where the database is: postgresql://user:password@host:port/database?sslmode=verify-full&sslrootcert=ca.pem. ' +
      'As it holds a password, better set as PLINTH_POSTGRES_URL or in the configuration file.',
  },
  {
    name: connectionsMax,
    type: 'number',
    default: '10',
    group,
    help: 'Connections for reading and checkpoints; two for writing, one for hints and up to four for snapshots are added.',
  },
  {
    name: connectTimeout,
    type: 'duration',
    default: '5s',
    group,
    help: 'How long a connection may take to be made, or to become free.',
  },
  {
    name: statementTimeout,
    type: 'duration',
    default: '10s',
    group,
    help: 'How long one statement may take; the outcome of a write that takes longer is settled by asking again.',
  },
];

export interface PostgresOptions {
  readonly url: string;
  readonly connectionsMax: number;
  readonly connectTimeoutMs: number;
  readonly statementTimeoutMs: number;
}

/** Those of libpq that fall back to plain text when TLS fails are left out: they protect nothing. */
const sslModes = ['disable', 'require', 'verify-ca', 'verify-full'];

/** Never says the URL itself: there is a password in it. */
function urlProblems(value: unknown): string[] {
  if (typeof value !== 'string' || value === '') return [`--${url}: is missing`];
  if (!/^postgres(ql)?:\/\//.test(value)) return [`--${url}: does not begin with postgresql://`];
  let parsed: URL;
  try {
    // A URL may have a user but no host (that is in the parameters then), which URL does not take.
    parsed = new URL(value.replace('@/', '@localhost/'));
  } catch {
    return [`--${url}: is not a URL; characters like @ : / % in a user or password are written as %40 %3A %2F %25`];
  }
  const problems: string[] = [];
  try {
    for (const part of [parsed.username, parsed.password, parsed.hostname, parsed.pathname]) decodeURIComponent(part);
  } catch {
    problems.push(`--${url}: a % in it is not followed by two hexadecimal digits`);
  }
  if (/^[^?]*,/.test(value)) problems.push(`--${url}: names more than one host; put a name that follows the primary`);
  const mode = parsed.searchParams.get('sslmode');
  if (mode !== null && !sslModes.includes(mode)) {
    problems.push(`--${url}: sslmode ${JSON.stringify(mode)} is none of ${sslModes.join(', ')}`);
  }
  if (mode === 'verify-ca' && !parsed.searchParams.has('sslrootcert')) {
    problems.push(`--${url}: sslmode verify-ca needs sslrootcert`);
  }
  return problems;
}

function within(options: Options, name: string, least: number, most: number, unit: string): string[] {
  const value = options.get(name);
  if (value === undefined) return [];
  if (Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= most) return [];
  return [`--${name}: ${String(value)} is not a whole number of ${unit} from ${least} to ${most}`];
}

export function validate(options: Options): string[] {
  return [
    ...urlProblems(options.get(url)),
    ...within(options, connectionsMax, 1, connectionsMaxMost, 'connections'),
    ...within(options, connectTimeout, timeoutMsLeast, timeoutMsMax, 'milliseconds'),
    ...within(options, statementTimeout, timeoutMsLeast, timeoutMsMax, 'milliseconds'),
  ];
}

export function parse(options: Options): PostgresOptions {
  const number = (name: string, otherwise: number) => Number(options.get(name) ?? otherwise);
  const parsed = String(options.get(url));
  return {
    // sslmode as libpq understands it: require encrypts, verify-full also checks who answers.
    url: parsed.includes('uselibpqcompat=')
      ? parsed
      : `${parsed}${parsed.includes('?') ? '&' : '?'}uselibpqcompat=true`,
    connectionsMax: number(connectionsMax, 10),
    connectTimeoutMs: number(connectTimeout, 5000),
    statementTimeoutMs: number(statementTimeout, 10_000),
  };
}
