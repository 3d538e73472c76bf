/** The backends that plinth comes with: the one file to touch when a backend is added. */
import type { Backends } from '../registry/backends.ts';
import { etcd3 } from './etcd3/backend.ts';
import { memory } from './memory/backend.ts';
import { postgres } from './postgres/backend.ts';
import { spanner } from './spanner/backend.ts';
import { sqlite } from './sqlite/backend.ts';

/** Importing this costs little: a backend imports its database client inside `build`. */
export function registerBuiltin(backends: Backends): void {
  backends.register(etcd3());
  backends.register(memory());
  backends.register(postgres());
  backends.register(spanner());
  backends.register(sqlite());
}
