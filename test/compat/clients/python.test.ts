import t from 'tap';
import { putToTheTest } from './programs.ts';

t.setTimeout(1_190_000);

await t.test('etcd3 of PyPI', (t) =>
  putToTheTest(t, {
    makeTarget: 'clients-python',
    tool: 'python3',
    optional: false,
    command: ({ endpoint }) => [
      'build/python/bin/python',
      'test/compat/clients/python/scenarios.py',
      ...(endpoint.split(':') as [string, string]),
    ],
  }),
);
