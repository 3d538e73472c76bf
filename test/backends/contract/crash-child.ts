/** A process that appends, checkpoints and truncates until it is killed; prints each slot that was acknowledged. */
import { writeSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { registerBuiltin } from '../../../src/backends/register.ts';
import type { Storage } from '../../../src/registry/backend.ts';
import { Backends } from '../../../src/registry/backends.ts';
import type { Options } from '../../../src/registry/flag.ts';
import type { ImageRow } from '../../../src/registry/image.ts';
import { bytes, checkpoint, fill, row } from './database.ts';

export interface CrashPlan {
  readonly backend: string;
  readonly options: [string, string | number | boolean | readonly string[]][];
  readonly dataDir: string;
  readonly newest: number;
}

const checkpointEvery = 20;
const slotsKept = 5;

/** Slot n brought revision n + 1 and one key. */
export function rowOf(slot: number): ImageRow {
  return row(`key ${String(slot).padStart(6, '0')}`, slot + 1);
}

async function work(storage: Storage, newest: number): Promise<never> {
  let done: Promise<void> = Promise.resolve();
  for (let slot = newest + 1; ; slot++) {
    await fill(storage, slot, slot);
    // Not through a stream, whose rest would be lost with the process.
    writeSync(1, `${slot}\n`);
    if (slot % checkpointEvery === 0) {
      const rows = Array.from({ length: slot + 1 }, (_, index) => rowOf(index));
      done = done.then(async () => {
        await checkpoint(storage, { slot, revision: slot + 1 }, rows, [{ name: 'mark', data: bytes(String(slot)) }]);
        if (slot > slotsKept) await storage.log.truncate(slot - slotsKept);
      });
    }
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { backend, options, dataDir, newest } = JSON.parse(process.argv[2] ?? '') as CrashPlan;
  const backends = new Backends();
  registerBuiltin(backends);
  const known: Options = new Map(options);
  await work(await backends.build(backend, known, { dataDir, keyspace: 'default', warn: console.error }), newest);
}
