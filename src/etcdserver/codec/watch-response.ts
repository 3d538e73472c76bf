/** Encodes WatchResponse; events are encoded by mvcc, once for all watchers. */
import { etcdserverpb } from '../../proto/generated/etcd.js';
import { long } from '../../proto/int64.ts';
import { headerMessage, type Identity } from '../header.ts';

export interface WatchResponse {
  /** For the header. 0: the header has none. */
  readonly revision: number;
  readonly watchId: bigint;
  readonly created?: boolean;
  readonly canceled?: boolean;
  readonly compactRevision?: number;
  readonly cancelReason?: string;
}

/** A response without events. */
export function encodeWatchResponse(identity: Identity, response: WatchResponse): Uint8Array {
  const { revision, watchId, ...rest } = response;
  return etcdserverpb.WatchResponse.encode({
    header: headerMessage(identity, revision),
    watchId: long(watchId),
    ...rest,
  }).finish();
}

/** What stands before the events of a response: header and watch id. */
export function watchResponsePrefix(identity: Identity, revision: number, watchId: bigint): Buffer {
  return Buffer.from(encodeWatchResponse(identity, { revision, watchId }));
}
