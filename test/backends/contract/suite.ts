/**
 * The storage contract (src/registry/log.ts, image.ts, directory.ts) as a test. A backend's own test calls it with a factory and adds
 * nothing.
 */
import t from 'tap';
import { append } from './append.ts';
import { allBytes } from './bytes.ts';
import { checkpoints } from './checkpoint.ts';
import { crash } from './crash.ts';
import { type Factory, newDatabase, type Supports } from './database.ts';
import { directory } from './directory.ts';
import { lifetime } from './lifetime.ts';
import { read } from './read.ts';
import { scans } from './scan.ts';
import { truncate } from './truncate.ts';

/** For the whole suite on a slow machine. */
const timeoutMs = 590_000;

export function contract(factory: Factory, supports: Supports): void {
  t.setTimeout(timeoutMs);
  const topics = { append, read, truncate, checkpoints, scans, allBytes, lifetime, directory };
  for (const [name, topic] of Object.entries(topics)) {
    t.test(name, async (t) => {
      await topic(t, (t) => newDatabase(t, factory), supports);
    });
  }
  // A storage that lives in its process has nothing to find after a crash.
  if (!supports.otherProcesses) return;
  t.test('crash', async (t) => {
    await crash(t, (t) => newDatabase(t, factory));
  });
}
