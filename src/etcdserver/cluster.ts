/**
 * The Cluster service of a cluster with one member: this one. Reading is true; a change gets the answer of a one-member etcd
 * where that is a refusal, and "not capable" where etcd would change its membership, since plinth has none to change: replicas
 * come and go by serving the same database.
 */
import type { Store } from '../mvcc/store.ts';
import { etcdserverpb as pb } from '../proto/generated/etcd.js';
import { long, unsigned } from '../proto/int64.ts';
import type { UnaryMethod } from '../transport/rpc.ts';
import { decodeWith } from './codec/decode.ts';
import { type ErrorName, rpcError } from './errors.ts';
import { headerMessage } from './header.ts';
import { unary } from './method.ts';
import type { ServiceOptions } from './options.ts';

export function memberListMethod(store: Store, options: ServiceOptions): UnaryMethod {
  return unary((bytes) => {
    decodeWith(pb.MemberListRequest, bytes);
    const member = {
      ID: long(store.memberId),
      name: options.memberName,
      peerURLs: [...options.peerUrls],
      clientURLs: [...options.clientUrls],
    };
    // The Cluster service of etcd leaves the revision out of its headers.
    return pb.MemberListResponse.encode({ header: headerMessage(store), members: [member] }).finish();
  });
}

export function memberAddMethod(options: ServiceOptions): UnaryMethod {
  return refusing(pb.MemberAddRequest, ({ peerURLs }) => {
    if (peerURLs.length === 0 || !peerURLs.every(isPeerUrl)) return 'MemberBadUrls';
    return peerURLs.some((url) => options.peerUrls.includes(url)) ? 'PeerUrlExists' : 'NotCapable';
  });
}

export function memberRemoveMethod(store: Store): UnaryMethod {
  return refusing(pb.MemberRemoveRequest, ({ ID }) =>
    unsigned(ID) === store.memberId ? 'MemberNotEnoughStarted' : 'MemberNotFound',
  );
}

export function memberUpdateMethod(store: Store): UnaryMethod {
  return refusing(pb.MemberUpdateRequest, ({ ID }) =>
    unsigned(ID) === store.memberId ? 'NotCapable' : 'MemberNotFound',
  );
}

export function memberPromoteMethod(store: Store): UnaryMethod {
  return refusing(pb.MemberPromoteRequest, ({ ID }) =>
    unsigned(ID) === store.memberId ? 'MemberNotLearner' : 'MemberNotFound',
  );
}

function refusing<T>(type: { decode(bytes: Uint8Array): T }, reason: (request: T) => ErrorName): UnaryMethod {
  return unary((bytes) => {
    throw rpcError(reason(decodeWith(type, bytes)));
  });
}

/** As etcd demands: scheme, host and port, nothing behind them. */
function isPeerUrl(text: string): boolean {
  return /^https?:\/\/(\[[0-9a-fA-F:.]+\]|[^/:?#[\]]+):\d+$/.test(text.trim());
}
