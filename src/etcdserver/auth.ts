/**
 * The Auth service of a server without users: authentication is off and stays off, and what asks for a user or role is told that
 * there is none, all of which is true. Creating one is refused.
 */
import type { Store } from '../mvcc/store.ts';
import { etcdserverpb as pb } from '../proto/generated/etcd.js';
import type { Method, UnaryMethod } from '../transport/rpc.ts';
import { decodeWith } from './codec/decode.ts';
import { type ErrorName, rpcError } from './errors.ts';
import { headerMessage } from './header.ts';
import { unary } from './method.ts';

/** Grows with every change of users and roles; there was none. */
const authRevision = 1;

/** All methods, by name. */
export function authMethods(store: Store): Record<string, Method> {
  const header = () => headerMessage(store, store.revision);
  return {
    AuthStatus: answering(pb.AuthStatusRequest, () => pb.AuthStatusResponse.encode({ header: header(), authRevision })),
    AuthDisable: answering(pb.AuthDisableRequest, () => pb.AuthDisableResponse.encode({ header: header() })),
    UserList: answering(pb.AuthUserListRequest, () => pb.AuthUserListResponse.encode({ header: header() })),
    RoleList: answering(pb.AuthRoleListRequest, () => pb.AuthRoleListResponse.encode({ header: header() })),

    AuthEnable: refusing(pb.AuthEnableRequest, () => 'RootUserNotExist'),
    Authenticate: refusing(pb.AuthenticateRequest, () => 'AuthNotEnabled'),
    UserAdd: refusing(pb.AuthUserAddRequest, ({ name }) => (name === '' ? 'UserEmpty' : 'UsersNotSupported')),
    UserGet: refusing(pb.AuthUserGetRequest, () => 'UserNotFound'),
    UserDelete: refusing(pb.AuthUserDeleteRequest, () => 'UserNotFound'),
    UserChangePassword: refusing(pb.AuthUserChangePasswordRequest, () => 'UserNotFound'),
    UserGrantRole: refusing(pb.AuthUserGrantRoleRequest, () => 'UserNotFound'),
    UserRevokeRole: refusing(pb.AuthUserRevokeRoleRequest, () => 'UserNotFound'),
    RoleAdd: refusing(pb.AuthRoleAddRequest, ({ name }) => (name === '' ? 'RoleEmpty' : 'UsersNotSupported')),
    RoleGet: refusing(pb.AuthRoleGetRequest, () => 'RoleNotFound'),
    RoleDelete: refusing(pb.AuthRoleDeleteRequest, () => 'RoleNotFound'),
    RoleGrantPermission: refusing(pb.AuthRoleGrantPermissionRequest, ({ perm }) =>
      perm == null ? 'PermissionNotGiven' : 'RoleNotFound',
    ),
    RoleRevokePermission: refusing(pb.AuthRoleRevokePermissionRequest, () => 'RoleNotFound'),
  };
}

interface Type<T> {
  decode(bytes: Uint8Array): T;
}

function answering<T>(type: Type<T>, answer: () => { finish(): Uint8Array }): UnaryMethod {
  return unary((bytes) => {
    decodeWith(type, bytes);
    return answer().finish();
  });
}

function refusing<T>(type: Type<T>, reason: (request: T) => ErrorName): UnaryMethod {
  return unary((bytes) => {
    throw rpcError(reason(decodeWith(type, bytes)));
  });
}
