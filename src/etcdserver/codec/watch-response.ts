/** Encodes WatchResponse; events are encoded by mvcc, once for all watchers. */
import { etcdserverpb } from '../../proto/generated/etcd.js';
import { long } from '../../proto/int64.ts';
import { varintSize, Writer } from '../../proto/wire.ts';
import { headerField, headerMessage, type Identity } from '../header.ts';

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

const watchIdTag = 0x10;

/** What stands before the events of a response: header and watch id. Written for every watcher and batch, hence by hand. */
export function watchResponsePrefix(identity: Identity, revision: number, watchId: bigint): Uint8Array {
  // Ids that a client chose may be negative or huge.
  if (watchId < 0n || watchId > maxSafe) return encodeWatchResponse(identity, { revision, watchId });
  const header = headerField(identity);
  const id = Number(watchId);
  const writer = new Writer(header.size(revision) + (id === 0 ? 0 : 1 + varintSize(id)));
  header.write(writer, revision);
  writer.varintField(watchIdTag, id);
  return writer.finish();
}

const maxSafe = BigInt(Number.MAX_SAFE_INTEGER);
