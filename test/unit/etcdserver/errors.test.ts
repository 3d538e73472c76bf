import t from 'tap';
import { errorNames, rpcError, toRpcError } from '../../../src/etcdserver/errors.ts';
import { StoreError, StoreUnavailable } from '../../../src/mvcc/errors.ts';
import { MalformedMessage } from '../../../src/proto/wire.ts';
import { Code, RpcError } from '../../../src/transport/rpc.ts';

/** etcd's texts by code; before each stands `etcdserver: `. */
const etcd: Partial<Record<keyof typeof Code, string[]>> = {
  INVALID_ARGUMENT: [
    'key is not provided',
    'key not found',
    'value is provided',
    'lease is provided',
    'too many operations in txn request',
    'duplicate key given in txn request',
    'invalid client api version',
    'invalid sort option',
    'given member URLs are invalid',
    'request is too large',
    'user name is empty',
    'role name is empty',
    'authentication failed, invalid user ID or password',
    'permission not given',
    'invalid auth management',
    'revision of auth store is old',
    'wrong downgrade target version format',
    'invalid downgrade target version',
  ],
  OUT_OF_RANGE: [
    'mvcc: required revision has been compacted',
    'mvcc: required revision is a future revision',
    'too large lease TTL',
  ],
  RESOURCE_EXHAUSTED: ['mvcc: database space exceeded', 'too many requests'],
  NOT_FOUND: ['requested lease not found', 'member not found'],
  FAILED_PRECONDITION: [
    'lease already exists',
    'member ID already exist',
    'Peer URLs already exists',
    'can only promote a learner member',
    'can only promote a learner member which is in sync with leader',
    'too many learner members in cluster',
    'cluster ID mismatch',
    'root user does not exist',
    'root user does not have root role',
    'user name already exists',
    'user name not found',
    'role name already exists',
    'role name not found',
    'role is not granted to the user',
    'permission is not granted to the role',
    'authentication is not enabled',
    'not leader',
    'not capable',
    'rpc not supported for learner',
    'bad leader transferee',
    'cluster version not found during downgrade',
    'cluster has a downgrade job in progress',
    'no inflight downgrade job',
  ],
  CANCELLED: ['watch canceled', 'request canceled'],
  PERMISSION_DENIED: ['permission denied'],
  UNAUTHENTICATED: ['invalid auth token'],
  UNAVAILABLE: [
    'no leader',
    'leader changed',
    'server stopped',
    'request timed out',
    'request timed out, possibly due to previous leader failure',
    'request timed out, possibly due to connection lost',
    'request timed out, waiting for the applied index took too long',
    'unhealthy cluster',
  ],
  DATA_LOSS: ['corrupt cluster'],
  DEADLINE_EXCEEDED: ['context deadline exceeded'],
  // An etcd has no code for these two and sends UNKNOWN.
  UNKNOWN: ['re-configuration failed due to not enough started members', 'unknown method'],
};

const codeNames = new Map<number, string>(Object.entries(Code).map(([name, code]) => [code, name]));

void t.test('the table has every error of etcd, and under that prefix no other', (t) => {
  const ours = errorNames
    .map((name) => rpcError(name))
    .filter(({ message }) => message.startsWith('etcdserver: '))
    .map(({ code, message }) => `${codeNames.get(code)} ${message}`);
  const theirs = Object.entries(etcd).flatMap(([code, texts]) => texts.map((text) => `${code} etcdserver: ${text}`));
  t.same(ours.sort(), theirs.sort());
  t.end();
});

void t.test('errors from below become errors of the API', (t) => {
  const status = (error: unknown) => {
    const { code, message } = toRpcError(error) as RpcError;
    return [code, message];
  };
  t.same(status(new StoreError('LeaseNotFound')), [Code.NOT_FOUND, 'etcdserver: requested lease not found']);
  t.same(status(new StoreUnavailable('disk gone', true)), [Code.UNAVAILABLE, 'disk gone']);
  t.same(status(new MalformedMessage()), [
    Code.INTERNAL,
    'grpc: error unmarshalling request: proto: cannot parse invalid wire-format data',
  ]);
  for (const other of [new Error('a bug'), new RpcError(Code.ABORTED, 'as it is'), undefined]) {
    t.equal(toRpcError(other), other, 'the rest is left to the transport');
  }
  t.end();
});
