/** From options to a checked configuration: what depends on more than the type of one flag. */
import type { AutoCompaction } from '../mvcc/auto-compaction.ts';
import type { LogFormat, LogLevel } from '../observe/log.ts';
import type { Backends } from '../registry/backends.ts';
import type { Options } from '../registry/flag.ts';
import type { ServerConfig } from '../server/config.ts';
import { maxRequestBytesMax, progressNotifyIntervalMsMin, quotaBytesDefault, timerMsMax } from '../server/limits.ts';
import { formatListenUrl, type ListenAddress, parseListenUrl } from '../transport/address.ts';
import type { GrpcTransport } from '../transport/grpc-server.ts';
import { readAuthorities, readIdentity } from './certificates.ts';
import { parseDuration, parseInteger } from './values.ts';

/** Adds what is wrong to `problems`; the result is of use only if there is nothing in it. */
export function checkConfig(options: Options, backends: Backends, problems: string[]): ServerConfig {
  const check = new Check(options, problems);
  const name = check.text('name');
  const storageBackend = check.text('storage-backend');
  const quota = check.integer('quota-backend-bytes', Number.MIN_SAFE_INTEGER);
  if (!backends.names().includes(storageBackend)) {
    check.complain(
      'storage-backend',
      `unknown backend ${JSON.stringify(storageBackend)}, known: ${backends.names().join(', ')}`,
    );
  } else {
    problems.push(...backends.validate(storageBackend, options));
  }
  const keyspace = check.text('keyspace');
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(keyspace)) {
    check.complain(
      'keyspace',
      `${JSON.stringify(keyspace)} is not 1 to 64 letters, digits, dots, dashes and underscores`,
    );
  }
  const complain = (flag: string, problem: string): void => check.complain(flag, problem);
  const tls = readIdentity(check.text('cert-file'), check.text('key-file'), complain);
  return {
    name,
    dataDir: check.text('data-dir') || `${name}.plinth`,
    listenClient: check.listenUrls('listen-client-urls', 1),
    advertiseClientUrls: check.clientUrls('advertise-client-urls'),
    listenMetrics: check.listenUrls('listen-metrics-urls', 0),
    tls,
    peerAuthorities: readAuthorities('peer-trusted-ca-file', check.text('peer-trusted-ca-file'), complain),
    maxRequestBytes: check.integer('max-request-bytes', 1, maxRequestBytesMax),
    maxTxnOps: check.integer('max-txn-ops', 1),
    maxConcurrentStreams: check.integer('max-concurrent-streams', 1, 2 ** 32 - 1),
    grpcKeepaliveIntervalMs: check.duration('grpc-keepalive-interval', 0),
    grpcKeepaliveTimeoutMs: check.duration('grpc-keepalive-timeout', 1),
    grpcKeepaliveMinTimeMs: check.duration('grpc-keepalive-min-time', 0),
    grpcMaxConnectionIdleMs: check.duration('grpc-max-connection-idle', 0),
    grpcMaxConnectionAgeMs: check.duration('grpc-max-connection-age', 0),
    grpcMaxConnectionAgeGraceMs: check.duration('grpc-max-connection-age-grace', 0),
    grpcTransport: check.text('grpc-transport') as GrpcTransport,
    storageBackend,
    options,
    keyspace,
    replicaLinks: options.get('replica-links') === true,
    valueCacheBytes: check.integer('value-cache-bytes', 0),
    quotaBytes: quota === 0 ? quotaBytesDefault : Math.max(0, quota),
    autoCompaction: check.autoCompaction(),
    progressNotifyIntervalMs: check.duration('watch-progress-notify-interval', progressNotifyIntervalMsMin),
    shutdownGraceMs: check.duration('shutdown-grace', 0),
    logLevel: check.text('log-level') as LogLevel,
    logFormat: check.text('log-format') as LogFormat,
  };
}

/** Reads options and collects complaints. An option that could not be parsed is absent and was complained about before. */
class Check {
  readonly #options: Options;
  readonly #problems: string[];

  constructor(options: Options, problems: string[]) {
    this.#options = options;
    this.#problems = problems;
  }

  complain(flag: string, problem: string): void {
    this.#problems.push(`--${flag}: ${problem}`);
  }

  text(flag: string): string {
    return (this.#options.get(flag) as string | undefined) ?? '';
  }

  integer(flag: string, min: number, max = Number.MAX_SAFE_INTEGER): number {
    const value = this.#options.get(flag) as number | undefined;
    if (value === undefined) return 0;
    if (value < min) this.complain(flag, `${value} is less than ${min}`);
    if (value > max) this.complain(flag, `${value} is more than ${max}`);
    return value;
  }

  duration(flag: string, minMs: number): number {
    const value = this.#options.get(flag) as number | undefined;
    if (value === undefined) return 0;
    if (value < minMs) this.complain(flag, `must be at least ${minMs}ms`);
    if (value > timerMsMax) this.complain(flag, 'must not be more than 24 days');
    return value;
  }

  listenUrls(flag: string, least: number): ListenAddress[] {
    const urls = (this.#options.get(flag) as readonly string[] | undefined) ?? [];
    if (urls.length < least) this.complain(flag, 'needs a URL');
    const addresses = urls.flatMap((url) => this.#attempt(flag, () => parseListenUrl(url)) ?? []);
    if (this.text('cert-file') === '' && this.text('key-file') === '') {
      for (const address of addresses) {
        if (address.tls) this.complain(flag, `${formatListenUrl(address)} needs --cert-file and --key-file`);
      }
    }
    return addresses;
  }

  /** URLs that clients dial: any host; https also where something in front of this server ends TLS. */
  clientUrls(flag: string): string[] {
    const urls = (this.#options.get(flag) as readonly string[] | undefined) ?? [];
    for (const url of urls) {
      if (/^unixs?:\/\/./.test(url)) continue;
      if (!/^https?:\/\/[^/?#@]+:\d+\/?$/.test(url) || !URL.canParse(url)) {
        this.complain(flag, `URL must have the form http://host:port, https://host:port or unix://path: ${url}`);
      }
    }
    return [...urls];
  }

  autoCompaction(): AutoCompaction | undefined {
    const flag = 'auto-compaction-retention';
    const text = this.text(flag);
    if (text === '' || text === '0') return undefined;
    if (this.text('auto-compaction-mode') === 'revision') {
      const retention = this.#attempt(flag, () => parseInteger(text)) ?? 0;
      if (retention < 0) this.complain(flag, `${retention} is less than 0`);
      return retention > 0 ? { mode: 'revision', retention } : undefined;
    }
    const hours = /^\d+$/.test(text) ? `${text}h` : text;
    const retentionMs = this.#attempt(flag, () => parseDuration(hours)) ?? 0;
    return retentionMs > 0 ? { mode: 'periodic', retentionMs } : undefined;
  }

  #attempt<T>(flag: string, parse: () => T): T | undefined {
    try {
      return parse();
    } catch (error) {
      this.complain(flag, (error as Error).message);
      return undefined;
    }
  }
}
