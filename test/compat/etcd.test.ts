/** The suite against a real etcd: proves the suite. */
import t from 'tap';
import { compat } from './suite/index.ts';
import { etcd } from './suite/target.ts';

t.setTimeout(590_000);
await compat(t, etcd);
