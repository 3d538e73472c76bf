import t from 'tap';
import { compat } from './suite/index.ts';
import { plinth } from './suite/target.ts';

t.setTimeout(590_000);
await compat(t, plinth('memory'));
