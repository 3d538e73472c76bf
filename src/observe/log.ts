/** The process log: structured lines on stderr, written before the call returns so that nothing is lost at exit. */
import pino from 'pino';

/** Fields stay flat; `error` holds a message (or an Error, of which the stack is kept too). */
export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  /** A logger that adds these fields to every line, for instance `{ component: 'committer' }`. */
  child(fields: LogFields): Logger;
}

/** etcd's levels. Nothing here logs at `panic` or `fatal`: choosing them silences everything below. */
export const logLevels = ['debug', 'info', 'warn', 'error', 'panic', 'fatal'] as const;
export type LogLevel = (typeof logLevels)[number];

export const logFormats = ['json', 'console'] as const;
export type LogFormat = (typeof logFormats)[number];

/** Where lines go; each call gets one whole line with its newline. */
export interface LogDestination {
  write(line: string): unknown;
}

function stderr(): LogDestination {
  return pino.destination({ fd: 2, sync: true });
}

/**
 * One JSON line as etcd's console format prints it: time, level, message and the remaining fields, separated by tabs.
 * `{"level":"info","ts":"2026-01-02T03:04:05.678Z","msg":"serving","url":"http://…"}` becomes
 * `2026-01-02T03:04:05.678Z<tab>info<tab>serving<tab>{"url":"http://…"}`.
 */
export function consoleLine(jsonLine: string): string {
  const { level, ts, msg, ...fields } = JSON.parse(jsonLine) as Record<string, unknown>;
  const rest = Object.keys(fields).length === 0 ? '' : `\t${JSON.stringify(fields)}`;
  return `${String(ts)}\t${String(level)}\t${String(msg)}${rest}\n`;
}

export interface LogOptions {
  readonly level: LogLevel;
  readonly format: LogFormat;
  readonly destination?: LogDestination;
}

export function createLogger(options: LogOptions): Logger {
  const out = options.destination ?? stderr();
  const destination = options.format === 'json' ? out : { write: (line: string) => out.write(consoleLine(line)) };
  return pino(
    {
      level: options.level === 'panic' ? 'fatal' : options.level,
      base: null,
      messageKey: 'msg',
      timestamp: () => `,"ts":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: errorFields },
    },
    destination,
  );
}

function errorFields(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const cause = error.cause instanceof Error ? { cause: error.cause.message } : {};
  return { name: error.name, message: error.message, ...cause, stack: error.stack };
}

/** Drops everything: for tests and for parts that are used without a process around them. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
};
