/**
 * Decoded answers, every field present. Bytes are binary strings (one char per byte), so that they compare and print
 * simply and lose nothing. Ids (64 bits) are bigint, all other 64-bit fields are safe integers or decoding throws.
 * A missing message is null; a oneof has only the member that is set.
 */
export interface ResponseHeader {
  clusterId: bigint;
  memberId: bigint;
  revision: number;
  raftTerm: bigint;
}

export interface WithHeader {
  header: ResponseHeader | null;
}

export interface KeyValue {
  key: string;
  createRevision: number;
  modRevision: number;
  version: number;
  value: string;
  lease: bigint;
}

export interface Event {
  type: number;
  kv: KeyValue | null;
  prevKv: KeyValue | null;
}

export interface RangeResponse extends WithHeader {
  kvs: KeyValue[];
  more: boolean;
  count: number;
}

export interface RangeStreamResponse {
  rangeResponse: RangeResponse | null;
}

export interface PutResponse extends WithHeader {
  prevKv: KeyValue | null;
}

export interface DeleteRangeResponse extends WithHeader {
  deleted: number;
  prevKvs: KeyValue[];
}

export interface ResponseOp {
  responseRange?: RangeResponse;
  responsePut?: PutResponse;
  responseDeleteRange?: DeleteRangeResponse;
  responseTxn?: TxnResponse;
}

export interface TxnResponse extends WithHeader {
  succeeded: boolean;
  responses: ResponseOp[];
}

export interface WatchResponse extends WithHeader {
  watchId: bigint;
  created: boolean;
  canceled: boolean;
  compactRevision: number;
  cancelReason: string;
  fragment: boolean;
  events: Event[];
}

export interface LeaseGrantResponse extends WithHeader {
  ID: bigint;
  TTL: number;
  error: string;
}

export interface LeaseKeepAliveResponse extends WithHeader {
  ID: bigint;
  TTL: number;
}

export interface LeaseTimeToLiveResponse extends WithHeader {
  ID: bigint;
  TTL: number;
  grantedTTL: number;
  keys: string[];
}

export interface LeaseLeasesResponse extends WithHeader {
  leases: { ID: bigint }[];
}

export interface Member {
  ID: bigint;
  name: string;
  peerURLs: string[];
  clientURLs: string[];
  isLearner: boolean;
}

export interface MembersResponse extends WithHeader {
  members: Member[];
}

export interface MemberAddResponse extends MembersResponse {
  member: Member | null;
}

export interface AlarmResponse extends WithHeader {
  alarms: { memberID: bigint; alarm: number }[];
}

export interface StatusResponse extends WithHeader {
  version: string;
  dbSize: number;
  leader: bigint;
  raftIndex: number;
  raftTerm: bigint;
  raftAppliedIndex: number;
  errors: string[];
  dbSizeInUse: number;
  isLearner: boolean;
  storageVersion: string;
  dbSizeQuota: number;
  downgradeInfo: { enabled: boolean; targetVersion: string } | null;
}

export interface HashResponse extends WithHeader {
  hash: number;
}

export interface HashKvResponse extends HashResponse {
  compactRevision: number;
  hashRevision: number;
}

export interface DowngradeResponse extends WithHeader {
  version: string;
}

export interface AuthStatusResponse extends WithHeader {
  enabled: boolean;
  authRevision: number;
}

/** The answer of each unary method that the tests call, by `Service/Method`. */
export interface UnaryResponses {
  'KV/Range': RangeResponse;
  'KV/Put': PutResponse;
  'KV/DeleteRange': DeleteRangeResponse;
  'KV/Txn': TxnResponse;
  'KV/Compact': WithHeader;
  'Lease/LeaseGrant': LeaseGrantResponse;
  'Lease/LeaseRevoke': WithHeader;
  'Lease/LeaseTimeToLive': LeaseTimeToLiveResponse;
  'Lease/LeaseLeases': LeaseLeasesResponse;
  'Cluster/MemberAdd': MemberAddResponse;
  'Cluster/MemberRemove': MembersResponse;
  'Cluster/MemberUpdate': MembersResponse;
  'Cluster/MemberList': MembersResponse;
  'Cluster/MemberPromote': MembersResponse;
  'Maintenance/Alarm': AlarmResponse;
  'Maintenance/Status': StatusResponse;
  'Maintenance/Defragment': WithHeader;
  'Maintenance/Hash': HashResponse;
  'Maintenance/HashKV': HashKvResponse;
  'Maintenance/MoveLeader': WithHeader;
  'Maintenance/Downgrade': DowngradeResponse;
  'Auth/AuthEnable': WithHeader;
  'Auth/AuthDisable': WithHeader;
  'Auth/AuthStatus': AuthStatusResponse;
  'Auth/Authenticate': WithHeader & { token: string };
  'Health/Check': { status: number };
}

export interface StreamResponses {
  'KV/RangeStream': RangeStreamResponse;
  'Watch/Watch': WatchResponse;
  'Lease/LeaseKeepAlive': LeaseKeepAliveResponse;
  'Health/Watch': { status: number };
}
