import t from 'tap';
import { spanner } from '../../src/backends/spanner/backend.ts';
import { isMissing } from '../support/demand.ts';
import { startSpannerEmulator, withoutSpanner } from '../support/spanner.ts';
import { contract } from './contract/suite.ts';

const without = withoutSpanner();
if (!isMissing(t, without)) {
  const emulator = await startSpannerEmulator();
  t.teardown(() => emulator.close());
  contract(async () => ({ backend: spanner(), options: emulator.newDatabase() }), {
    otherProcesses: true,
    keyBytesMax: 1.5 * 1024 * 1024,
  });
}
