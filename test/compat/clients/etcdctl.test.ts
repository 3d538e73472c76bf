import t from 'tap';
import { etcd, plinth } from '../suite/target.ts';
import { etcdctlClient } from './etcdctl.ts';

t.setTimeout(280_000);
for (const target of [etcd, plinth('sqlite')]) await t.test(target.name, (t) => etcdctlClient(t, target));
