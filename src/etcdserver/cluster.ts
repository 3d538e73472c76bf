/**
 * The Cluster service: its members are the replicas that live now. Reading is true; a change gets etcd's answer where that is a
 * refusal, and "not capable" where etcd would change its membership, since plinth has none to change: replicas come and go by
 * serving the same database.
 */
import type { Store } from '../mvcc/store.ts';
import { etcdserverpb as pb } from '../proto/generated/etcd.js';
import { long, unsigned } from '../proto/int64.ts';
import type { UnaryMethod } from '../transport/rpc.ts';
import { decodeWith } from './codec/decode.ts';
import { type ErrorName, rpcError } from './errors.ts';
import { headerMessage } from './header.ts';
import { unary } from './method.ts';
import type { Member, ServiceOptions } from './options.ts';

export function memberListMethod(store: Store, options: ServiceOptions): UnaryMethod {
  return unary(async (bytes) => {
    decodeWith(pb.MemberListRequest, bytes);
    const members = (await options.members()).map(({ id, name, clientUrls }) => ({
      ID: long(id),
      name,
      peerURLs: [...options.peerUrls],
      clientURLs: [...clientUrls],
    }));
    // The Cluster service of etcd leaves the revision out of its headers.
    return pb.MemberListResponse.encode({ header: headerMessage(store), members }).finish();
  });
}

export function memberAddMethod(options: ServiceOptions): UnaryMethod {
  return refusing(pb.MemberAddRequest, ({ peerURLs }) => {
    if (peerURLs.length === 0 || !peerURLs.every(isPeerUrl)) return 'MemberBadUrls';
    return peerURLs.some((url) => options.peerUrls.includes(url)) ? 'PeerUrlExists' : 'NotCapable';
  });
}

export function memberRemoveMethod(options: ServiceOptions): UnaryMethod {
  return refusing(pb.MemberRemoveRequest, async ({ ID }) => {
    const members = await options.members();
    if (!isMember(members, unsigned(ID))) return 'MemberNotFound';
    return members.length === 1 ? 'MemberNotEnoughStarted' : 'NotCapable';
  });
}

export function memberUpdateMethod(options: ServiceOptions): UnaryMethod {
  return refusing(pb.MemberUpdateRequest, async ({ ID }) =>
    isMember(await options.members(), unsigned(ID)) ? 'NotCapable' : 'MemberNotFound',
  );
}

export function memberPromoteMethod(options: ServiceOptions): UnaryMethod {
  return refusing(pb.MemberPromoteRequest, async ({ ID }) =>
    isMember(await options.members(), unsigned(ID)) ? 'MemberNotLearner' : 'MemberNotFound',
  );
}

export function isMember(members: readonly Member[], id: bigint): boolean {
  return members.some((member) => member.id === id);
}

function refusing<T>(
  type: { decode(bytes: Uint8Array): T },
  reason: (request: T) => ErrorName | Promise<ErrorName>,
): UnaryMethod {
  return unary(async (bytes) => {
    throw rpcError(await reason(decodeWith(type, bytes)));
  });
}

/** As etcd demands: scheme, host and port, nothing behind them. */
function isPeerUrl(text: string): boolean {
  return /^https?:\/\/(\[[0-9a-fA-F:.]+\]|[^/:?#[\]]+):\d+$/.test(text.trim());
}
