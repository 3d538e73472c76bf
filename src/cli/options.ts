/** Gathers options from the three places where they can be set. Precedence: flag, then environment variable, then file. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Flag, Options } from '../registry/flag.ts';
import { environmentName } from './flags.ts';
import { suggestion } from './suggest.ts';
import { type FlagValue, parseValue } from './values.ts';

export interface Gathered {
  readonly options: Options;
  /** Everything that is wrong, each a sentence. */
  readonly problems: string[];
}

/** A setting before it is understood. */
interface Setting {
  readonly text: string;
  /** For complaints: where it was set, unless on the command line. */
  readonly origin: string;
}

/** `typed`: what the command line says, by flag name. */
export function gatherOptions(
  flags: readonly Flag[],
  typed: ReadonlyMap<string, string>,
  environment: NodeJS.ProcessEnv,
): Gathered {
  const problems: string[] = [];
  const fromEnvironment = readEnvironment(flags, environment);
  const configFile = typed.get('config-file') ?? fromEnvironment.get('config-file')?.text;
  const fromFile = configFile ? readFile(configFile, flags, problems) : new Map<string, Setting>();
  const options = new Map<string, FlagValue>();
  for (const flag of flags) {
    const { name } = flag;
    const onCommandLine = typed.get(name);
    const setting =
      onCommandLine === undefined
        ? (fromEnvironment.get(name) ?? fromFile.get(name) ?? byDefault(flag))
        : { text: onCommandLine, origin: '' };
    if (!setting) continue;
    try {
      options.set(name, parseValue(flag, setting.text));
    } catch (error) {
      problems.push(`--${name}: ${(error as Error).message}${setting.origin}`);
    }
  }
  return { options, problems };
}

function byDefault(flag: Flag): Setting | undefined {
  return flag.default === undefined ? undefined : { text: flag.default, origin: '' };
}

/** An empty variable counts as not set. Other variables with our prefix are left alone: Kubernetes sets some for services. */
function readEnvironment(flags: readonly Flag[], environment: NodeJS.ProcessEnv): Map<string, Setting> {
  const settings = new Map<string, Setting>();
  for (const { name } of flags) {
    for (const prefix of ['PLINTH', 'ETCD']) {
      const variable = environmentName(name, prefix);
      const text = environment[variable];
      if (!text) continue;
      settings.set(name, { text, origin: ` (from ${variable})` });
      break;
    }
  }
  return settings;
}

/** Loads the parser only where there is a file: it would take 5 MiB of every process. */
function parseYaml(text: string): unknown {
  const { parse } = createRequire(import.meta.url)('yaml') as typeof import('yaml');
  return parse(text);
}

function readFile(path: string, flags: readonly Flag[], problems: string[]): Map<string, Setting> {
  const settings = new Map<string, Setting>();
  let content: unknown;
  try {
    content = parseYaml(readFileSync(path, 'utf8'));
  } catch (error) {
    problems.push(`--config-file: cannot read ${path}: ${(error as Error).message.split('\n')[0]}`);
    return settings;
  }
  if (content === null) return settings;
  if (typeof content !== 'object' || Array.isArray(content)) {
    problems.push(`--config-file: ${path} must have lines of the form "flag-name: value"`);
    return settings;
  }
  const known = flags.map(({ name }) => name).filter((name) => name !== 'config-file');
  for (const [key, value] of Object.entries(content)) {
    if (!known.includes(key)) {
      problems.push(`${path}: unknown key ${JSON.stringify(key)}${suggestion(key, known)}`);
    } else if (isScalar(value)) {
      settings.set(key, { text: String(value), origin: ` (from ${path})` });
    } else if (Array.isArray(value) && value.every(isScalar)) {
      settings.set(key, { text: value.join(','), origin: ` (from ${path})` });
    } else {
      problems.push(`${path}: ${key} must be one value or a list of values`);
    }
  }
  return settings;
}

function isScalar(value: unknown): value is string | number | boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}
