import t from 'tap';
import { putToTheTest } from './programs.ts';

t.setTimeout(1_190_000);

await t.test('etcd-client of crates.io', (t) =>
  putToTheTest(t, {
    makeTarget: 'clients-rust',
    tool: 'cargo',
    optional: true,
    command: ({ url }) => ['build/rust/debug/scenarios', url],
  }),
);
