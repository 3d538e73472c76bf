/** A configuration that was checked: what a server is started with. */
import type { AutoCompaction } from '../mvcc/auto-compaction.ts';
import type { LogFormat, LogLevel } from '../observe/log.ts';
import type { Options } from '../registry/flag.ts';
import type { ListenAddress } from '../transport/address.ts';
import type { GrpcTransport } from '../transport/grpc-server.ts';
import type { TlsIdentity } from '../transport/tls.ts';

export interface ServerConfig {
  readonly name: string;
  readonly dataDir: string;
  readonly listenClient: readonly ListenAddress[];
  /** Empty: the addresses listened on. */
  readonly advertiseClientUrls: readonly string[];
  readonly listenMetrics: readonly ListenAddress[];
  /** There wherever an address has TLS. */
  readonly tls: TlsIdentity | undefined;
  /** PEM: whom the certificates of other replicas must be from; undefined: from whom Node trusts. */
  readonly peerAuthorities: Buffer | undefined;
  readonly maxRequestBytes: number;
  readonly maxTxnOps: number;
  readonly maxConcurrentStreams: number;
  /** 0: the server never pings. */
  readonly grpcKeepaliveIntervalMs: number;
  readonly grpcKeepaliveTimeoutMs: number;
  readonly grpcKeepaliveMinTimeMs: number;
  /** 0: no limit. */
  readonly grpcMaxConnectionIdleMs: number;
  /** 0: no limit. */
  readonly grpcMaxConnectionAgeMs: number;
  readonly grpcMaxConnectionAgeGraceMs: number;
  readonly grpcTransport: GrpcTransport;
  readonly storageBackend: string;
  /** All options by flag name, for the backend, which picks its own. */
  readonly options: Options;
  readonly keyspace: string;
  /** Push batches to other replicas and let one of them write. */
  readonly replicaLinks: boolean;
  readonly valueCacheBytes: number;
  /** 0: none. */
  readonly quotaBytes: number;
  readonly autoCompaction: AutoCompaction | undefined;
  readonly progressNotifyIntervalMs: number;
  readonly shutdownGraceMs: number;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
}
