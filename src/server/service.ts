/** What is behind the network: storage, store, methods and HTTP routes, opened in this order and closed in reverse. */
import { hostname } from 'node:os';
import { methods } from '../etcdserver/methods.ts';
import type { Member } from '../etcdserver/options.ts';
import { AlarmType } from '../mvcc/alarms.ts';
import { newRange } from '../mvcc/requests.ts';
import { Store, type StoreObserver } from '../mvcc/store.ts';
import type { Logger } from '../observe/log.ts';
import type { Metrics, StoreSample } from '../observe/metrics.ts';
import { linkPath } from '../peers/limits.ts';
import { ReplicaPeers } from '../peers/peers.ts';
import type { Storage } from '../registry/backend.ts';
import type { Backends } from '../registry/backends.ts';
import { formatListenUrl, isWildcard, parseListenUrl } from '../transport/address.ts';
import type { Methods } from '../transport/rpc.ts';
import type { ServerConfig } from './config.ts';
import { type Health, httpRoutes } from './http.ts';
import { grpcOverheadBytes } from './limits.ts';
import { openRelay } from './relay.ts';
import type { Served } from './server.ts';
import { die } from './shutdown.ts';

export interface Service extends Served {
  /** Called once the addresses are bound: what clients and other replicas are told where nothing else is configured. */
  advertise(urls: readonly string[]): Promise<void>;
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
  if (backends.isRelay(storageBackend)) return await openRelay(config, backends, metrics, log);
  const storageLog = log.child({ component: storageBackend });
  const storage = await backends.build(storageBackend, config.options, {
    dataDir,
    keyspace,
    warn: (message) => storageLog.warn({}, message),
  });
  let store: Store;
  try {
    store = await Store.open(storage, {
      memberName: identityOf(config, storage),
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
  let clientUrls = config.advertiseClientUrls;
  const peers = peersOf(store, storage, config, log.child({ component: 'peers' }));
  metrics.readStore(() => sampleOf(store, peers, config));
  const self = (): Member => ({ id: store.memberId, name: config.name, clientUrls });
  const served: Methods = methods(store, {
    members: async () => (await peers?.members()) ?? [self()],
    leader: () => peers?.leader() ?? store.memberId,
    peerUrls: [],
    txnOpsMax: config.maxTxnOps,
    requestBytesMax: config.maxRequestBytes,
    quotaBytes: config.quotaBytes,
    progressNotifyIntervalMs: config.progressNotifyIntervalMs,
  });
  return {
    methods: peers && config.replicaLinks ? new Map([...served, [linkPath, peers.method]]) : served,
    routes: httpRoutes(healthOf(store, storage), metrics, log.child({ component: 'health' })),
    async advertise(urls) {
      if (clientUrls.length === 0) clientUrls = urls.map(dialable);
      await peers?.start(clientUrls);
    },
    async close() {
      await peers?.close();
      await store.close();
      await storage.close();
    },
  };
}

/** Replicas on one database must differ, also where nobody gave them names. */
function identityOf({ name, advertiseClientUrls, listenClient }: ServerConfig, { directory }: Storage): string {
  if (directory === undefined) return name;
  const urls = advertiseClientUrls.length > 0 ? advertiseClientUrls : listenClient.map(formatListenUrl).map(dialable);
  return [name, ...urls].join(' ');
}

/** undefined: no other replica can open this storage. */
function peersOf(store: Store, { directory }: Storage, config: ServerConfig, log: Logger): ReplicaPeers | undefined {
  if (directory === undefined) return undefined;
  return new ReplicaPeers(store, {
    directory,
    name: config.name,
    links: config.replicaLinks,
    authorities: config.peerAuthorities,
    messageBytesMax: config.maxRequestBytes + grpcOverheadBytes,
    warn: (message) => log.warn({}, message),
  });
}

/** Who listens on every address of the machine is reached by its name. */
function dialable(url: string): string {
  return isWildcard(parseListenUrl(url)) ? url.replace(/\/\/(0\.0\.0\.0|\[::\]):/, `//${hostname()}:`) : url;
}

function observe(metrics: Metrics, log: Logger): StoreObserver {
  return {
    committed: (requests, bytes, milliseconds) => metrics.committed(requests, bytes, milliseconds),
    settled: (outcome) => metrics.appendSettled(outcome),
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

async function sampleOf(store: Store, peers: ReplicaPeers | undefined, config: ServerConfig): Promise<StoreSample> {
  const { counts } = store;
  const links = peers?.counts ?? { linked: 0, followers: 0, received: 0, dropped: 0 };
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
    slot: store.slot,
    staleSeconds: store.staleMs / 1000,
    forwardedWrites: counts.forwarded,
    executedWrites: counts.executed,
    doubtedWrites: counts.doubted,
    replicasLinked: links.linked,
    replicasFollowing: links.followers,
    batchesReceived: links.received,
    batchesNotPushed: links.dropped,
    databaseBytes: size?.total,
    databaseBytesInUse: size?.inUse,
  };
}

/** Any key will do: what counts is that the read is answered. */
const probe = { ...newRange('\0'), limit: 1, keysOnly: true };

function healthOf(store: Store, { log }: Storage): Health {
  const names = new Map<number, string>(Object.entries(AlarmType).map(([name, type]) => [type, name]));
  return {
    alarms: async () => store.alarms.list().map(({ alarm }) => names.get(alarm) ?? 'UNKNOWN'),
    async read(serializable) {
      await store.range({ ...probe, serializable });
      // A member that alone writes answers reads from memory, so the storage is asked as well: now, not at the last write.
      if (!serializable) await log.read(store.slot, { batches: 1, bytes: 1 });
    },
  };
}
