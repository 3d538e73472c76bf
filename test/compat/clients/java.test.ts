import t from 'tap';
import { putToTheTest } from './programs.ts';

t.setTimeout(1_190_000);

await t.test('jetcd of Maven Central', (t) =>
  putToTheTest(t, {
    makeTarget: 'clients-java',
    tool: 'mvn',
    optional: true,
    command: ({ url }) => ['java', '-cp', 'build/java/classes:build/java/lib/*', 'Scenarios', url],
  }),
);
