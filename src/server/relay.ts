/** A service that passes every call on to a real etcd, as bytes: requests, answers, streams, metadata, deadlines and errors. */
import { AlarmType } from '../mvcc/alarms.ts';
import type { Logger } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import { etcdserverpb as pb } from '../proto/generated/etcd.js';
import type { Backends } from '../registry/backends.ts';
import { type Relay, type RelayCall, RelayError } from '../registry/relay.ts';
import { type Call, type Code, type Method, type Methods, RpcError, type ServerStream } from '../transport/rpc.ts';
import type { ServerConfig } from './config.ts';
import { type Health, httpRoutes } from './http.ts';
import { healthCheckTimeoutMs } from './limits.ts';
import type { Service } from './service.ts';

/** Known paths have counters of their own; all others are passed on as well. */
const unary: Readonly<Record<string, readonly string[]>> = {
  'etcdserverpb.KV': ['Range', 'Put', 'DeleteRange', 'Txn', 'Compact'],
  'etcdserverpb.Lease': ['LeaseGrant', 'LeaseRevoke', 'LeaseTimeToLive', 'LeaseLeases'],
  'etcdserverpb.Cluster': ['MemberAdd', 'MemberRemove', 'MemberUpdate', 'MemberList', 'MemberPromote'],
  'etcdserverpb.Maintenance': ['Alarm', 'Status', 'Defragment', 'Hash', 'HashKV', 'MoveLeader', 'Downgrade'],
  'etcdserverpb.Auth':
    `AuthEnable AuthDisable AuthStatus Authenticate UserAdd UserGet UserList UserDelete UserChangePassword UserGrantRole
     UserRevokeRole RoleAdd RoleGet RoleList RoleDelete RoleGrantPermission RoleRevokePermission`.split(/\s+/),
  'v3lockpb.Lock': ['Lock', 'Unlock'],
  'v3electionpb.Election': ['Campaign', 'Proclaim', 'Leader', 'Resign'],
  'grpc.health.v1.Health': ['Check'],
};

const paths = (services: Readonly<Record<string, readonly string[]>>): string[] =>
  Object.entries(services).flatMap(([service, names]) => names.map((name) => `/${service}/${name}`));

const streams = paths({
  'etcdserverpb.KV': ['RangeStream'],
  'etcdserverpb.Watch': ['Watch'],
  'etcdserverpb.Lease': ['LeaseKeepAlive'],
  'etcdserverpb.Maintenance': ['Snapshot'],
  'v3electionpb.Election': ['Observe'],
  'grpc.health.v1.Health': ['Watch'],
});

/** Rejects with an Error whose message tells an operator what to do. */
export async function openRelay(
  config: ServerConfig,
  backends: Backends,
  metrics: Metrics,
  log: Logger,
): Promise<Service> {
  const { storageBackend, dataDir, keyspace, options } = config;
  const relayLog = log.child({ component: storageBackend });
  const warn = (message: string): void => relayLog.warn({}, message);
  const relay = await backends.relay(storageBackend, options, { dataDir, keyspace, warn });
  const methods: Methods = new Map([
    ...paths(unary).map((path): [string, Method] => [path, unaryThrough(relay)]),
    ...streams.map((path): [string, Method] => [path, streamThrough(relay)]),
  ]);
  return {
    methods,
    fallback: streamThrough(relay),
    routes: httpRoutes(healthOf(relay), metrics, log.child({ component: 'health' })),
    // The etcd behind tells its own members.
    async advertise() {},
    close: () => relay.close(),
  };
}

function relayed(call: Call): RelayCall {
  return {
    path: call.path,
    metadata: call.allMetadata(),
    deadlineMs: call.deadlineMs,
    signal: call.signal,
  };
}

function rethrow(error: unknown): never {
  if (error instanceof RelayError) throw new RpcError(error.code as Code, error.message);
  throw error;
}

function unaryThrough(relay: Relay): Method {
  return { kind: 'unary', handle: (request, call) => relay.unary(request, relayed(call)).catch(rethrow) };
}

function streamThrough(relay: Relay): Method {
  return {
    kind: 'bidi',
    async handle(client, call) {
      const server = relay.stream(relayed(call));
      const requests = passRequests(client, server, call).catch(() => {});
      try {
        for (let message = await server.read(); message !== undefined; message = await server.read()) {
          if (!client.write(message)) await client.drained();
        }
      } catch (error) {
        rethrow(error);
      }
      void requests;
    },
  };
}

async function passRequests(client: ServerStream, server: ReturnType<Relay['stream']>, call: Call): Promise<void> {
  for (let message = await client.read(); message !== undefined; message = await client.read()) {
    await server.write(message);
  }
  // What was cancelled has not ended, it is cancelled there too.
  if (!call.signal.aborted) server.end();
}

/** A read of any key tells whether the etcd behind answers. */
const probeKey = Buffer.from([0]);

function healthOf(relay: Relay): Health {
  const names = new Map<number, string>(Object.entries(AlarmType).map(([name, type]) => [type, name]));
  const ask = async (path: string, request: Uint8Array): Promise<Uint8Array> => {
    const deadlineMs = Date.now() + healthCheckTimeoutMs;
    return await relay.unary(request, { path, metadata: [], deadlineMs, signal: new AbortController().signal });
  };
  return {
    async alarms() {
      const { alarms } = pb.AlarmResponse.decode(
        await ask('/etcdserverpb.Maintenance/Alarm', pb.AlarmRequest.encode({}).finish()),
      );
      return alarms.map(({ alarm }) => names.get(alarm as number) ?? 'UNKNOWN');
    },
    async read(serializable) {
      const request = { key: probeKey, limit: 1, keysOnly: true, serializable };
      await ask('/etcdserverpb.KV/Range', pb.RangeRequest.encode(request).finish());
    },
  };
}
