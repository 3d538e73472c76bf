import t from 'tap';
import { isMissing } from '../support/demand.ts';
import { flagsOf, startSpannerEmulator, withoutSpanner } from '../support/spanner.ts';
import { compat } from './suite/index.ts';
import { plinthOn } from './suite/target.ts';

t.setTimeout(1_190_000);
if (!isMissing(t, withoutSpanner())) {
  const emulator = await startSpannerEmulator();
  t.teardown(() => emulator.close());
  const database = () => flagsOf(emulator.newDatabase());
  await compat(t, plinthOn('spanner', database, 3));
}
