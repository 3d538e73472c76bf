// Writes docs/configuration.md from the table of flags: node --import tsx scripts/configuration.mjs
import { writeFileSync } from 'node:fs';
import { registerBuiltin } from '../src/backends/register.ts';
import { coreFlags } from '../src/cli/flags.ts';
import { configurationReference } from '../src/cli/reference.ts';
import { Backends } from '../src/registry/backends.ts';

const backends = new Backends();
registerBuiltin(backends);
writeFileSync(
  new URL('../docs/configuration.md', import.meta.url),
  configurationReference([...coreFlags, ...backends.flags()]),
);
