#!/usr/bin/env node
import { registerBuiltin } from './backends/register.ts';
import { run } from './cli/command.ts';
import { Backends } from './registry/backends.ts';

const backends = new Backends();
registerBuiltin(backends);
process.exit(await run(process.argv.slice(2), backends));
