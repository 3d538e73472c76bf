/** The Lease service. */
import type { Store } from '../mvcc/store.ts';
import { etcdserverpb as pb } from '../proto/generated/etcd.js';
import { long, safeNumber, signed } from '../proto/int64.ts';
import type { StreamMethod, UnaryMethod } from '../transport/rpc.ts';
import { decodeWith } from './codec/decode.ts';
import { checkNotCorrupt } from './corrupt.ts';
import { headerMessage } from './header.ts';
import { bidirectional, unary } from './method.ts';

export function leaseGrantMethod(store: Store): UnaryMethod {
  return unary(async (bytes) => {
    const request = decodeWith(pb.LeaseGrantRequest, bytes);
    checkNotCorrupt(store);
    const { id, ttlSeconds } = await store.leases.grant(signed(request.ID), safeNumber(request.TTL));
    const header = headerMessage(store, store.revision);
    return pb.LeaseGrantResponse.encode({ header, ID: long(id), TTL: ttlSeconds }).finish();
  });
}

export function leaseRevokeMethod(store: Store): UnaryMethod {
  return unary(async (bytes) => {
    const { ID } = decodeWith(pb.LeaseRevokeRequest, bytes);
    checkNotCorrupt(store);
    await store.leases.revoke(signed(ID));
    return pb.LeaseRevokeResponse.encode({ header: headerMessage(store, store.revision) }).finish();
  });
}

/** One request at a time: answers keep the order, and a client that does not read them cannot pile up more. */
export function leaseKeepAliveMethod(store: Store): StreamMethod {
  return bidirectional(async (stream) => {
    for (let bytes = await stream.read(); bytes !== undefined; bytes = await stream.read()) {
      const { ID } = decodeWith(pb.LeaseKeepAliveRequest, bytes);
      // Before the renewal: had the lease ended at revision 3, nobody may learn from a header of 4 that it was alive then.
      const header = headerMessage(store, store.revision);
      const TTL = await store.leases.keepAlive(signed(ID));
      if (!stream.write(pb.LeaseKeepAliveResponse.encode({ header, ID, TTL }).finish())) await stream.drained();
    }
  });
}

export function leaseTimeToLiveMethod(store: Store): UnaryMethod {
  return unary(async (bytes) => {
    const { ID, keys } = decodeWith(pb.LeaseTimeToLiveRequest, bytes);
    await store.barrier();
    const lease = store.leases.timeToLive(signed(ID));
    const header = headerMessage(store, store.revision);
    if (lease === undefined) return pb.LeaseTimeToLiveResponse.encode({ header, ID, TTL: -1 }).finish();
    return pb.LeaseTimeToLiveResponse.encode({
      header,
      ID,
      TTL: lease.ttlSeconds,
      grantedTTL: lease.grantedTtlSeconds,
      keys: keys ? lease.keys().map((key) => Buffer.from(key, 'latin1')) : [],
    }).finish();
  });
}

/** What this member knows, without asking others: as in etcd. */
export function leaseLeasesMethod(store: Store): UnaryMethod {
  return unary((bytes) => {
    decodeWith(pb.LeaseLeasesRequest, bytes);
    const leases = store.leases.ids().map((id) => ({ ID: long(id) }));
    return pb.LeaseLeasesResponse.encode({ header: headerMessage(store, store.revision), leases }).finish();
  });
}
