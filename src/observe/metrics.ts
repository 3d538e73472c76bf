/**
 * Every metric of the process, under etcd's name where the meaning is etcd's, with etcd's help text. What belongs to raft, to
 * its write-ahead log or to peers does not exist here and is absent rather than invented (docs/operations.md lists it).
 *
 * What changes often is a plain number somewhere and is read when somebody scrapes; only histograms are fed as things happen.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { codeNames } from './code-names.ts';
import { GatheringHistogram } from './histogram.ts';
import { MethodCounters } from './method-counters.ts';

export type MethodKind = 'unary' | 'server-stream' | 'bidi';

/** What the store says of itself at a scrape. A member that is undefined is not known and its series is left out. */
export interface StoreSample {
  /** Hexadecimal. */
  readonly memberId: string;
  readonly revision: number;
  /** -1: never compacted. */
  readonly compactedRevision: number;
  readonly keys: number;
  /** Since the start of this process, as are all other counts. */
  readonly puts: number;
  readonly deletes: number;
  readonly leasesGranted: number;
  readonly leasesRevoked: number;
  readonly leasesRenewed: number;
  readonly watchStreams: number;
  readonly watchers: number;
  readonly slowWatchers: number;
  readonly eventsSent: number;
  readonly pendingWrites: number;
  readonly cachedValueBytes: number;
  readonly quotaBytes: number;
  /** The newest slot applied here, and how long ago the log was known to have no other. */
  readonly slot: number;
  readonly staleSeconds: number;
  /** Writes that others were asked for, that were made for others, and whose answer was lost. */
  readonly forwardedWrites: number;
  readonly executedWrites: number;
  readonly doubtedWrites: number;
  /** Links to other replicas, and links from them. */
  readonly replicasLinked: number;
  readonly replicasFollowing: number;
  readonly batchesReceived: number;
  readonly batchesNotPushed: number;
  readonly databaseBytes: number | undefined;
  readonly databaseBytesInUse: number | undefined;
}

export interface MetricsOptions {
  /** Of etcd, as clients are told: `3.7.3`. */
  readonly etcdVersion: string;
  readonly plinthVersion: string;
  readonly backend: string;
}

interface Method {
  readonly labels: { grpc_type: string; grpc_service: string; grpc_method: string };
  readonly counters: MethodCounters;
}

const methodTypes = { unary: 'unary', 'server-stream': 'server_stream', bidi: 'bidi_stream' } as const;
const methodLabels = ['grpc_type', 'grpc_service', 'grpc_method'] as const;

/** `exponentialBuckets(1, 2, 4)` is 1, 2, 4, 8. */
function exponentialBuckets(start: number, factor: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => start * factor ** index);
}

