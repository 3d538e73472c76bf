/**
 * THE table of errors: etcd's own codes and texts. Clients match on the whole text, so it must be equal byte by byte.
 * Every reason of the store has a row (the type demands it); the rest are refusals of the services themselves.
 */
import { type Reason, StoreError, StoreUnavailable } from '../mvcc/errors.ts';
import { MalformedMessage } from '../proto/wire.ts';
import { Code, RpcError } from '../transport/rpc.ts';

type Row = readonly [Code, string];

const table = {
  // Requests that can never succeed.
  EmptyKey: [Code.INVALID_ARGUMENT, 'etcdserver: key is not provided'],
  KeyNotFound: [Code.INVALID_ARGUMENT, 'etcdserver: key not found'],
  ValueProvided: [Code.INVALID_ARGUMENT, 'etcdserver: value is provided'],
  LeaseProvided: [Code.INVALID_ARGUMENT, 'etcdserver: lease is provided'],
  TooManyOps: [Code.INVALID_ARGUMENT, 'etcdserver: too many operations in txn request'],
  DuplicateKey: [Code.INVALID_ARGUMENT, 'etcdserver: duplicate key given in txn request'],
  InvalidClientApiVersion: [Code.INVALID_ARGUMENT, 'etcdserver: invalid client api version'],
  InvalidSortOption: [Code.INVALID_ARGUMENT, 'etcdserver: invalid sort option'],
  RequestTooLarge: [Code.INVALID_ARGUMENT, 'etcdserver: request is too large'],

  // The state of the store is against it.
  Compacted: [Code.OUT_OF_RANGE, 'etcdserver: mvcc: required revision has been compacted'],
  FutureRevision: [Code.OUT_OF_RANGE, 'etcdserver: mvcc: required revision is a future revision'],
  NoSpace: [Code.RESOURCE_EXHAUSTED, 'etcdserver: mvcc: database space exceeded'],
  TooManyRequests: [Code.RESOURCE_EXHAUSTED, 'etcdserver: too many requests'],
  WatchCanceled: [Code.CANCELLED, 'etcdserver: watch canceled'],
  LeaseNotFound: [Code.NOT_FOUND, 'etcdserver: requested lease not found'],
  LeaseExists: [Code.FAILED_PRECONDITION, 'etcdserver: lease already exists'],
  LeaseTtlTooLarge: [Code.OUT_OF_RANGE, 'etcdserver: too large lease TTL'],

  // Members.
  MemberExists: [Code.FAILED_PRECONDITION, 'etcdserver: member ID already exist'],
  PeerUrlExists: [Code.FAILED_PRECONDITION, 'etcdserver: Peer URLs already exists'],
  // FAILED_PRECONDITION by etcd's own list of errors, but what an etcd sends is this.
  MemberNotEnoughStarted: [Code.UNKNOWN, 'etcdserver: re-configuration failed due to not enough started members'],
  MemberBadUrls: [Code.INVALID_ARGUMENT, 'etcdserver: given member URLs are invalid'],
  MemberNotFound: [Code.NOT_FOUND, 'etcdserver: member not found'],
  MemberNotLearner: [Code.FAILED_PRECONDITION, 'etcdserver: can only promote a learner member'],
  LearnerNotReady: [
    Code.FAILED_PRECONDITION,
    'etcdserver: can only promote a learner member which is in sync with leader',
  ],
  TooManyLearners: [Code.FAILED_PRECONDITION, 'etcdserver: too many learner members in cluster'],
  ClusterIdMismatch: [Code.FAILED_PRECONDITION, 'etcdserver: cluster ID mismatch'],

  // Users and roles.
  RootUserNotExist: [Code.FAILED_PRECONDITION, 'etcdserver: root user does not exist'],
  RootRoleNotExist: [Code.FAILED_PRECONDITION, 'etcdserver: root user does not have root role'],
  UserAlreadyExist: [Code.FAILED_PRECONDITION, 'etcdserver: user name already exists'],
  UserEmpty: [Code.INVALID_ARGUMENT, 'etcdserver: user name is empty'],
  UserNotFound: [Code.FAILED_PRECONDITION, 'etcdserver: user name not found'],
  RoleAlreadyExist: [Code.FAILED_PRECONDITION, 'etcdserver: role name already exists'],
  RoleNotFound: [Code.FAILED_PRECONDITION, 'etcdserver: role name not found'],
  RoleEmpty: [Code.INVALID_ARGUMENT, 'etcdserver: role name is empty'],
  AuthFailed: [Code.INVALID_ARGUMENT, 'etcdserver: authentication failed, invalid user ID or password'],
  PermissionNotGiven: [Code.INVALID_ARGUMENT, 'etcdserver: permission not given'],
  PermissionDenied: [Code.PERMISSION_DENIED, 'etcdserver: permission denied'],
  RoleNotGranted: [Code.FAILED_PRECONDITION, 'etcdserver: role is not granted to the user'],
  PermissionNotGranted: [Code.FAILED_PRECONDITION, 'etcdserver: permission is not granted to the role'],
  AuthNotEnabled: [Code.FAILED_PRECONDITION, 'etcdserver: authentication is not enabled'],
  InvalidAuthToken: [Code.UNAUTHENTICATED, 'etcdserver: invalid auth token'],
  InvalidAuthMgmt: [Code.INVALID_ARGUMENT, 'etcdserver: invalid auth management'],
  AuthOldRevision: [Code.INVALID_ARGUMENT, 'etcdserver: revision of auth store is old'],

  // The server as a whole.
  NoLeader: [Code.UNAVAILABLE, 'etcdserver: no leader'],
  NotLeader: [Code.FAILED_PRECONDITION, 'etcdserver: not leader'],
  LeaderChanged: [Code.UNAVAILABLE, 'etcdserver: leader changed'],
  NotCapable: [Code.FAILED_PRECONDITION, 'etcdserver: not capable'],
  Stopped: [Code.UNAVAILABLE, 'etcdserver: server stopped'],
  Timeout: [Code.UNAVAILABLE, 'etcdserver: request timed out'],
  TimeoutDueToLeaderFail: [Code.UNAVAILABLE, 'etcdserver: request timed out, possibly due to previous leader failure'],
  TimeoutDueToConnectionLost: [Code.UNAVAILABLE, 'etcdserver: request timed out, possibly due to connection lost'],
  TimeoutWaitAppliedIndex: [
    Code.UNAVAILABLE,
    'etcdserver: request timed out, waiting for the applied index took too long',
  ],
  Unhealthy: [Code.UNAVAILABLE, 'etcdserver: unhealthy cluster'],
  Corrupt: [Code.DATA_LOSS, 'etcdserver: corrupt cluster'],
  NotSupportedForLearner: [Code.FAILED_PRECONDITION, 'etcdserver: rpc not supported for learner'],
  BadLeaderTransferee: [Code.FAILED_PRECONDITION, 'etcdserver: bad leader transferee'],
  WrongDowngradeVersionFormat: [Code.INVALID_ARGUMENT, 'etcdserver: wrong downgrade target version format'],
  InvalidDowngradeTargetVersion: [Code.INVALID_ARGUMENT, 'etcdserver: invalid downgrade target version'],
  ClusterVersionUnavailable: [Code.FAILED_PRECONDITION, 'etcdserver: cluster version not found during downgrade'],
  DowngradeInProcess: [Code.FAILED_PRECONDITION, 'etcdserver: cluster has a downgrade job in progress'],
  NoInflightDowngrade: [Code.FAILED_PRECONDITION, 'etcdserver: no inflight downgrade job'],
  UnknownMethod: [Code.UNKNOWN, 'etcdserver: unknown method'],
  Canceled: [Code.CANCELLED, 'etcdserver: request canceled'],
  DeadlineExceeded: [Code.DEADLINE_EXCEEDED, 'etcdserver: context deadline exceeded'],

  // Not prefixed by etcd either.
  RangeStreamSortOrder: [Code.UNIMPLEMENTED, 'RangeStream does not support custom sort orders'],
  RangeStreamRevisionFilters: [Code.UNIMPLEMENTED, 'RangeStream does not support revision filters'],
  UnknownHealthService: [Code.NOT_FOUND, 'unknown service'],

  // Of this server: what an etcd would do and we cannot.
  UsersNotSupported: [Code.UNIMPLEMENTED, 'plinth: users and roles are not supported'],
  UnknownAlarm: [Code.INVALID_ARGUMENT, 'plinth: unknown alarm or alarm action'],
} as const satisfies Record<Reason, Row> & Record<string, Row>;

export type ErrorName = keyof typeof table;

export const errorNames = Object.keys(table) as ErrorName[];

export function errorText(name: ErrorName): string {
  return table[name][1];
}

/** To be thrown by a handler. */
export function rpcError(name: ErrorName): RpcError {
  const [code, text] = table[name];
  return new RpcError(code, text);
}

/** What Go's gRPC says before the complaint about the bytes: it differs by how it received them. */
export const malformedText = {
  unary: 'grpc: error unmarshalling request',
  stream: 'grpc: failed to unmarshal the received message',
} as const;

/**
 * What a handler should throw in place of an error from below. What has no meaning to a client stays as it is: the transport
 * logs it and says INTERNAL.
 */
export function toRpcError(error: unknown, malformed: string = malformedText.unary): unknown {
  if (error instanceof StoreError) return rpcError(error.reason);
  if (error instanceof StoreUnavailable) return new RpcError(Code.UNAVAILABLE, error.message);
  if (error instanceof MalformedMessage) {
    return new RpcError(Code.INTERNAL, `${malformed}: ${error.message}`);
  }
  return error;
}
