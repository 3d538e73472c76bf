import t from 'tap';
import { etcd, plinth } from '../suite/target.ts';
import { etcd3Client } from './etcd3.ts';

t.setTimeout(590_000);
for (const target of [etcd, plinth('sqlite'), plinth('memory')])
  await t.test(target.name, (t) => etcd3Client(t, target));
