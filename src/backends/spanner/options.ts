import { readFileSync } from 'node:fs';
import type { Flag, Options } from '../../registry/flag.ts';

const project = 'spanner-project';
const instance = 'spanner-instance';
const database = 'spanner-database';
const emulatorHost = 'spanner-emulator-host';
const credentialsFile = 'spanner-credentials-file';
const create = 'spanner-create';
const timeout = 'spanner-timeout';
const group = 'Storage: spanner';
const timeoutMsLeast = 100;
const timeoutMsMost = 3_600_000;

export const flags: readonly Flag[] = [
  { name: project, type: 'string', group, help: 'Project of the instance.' },
  { name: instance, type: 'string', group, help: 'Name of the instance, without the path before it.' },
  { name: database, type: 'string', group, help: 'Name of the database (GoogleSQL), without the path before it.' },
  {
    name: emulatorHost,
    type: 'string',
    group,
    help: 'host:port of a Cloud Spanner emulator to use in place of the service. Also read from SPANNER_EMULATOR_HOST.',
  },
  {
    name: credentialsFile,
    type: 'string',
    group,
    help: 'JSON key or workload identity configuration. Default: the application default credentials.',
  },
  {
    name: create,
    type: 'boolean',
    default: 'false',
    group,
    help: 'Create the database if it is missing; on the emulator the instance too.',
  },
  {
    name: timeout,
    type: 'duration',
    default: '5s',
    group,
    help: 'How long one call may take; the outcome of a write that takes longer is settled by asking again.',
  },
];

export interface SpannerOptions {
  readonly project: string;
  readonly instance: string;
  readonly database: string;
  readonly emulator: { readonly host: string; readonly port: number } | undefined;
  readonly credentialsFile: string | undefined;
  readonly create: boolean;
  readonly timeoutMs: number;
}

/** The names that Spanner takes, and what it says of them. */
const names: readonly (readonly [flag: string, pattern: RegExp, rule: string])[] = [
  [project, /^([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$/, '6 to 30 lower-case letters, digits and dashes'],
  [
    instance,
    /^[a-z][a-z0-9-]{0,62}[a-z0-9]$/,
    '2 to 64 lower-case letters, digits and dashes, beginning with a letter',
  ],
  [
    database,
    /^[a-z][a-z0-9_-]{0,28}[a-z0-9]$/,
    '2 to 30 lower-case letters, digits, dashes and underscores, beginning with a letter',
  ],
];

function emulatorOf(options: Options): string {
  return String(options.get(emulatorHost) ?? process.env.SPANNER_EMULATOR_HOST ?? '');
}

function parseEmulator(text: string): { host: string; port: number } | undefined {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:/@\s]+):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  return match && port >= 1 && port <= 65_535 ? { host: match[1] as string, port } : undefined;
}

export function validate(options: Options): string[] {
  const problems: string[] = [];
  for (const [flag, pattern, rule] of names) {
    const value = String(options.get(flag) ?? '');
    if (value === '') problems.push(`--${flag}: is missing`);
    else if (!pattern.test(value)) problems.push(`--${flag}: ${JSON.stringify(value)} is not a name: ${rule}`);
  }
  const emulator = emulatorOf(options);
  if (emulator !== '' && parseEmulator(emulator) === undefined) {
    problems.push(`--${emulatorHost}: ${JSON.stringify(emulator)} is not host:port`);
  }
  if (emulator !== '' && options.get(credentialsFile)) {
    problems.push(`--${credentialsFile}: the emulator takes no credentials; leave it out, or --${emulatorHost}`);
  }
  const timeoutMs = Number(options.get(timeout) ?? timeoutMsMost);
  if (!(timeoutMs >= timeoutMsLeast && timeoutMs <= timeoutMsMost)) {
    problems.push(`--${timeout}: must be from ${timeoutMsLeast} ms to ${timeoutMsMost / 3_600_000} h`);
  }
  return problems;
}

/**
 * Looks into the file before Google's library does, which would say so late, and end the process over a file that is not there.
 * What is wrong inside is not told: errors of JSON quote what they complain about, and that may be the key.
 */
function checkCredentials(path: string): void {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new Error(`--${credentialsFile}: ${(error as Error).message}`);
  }
  let type: unknown;
  try {
    type = (JSON.parse(text) as { type?: unknown } | null)?.type;
  } catch {}
  if (typeof type !== 'string') {
    throw new Error(`--${credentialsFile}: ${path} is no JSON key and no workload identity configuration`);
  }
}

/** What `validate` has no complaint about. Throws an Error that names a credentials file which is none. */
export function parse(options: Options): SpannerOptions {
  const text = (name: string): string => String(options.get(name) ?? '');
  const file = text(credentialsFile) || undefined;
  if (file !== undefined) checkCredentials(file);
  return {
    project: text(project),
    instance: text(instance),
    database: text(database),
    emulator: parseEmulator(emulatorOf(options)),
    credentialsFile: file,
    create: options.get(create) === true,
    timeoutMs: Number(options.get(timeout) ?? 5000),
  };
}
