/** What is behind the network: storage, store, methods and HTTP routes, opened in this order and closed in reverse. */
import { hostname } from 'node:os';
import { methods } from '../etcdserver/methods.ts';
import { AlarmType } from '../mvcc/alarms.ts';
import { rangeDefaults } from '../mvcc/requests.ts';
import { Store, type StoreObserver } from '../mvcc/store.ts';
import type { Logger } from '../observe/log.ts';
import type { Metrics, StoreSample } from '../observe/metrics.ts';
import type { Storage } from '../registry/backend.ts';
import type { Backends } from '../registry/backends.ts';
import { isWildcard, parseListenUrl } from '../transport/address.ts';
import type { ServerConfig } from './config.ts';
import { type Health, httpRoutes } from './http.ts';
import type { Served } from './server.ts';
import { die } from './shutdown.ts';

export interface Service extends Served {
  /** Called once the addresses are bound: what clients are told where nothing else is configured. */
  advertise(urls: readonly string[]): void;
  close(): Promise<void>;
}

/** Rejects with an Error whose message tells an operator what to do; nothing stays open then. */
export async function openService(
  config: ServerConfig,
  backends: Backends,
  metrics: Metrics,
  log: Logger,
): Promise<Service> {
  const { storageBackend, dataDir, keyspace } = config;
  const storageLog = log.child({ component: storageBackend });
  const storage = await backends.build(storageBackend, config.options, {
    dataDir,
    keyspace,
    warn: (message) => storageLog.warn({}, message),
  });
  let store: Store;
  try {
    store = await Store.open(storage, {
      memberName: config.name,
      quotaBytes: config.quotaBytes,
      valueCacheBytes: config.valueCacheBytes,
      autoCompaction: config.autoCompaction,
      observer: observe(metrics, log.child({ component: 'store' })),
      fatal: (error) => die(log, error),
    });
  } catch (error) {
    await storage.close();
    throw error;
  }
  metrics.readStore(() => sampleOf(store, config));
  let clientUrls = config.advertiseClientUrls;
  return {
    methods: methods(store, {
      memberName: config.name,
      get clientUrls() {
        return clientUrls;
      },
      peerUrls: [],
      txnOpsMax: config.maxTxnOps,
      requestBytesMax: config.maxRequestBytes,
      quotaBytes: config.quotaBytes,
      progressNotifyIntervalMs: config.progressNotifyIntervalMs,
    }),
    routes: httpRoutes(healthOf(store, storage), metrics, log.child({ component: 'health' })),
    advertise(urls) {
      if (clientUrls.length === 0) clientUrls = urls.map(dialable);
    },
    async close() {
      await store.close();
      await storage.close();
    },
  };
}

/** Who listens on every address of the machine is reached by its name. */
function dialable(url: string): string {
  return isWildcard(parseListenUrl(url)) ? url.replace(/\/\/(0\.0\.0\.0|\[::\]):/, `//${hostname()}:`) : url;
}

function observe(metrics: Metrics, log: Logger): StoreObserver {
  return {
    committed: (requests, bytes, milliseconds) => metrics.committed(requests, bytes, milliseconds),
    troubled(kind, message) {
      metrics.appendTrouble(kind);
      // Replicas that write at once meet all the time; the other kinds are news.
      if (kind === 'conflict') log.debug({ kind }, message);
      else log.warn({ kind }, message);
    },
    compacted(revision, rows, milliseconds) {
      metrics.compacted(rows, milliseconds);
      log.info({ revision, rows, milliseconds: Math.round(milliseconds) }, 'compacted');
    },
    warn: (message) => log.warn({}, message),
  };
}

async function sampleOf(store: Store, config: ServerConfig): Promise<StoreSample> {
  const { counts } = store;
  const size = await store.size().catch(() => undefined);
  return {
    memberId: store.memberId.toString(16),
    revision: store.revision,
    compactedRevision: store.compactedRevision,
    keys: counts.keys,
    puts: counts.puts,
    deletes: counts.deletes,
    leasesGranted: store.leases.counts.granted,
    leasesRevoked: store.leases.counts.revoked,
    leasesRenewed: store.leases.counts.renewed,
    watchStreams: store.hub.counts.streams,
    watchers: counts.watchers,
    slowWatchers: counts.slowWatchers,
    eventsSent: store.hub.counts.events,
    pendingWrites: counts.pendingWrites,
    cachedValueBytes: counts.cachedBytes,
    quotaBytes: config.quotaBytes,
    databaseBytes: size?.total,
    databaseBytesInUse: size?.inUse,
  };
}

/** Any key will do: what counts is that the read is answered. */
const probe = { ...rangeDefaults, key: '\0', limit: 1, keysOnly: true };

function healthOf(store: Store, { log }: Storage): Health {
  const names = new Map<number, string>(Object.entries(AlarmType).map(([name, type]) => [type, name]));
  return {
    alarms: () => store.alarms.list().map(({ alarm }) => names.get(alarm) ?? 'UNKNOWN'),
    async read(serializable) {
      await store.range({ ...probe, serializable });
      // A member that alone writes answers reads from memory, so the storage is asked as well: now, not at the last write.
      if (!serializable) await log.read(store.slot, { batches: 1, bytes: 1 });
    },
  };
}
