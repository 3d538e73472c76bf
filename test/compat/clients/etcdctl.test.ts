import t from 'tap';
import { certificates } from '../../unit/transport/tls-support.ts';
import { byTls, etcd, plinth } from '../suite/target.ts';
import { etcdctlClient } from './etcdctl.ts';

t.setTimeout(590_000);
for (const target of [etcd, plinth('sqlite'), byTls('etcd', certificates), byTls('sqlite', certificates)]) {
  await t.test(target.name, (t) => etcdctlClient(t, target));
}
