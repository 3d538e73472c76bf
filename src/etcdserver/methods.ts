/**
 * Every RPC that is served, by path. What is not here (Maintenance/Snapshot and the Lock and Election services so far) the
 * transport answers with UNIMPLEMENTED.
 */
import type { Store } from '../mvcc/store.ts';
import type { Method, Methods } from '../transport/rpc.ts';
import { authMethods } from './auth.ts';
import {
  memberAddMethod,
  memberListMethod,
  memberPromoteMethod,
  memberRemoveMethod,
  memberUpdateMethod,
} from './cluster.ts';
import { compactMethod } from './compact.ts';
import { deleteRangeMethod } from './delete-range.ts';
import { healthCheckMethod, healthWatchMethod } from './health.ts';
import {
  leaseGrantMethod,
  leaseKeepAliveMethod,
  leaseLeasesMethod,
  leaseRevokeMethod,
  leaseTimeToLiveMethod,
} from './lease.ts';
import {
  alarmMethod,
  defragmentMethod,
  downgradeMethod,
  hashKvMethod,
  hashMethod,
  moveLeaderMethod,
  statusMethod,
} from './maintenance.ts';
import type { ServiceOptions } from './options.ts';
import { putMethod } from './put.ts';
import { rangeMethod } from './range.ts';
import { rangeStreamMethod } from './range-stream.ts';
import { txnMethod } from './txn.ts';
import { watchMethod } from './watch.ts';

export function methods(store: Store, options: ServiceOptions): Methods {
  const services: Record<string, Record<string, Method>> = {
    'etcdserverpb.KV': {
      Range: rangeMethod(store),
      RangeStream: rangeStreamMethod(store, options),
      Put: putMethod(store, options),
      DeleteRange: deleteRangeMethod(store, options),
      Txn: txnMethod(store, options),
      Compact: compactMethod(store),
    },
    'etcdserverpb.Watch': {
      Watch: watchMethod(store, {
        maxRequestBytes: options.requestBytesMax,
        progressNotifyIntervalMs: options.progressNotifyIntervalMs,
      }),
    },
    'etcdserverpb.Lease': {
      LeaseGrant: leaseGrantMethod(store),
      LeaseRevoke: leaseRevokeMethod(store),
      LeaseKeepAlive: leaseKeepAliveMethod(store),
      LeaseTimeToLive: leaseTimeToLiveMethod(store),
      LeaseLeases: leaseLeasesMethod(store),
    },
    'etcdserverpb.Cluster': {
      MemberAdd: memberAddMethod(options),
      MemberRemove: memberRemoveMethod(options),
      MemberUpdate: memberUpdateMethod(options),
      MemberList: memberListMethod(store, options),
      MemberPromote: memberPromoteMethod(options),
    },
    'etcdserverpb.Maintenance': {
      Alarm: alarmMethod(store),
      Status: statusMethod(store, options),
      Defragment: defragmentMethod(store),
      Hash: hashMethod(store),
      HashKV: hashKvMethod(store),
      MoveLeader: moveLeaderMethod(options),
      Downgrade: downgradeMethod(store),
    },
    'etcdserverpb.Auth': authMethods(store),
    'grpc.health.v1.Health': {
      Check: healthCheckMethod(),
      Watch: healthWatchMethod(),
    },
  };
  return new Map(
    Object.entries(services).flatMap(([service, rpcs]) =>
      Object.entries(rpcs).map(([name, method]) => [`/${service}/${name}`, method] as const),
    ),
  );
}
