import t from 'tap';
import { compat } from './suite/index.ts';
import { etcdBehind } from './suite/target.ts';

t.setTimeout(1_190_000);
await compat(t, etcdBehind);
