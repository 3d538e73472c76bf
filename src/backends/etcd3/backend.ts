/** No storage: every call goes to a real etcd, and its answer comes back as it is. */
import type { BuildContext } from '../../registry/backend.ts';
import type { Options } from '../../registry/flag.ts';
import type { Relay, RelayBackend } from '../../registry/relay.ts';
import { Endpoints } from './endpoints.ts';
import { flags, parse, validate } from './options.ts';
import { Etcd3Relay } from './relay.ts';

const keyspaceDefault = 'default';

async function relay(options: Options, { keyspace, warn }: BuildContext): Promise<Relay> {
  if (keyspace !== keyspaceDefault) {
    throw new Error('--keyspace: the etcd behind has one keyspace only; leave it out with --storage-backend=etcd3');
  }
  const parsed = parse(options);
  const grpc = await import('@grpc/grpc-js');
  const endpoints = new Endpoints(grpc, parsed);
  // An etcd that starts later is no reason not to start: until then every call says that it is not there.
  if ((await endpoints.connected(undefined)) === undefined) {
    warn(`no etcd can be reached at ${endpoints.names} yet: every call is answered UNAVAILABLE until then`);
  }
  return new Etcd3Relay(grpc, endpoints, parsed);
}

export function etcd3(): RelayBackend {
  return { name: 'etcd3', flags, validate, relay };
}
