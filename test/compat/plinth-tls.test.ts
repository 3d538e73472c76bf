import t from 'tap';
import { certificates } from '../unit/transport/tls-support.ts';
import { compat } from './suite/index.ts';
import { byTls } from './suite/target.ts';

t.setTimeout(590_000);
await compat(t, byTls('sqlite', certificates));
