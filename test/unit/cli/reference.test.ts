import { readFileSync } from 'node:fs';
import t from 'tap';
import { registerBuiltin } from '../../../src/backends/register.ts';
import { coreFlags } from '../../../src/cli/flags.ts';
import { configurationReference } from '../../../src/cli/reference.ts';
import { Backends } from '../../../src/registry/backends.ts';

t.test('docs/configuration.md is current', async (t) => {
  const backends = new Backends();
  registerBuiltin(backends);
  const expected = configurationReference([...coreFlags, ...backends.flags()]);
  const actual = readFileSync(new URL('../../../docs/configuration.md', import.meta.url), 'utf8');
  t.equal(actual, expected, 'else run: node --import tsx scripts/configuration.mjs');
});

t.test('every flag of the table is in it, once', async (t) => {
  const text = configurationReference(coreFlags);
  for (const { name } of coreFlags) t.equal(text.split(`- \`--${name}\``).length, 2, name);
});