export class Metrics {
  readonly #registry = new Registry();
  readonly #methods: Method[] = [];
  #readStore: (() => Promise<StoreSample>) | undefined;
  #sample: StoreSample | undefined;
  readonly #commitSeconds: GatheringHistogram;
  readonly #compactionMs: Histogram;
  readonly #healthchecks: Counter;
  readonly #healthcheck: Gauge;
  readonly #numbers = {
    committedRequests: 0,
    committedBytes: 0,
    compactedRows: 0,
    lastCompaction: 0,
    healthSuccess: 0,
    healthFailures: 0,
  };
  readonly #appendTroubles: Counter;
  readonly #appendsSettled: Counter;
  readonly #batchRequests: GatheringHistogram;
  readonly #batchBytes: GatheringHistogram;

  constructor(options: MetricsOptions) {
    const registers = [this.#registry];
    this.#commitSeconds = new GatheringHistogram({
      name: 'etcd_disk_backend_commit_duration_seconds',
      help: 'The latency distributions of commit called by backend.',
      buckets: exponentialBuckets(0.001, 2, 14),
      registers,
    });
    this.#compactionMs = new Histogram({
      name: 'etcd_debugging_mvcc_db_compaction_total_duration_milliseconds',
      help: 'Bucketed histogram of db compaction total duration.',
      buckets: exponentialBuckets(100, 2, 14),
      registers,
    });
    this.#healthcheck = new Gauge({
      name: 'etcd_server_healthcheck',
      help: 'The result of each kind of healthcheck.',
      labelNames: ['type', 'name'],
      registers,
    });
    this.#healthchecks = new Counter({
      name: 'etcd_server_healthchecks_total',
      help: 'The total number of each kind of healthcheck.',
      labelNames: ['type', 'name', 'status'],
      registers,
    });
    this.#appendTroubles = new Counter({
      name: 'plinth_append_troubles_total',
      help: 'Appends to the log that did not succeed at once: conflict with another replica, refused, unknown outcome.',
      labelNames: ['kind'],
      registers,
    });
    this.#appendsSettled = new Counter({
      name: 'plinth_appends_settled_total',
      help: 'Appends of unknown outcome by what was found out about them.',
      labelNames: ['outcome'],
      registers,
    });
    this.#batchRequests = new GatheringHistogram({
      name: 'plinth_batch_requests',
      help: 'Write requests that were committed together.',
      buckets: exponentialBuckets(1, 2, 11),
      registers,
    });
    this.#batchBytes = new GatheringHistogram({
      name: 'plinth_batch_bytes',
      help: 'Bytes of the log that were committed together.',
      buckets: exponentialBuckets(64, 4, 10),
      registers,
    });
    this.#addMethodMetrics();
    this.#addServerMetrics(options);
    this.#addStoreMetrics();
    this.#addProcessMetrics();
  }

  /** The counters of a method. All its series exist from now on, at zero. */
  method(path: string, kind: MethodKind): MethodCounters {
    const slash = path.lastIndexOf('/');
    const counters = new MethodCounters();
    const labels = {
      grpc_type: methodTypes[kind],
      grpc_service: path.slice(1, slash),
      grpc_method: path.slice(slash + 1),
    };
    this.#methods.push({ labels, counters });
    return counters;
  }

  /** From now on a scrape asks the store. A read that fails leaves the store's series out of that scrape. */
  readStore(read: () => Promise<StoreSample>): void {
    this.#readStore = read;
  }

  committed(requests: number, bytes: number, milliseconds: number): void {
    this.#numbers.committedRequests += requests;
    this.#numbers.committedBytes += bytes;
    this.#commitSeconds.observe(milliseconds / 1000);
    this.#batchRequests.observe(requests);
    this.#batchBytes.observe(bytes);
  }

  appendTrouble(kind: string): void {
    this.#appendTroubles.inc({ kind });
  }

  appendSettled(outcome: string): void {
    this.#appendsSettled.inc({ outcome });
  }

  compacted(rows: number, milliseconds: number): void {
    this.#numbers.compactedRows += rows;
    this.#numbers.lastCompaction = Math.floor(Date.now() / 1000);
    this.#compactionMs.observe(milliseconds);
  }

  /** /health */
  healthAnswered(healthy: boolean): void {
    if (healthy) this.#numbers.healthSuccess++;
    else this.#numbers.healthFailures++;
  }

  /** One check of /livez or /readyz. */
  checkAnswered(type: string, name: string, success: boolean): void {
    this.#healthcheck.set({ type, name }, success ? 1 : 0);
    this.#healthchecks.inc({ type, name, status: success ? 'success' : 'error' });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** In Prometheus' text format. */
  async text(): Promise<string> {
    this.#sample = await this.#readStore?.().catch(() => undefined);
    return await this.#registry.metrics();
  }

  #addMethodMetrics(): void {
    const each = (
      name: string,
      help: string,
      labelNames: readonly string[],
      read: (counter: Counter, method: Method) => void,
    ): void => {
      const methods = this.#methods;
      new Counter({
        name,
        help,
        labelNames: [...labelNames],
        registers: [this.#registry],
        collect() {
          this.reset();
          for (const method of methods) read(this, method);
        },
      });
    };
    each('grpc_server_started_total', 'Total number of RPCs started on the server.', methodLabels, (counter, method) =>
      counter.inc(method.labels, method.counters.started),
    );
    each(
      'grpc_server_msg_received_total',
      'Total number of RPC stream messages received on the server.',
      methodLabels,
      (counter, method) => counter.inc(method.labels, method.counters.messagesReceived),
    );
    each(
      'grpc_server_msg_sent_total',
      'Total number of gRPC stream messages sent by the server.',
      methodLabels,
      (counter, method) => counter.inc(method.labels, method.counters.messagesSent),
    );
    each(
      'grpc_server_handled_total',
      'Total number of RPCs completed on the server, regardless of success or failure.',
      [...methodLabels, 'grpc_code'],
      (counter, { labels, counters }) => {
        codeNames.forEach((grpc_code, code) => {
          counter.inc({ ...labels, grpc_code }, counters.handled[code]);
        });
      },
    );
    this.#counter(
      'etcd_network_client_grpc_received_bytes_total',
      'The total number of bytes received from grpc clients.',
      () => this.#methods.reduce((sum, { counters }) => sum + counters.bytesReceived, 0),
    );
    this.#counter('etcd_network_client_grpc_sent_bytes_total', 'The total number of bytes sent to grpc clients.', () =>
      this.#methods.reduce((sum, { counters }) => sum + counters.bytesSent, 0),
    );
  }

  #addServerMetrics({ etcdVersion, plinthVersion, backend }: MetricsOptions): void {
    const clusterVersion = etcdVersion.split('.').slice(0, 2).join('.');
    // Every member can commit and there is nothing to elect.
    this.#gauge('etcd_server_has_leader', 'Whether or not a leader exists. 1 is existence, 0 is not.', () => 1);
    this.#gauge('etcd_server_is_leader', 'Whether or not this member is a leader. 1 if is, 0 otherwise.', () => 1);
    this.#gauge('etcd_server_is_learner', 'Whether or not this member is a learner. 1 if is, 0 otherwise.', () => 0);
    this.#counter('etcd_server_leader_changes_seen_total', 'The number of leader changes seen.', () => 0);
    this.#info('etcd_server_version', "Which version is running. 1 for 'server_version' label with current version.", {
      server_version: etcdVersion,
    });
    this.#info(
      'etcd_cluster_version',
      "Which version is running. 1 for 'cluster_version' label with current cluster version",
      { cluster_version: clusterVersion },
    );
    this.#info('plinth_build_info', 'The version of plinth and the backend that is used.', {
      version: plinthVersion,
      backend,
    });
    const numbers = this.#numbers;
    this.#counter(
      'etcd_server_health_success',
      'The total number of successful health checks',
      () => numbers.healthSuccess,
    );
    this.#counter(
      'etcd_server_health_failures',
      'The total number of failed health checks',
      () => numbers.healthFailures,
    );
    this.#counter(
      'plinth_committed_requests_total',
      'Requests in batches that were appended to the log.',
      () => numbers.committedRequests,
    );
    this.#counter(
      'plinth_committed_bytes_total',
      'Bytes of batches that were appended to the log.',
      () => numbers.committedBytes,
    );
    this.#counter(
      'etcd_debugging_mvcc_db_compaction_keys_total',
      'Total number of db keys compacted.',
      () => numbers.compactedRows,
    );
    this.#gauge(
      'etcd_debugging_mvcc_db_compaction_last',
      'The unix time of the last db compaction. Resets to 0 on start.',
      () => numbers.lastCompaction,
    );
  }

  #addStoreMetrics(): void {
    const gauge = (name: string, help: string, read: (sample: StoreSample) => number | undefined): void =>
      this.#gauge(name, help, () => this.#sample && read(this.#sample));
    const counter = (name: string, help: string, read: (sample: StoreSample) => number): void =>
      this.#counter(name, help, () => this.#sample && read(this.#sample));
    const memberId = (): string | undefined => this.#sample?.memberId;
    new Gauge({
      name: 'etcd_server_id',
      help: "Server or member ID in hexadecimal format. 1 for 'server_id' label with current ID.",
      labelNames: ['server_id'],
      registers: [this.#registry],
      collect() {
        this.reset();
        const server_id = memberId();
        if (server_id !== undefined) this.set({ server_id }, 1);
      },
    });
    gauge(
      'etcd_mvcc_db_total_size_in_bytes',
      'Total size of the underlying database physically allocated in bytes.',
      (sample) => sample.databaseBytes,
    );
    gauge(
      'etcd_mvcc_db_total_size_in_use_in_bytes',
      'Total size of the underlying database logically in use in bytes.',
      (sample) => sample.databaseBytesInUse,
    );
    gauge(
      'etcd_server_quota_backend_bytes',
      'Current backend storage quota size in bytes.',
      (sample) => sample.quotaBytes,
    );
    gauge(
      'etcd_server_proposals_pending',
      'The current number of pending proposals to commit.',
      (sample) => sample.pendingWrites,
    );
    counter('etcd_mvcc_put_total', 'Total number of puts seen by this member.', (sample) => sample.puts);
    counter('etcd_mvcc_delete_total', 'Total number of deletes seen by this member.', (sample) => sample.deletes);
    gauge('etcd_debugging_mvcc_current_revision', 'The current revision of store.', (sample) => sample.revision);
    gauge(
      'etcd_debugging_mvcc_compact_revision',
      'The revision of the last compaction in store.',
      (sample) => sample.compactedRevision,
    );
    gauge('etcd_debugging_mvcc_keys_total', 'Total number of keys.', (sample) => sample.keys);
    gauge('etcd_debugging_mvcc_watch_stream_total', 'Total number of watch streams.', (sample) => sample.watchStreams);
    gauge('etcd_debugging_mvcc_watcher_total', 'Total number of watchers.', (sample) => sample.watchers);
    gauge(
      'etcd_debugging_mvcc_slow_watcher_total',
      'Total number of unsynced slow watchers.',
      (sample) => sample.slowWatchers,
    );
    counter(
      'etcd_debugging_mvcc_events_total',
      'Total number of events sent by this member.',
      (sample) => sample.eventsSent,
    );
    counter(
      'etcd_debugging_lease_granted_total',
      'The total number of granted leases.',
      (sample) => sample.leasesGranted,
    );
    counter(
      'etcd_debugging_lease_revoked_total',
      'The total number of revoked leases.',
      (sample) => sample.leasesRevoked,
    );
    counter(
      'etcd_debugging_lease_renewed_total',
      'The number of renewed leases seen by the leader.',
      (sample) => sample.leasesRenewed,
    );
    gauge('plinth_backend_reachable', '1 if the database behind answers now.', (sample) =>
      sample.databaseBytes === undefined ? 0 : 1,
    );
    gauge('plinth_log_slot', 'The newest slot of the log that is applied here.', (sample) => sample.slot);
    gauge(
      'plinth_log_stale_seconds',
      'How long ago the log was last known to have nothing that is not applied here.',
      (sample) => sample.staleSeconds,
    );
    counter(
      'plinth_forwarded_writes_total',
      'Writes that another replica was asked to make.',
      (sample) => sample.forwardedWrites,
    );
    counter(
      'plinth_executed_writes_total',
      'Writes that were made for another replica.',
      (sample) => sample.executedWrites,
    );
    counter(
      'plinth_doubted_writes_total',
      'Forwarded writes without an answer, looked up in the log.',
      (sample) => sample.doubtedWrites,
    );
    gauge('plinth_replicas_linked', 'Replicas whose commits are pushed here.', (sample) => sample.replicasLinked);
    gauge(
      'plinth_replicas_following',
      'Replicas that commits are pushed to from here.',
      (sample) => sample.replicasFollowing,
    );
    counter(
      'plinth_pushed_batches_total',
      'Batches that other replicas pushed here.',
      (sample) => sample.batchesReceived,
    );
    counter(
      'plinth_unpushed_batches_total',
      'Batches that a replica was not told of because it did not keep up.',
      (sample) => sample.batchesNotPushed,
    );
    gauge('plinth_value_cache_bytes', 'Bytes of values that are in memory.', (sample) => sample.cachedValueBytes);
  }

  #addProcessMetrics(): void {
    collectDefaultMetrics({ register: this.#registry });
    this.#gauge('os_fd_used', 'The number of used file descriptors.', usedFileDescriptors);
    this.#gauge('os_fd_limit', 'The file descriptor limit.', fileDescriptorLimit);
  }

  /** `read` gives undefined where the value is not known. */
  #gauge(name: string, help: string, read: () => number | undefined): void {
    new Gauge({
      name,
      help,
      registers: [this.#registry],
      collect() {
        const value = read();
        if (value === undefined) this.remove();
        else this.set(value);
      },
    });
  }

  #counter(name: string, help: string, read: () => number | undefined): void {
    new Counter({
      name,
      help,
      registers: [this.#registry],
      collect() {
        this.reset();
        const value = read();
        if (value === undefined) this.remove();
        else this.inc(value);
      },
    });
  }

  #info(name: string, help: string, labels: Readonly<Record<string, string>>): void {
    new Gauge({ name, help, labelNames: Object.keys(labels), registers: [this.#registry] }).set(labels, 1);
  }
}

/** Linux only; elsewhere the series is absent. */
function usedFileDescriptors(): number | undefined {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return undefined;
  }
}

/** Linux only. The line is `Max open files  1024  1048576  files`: the soft limit comes first. */
function fileDescriptorLimit(): number | undefined {
  try {
    const limit = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return limit === undefined ? undefined : Number(limit);
  } catch {
    return undefined;
  }
}
