/**
 * Random sequences of requests, compactions, watches and restarts, on the store and on a model in plain maps: every answer
 * and every event must be the same.
 *
 *   PROPERTY_RUNS=5000   more sequences
 *   PROPERTY_SEED=… PROPERTY_PATH=…   plays one again that failed (both are printed)
 */
import fs from 'node:fs';
import fc from 'fast-check';
import t from 'tap';
import { memory } from '../../src/backends/memory/backend.ts';
import { sqlite } from '../../src/backends/sqlite/backend.ts';
import type { Backend } from '../../src/registry/backend.ts';
import { temporaryDirectory } from '../support/process.ts';
import { actions } from './requests.ts';
import { play } from './run.ts';

const runs = Number(process.env.PROPERTY_RUNS ?? 0);
const seed = Number(process.env.PROPERTY_SEED ?? Date.now() % 2 ** 31);
const path = process.env.PROPERTY_PATH;

/** So few bytes that nearly every value has to be loaded from the log or the image. */
const tinyCacheBytes = 500;

interface Case {
  readonly name: string;
  readonly backend: () => Backend;
  readonly runs: number;
  readonly valueCacheBytes: number;
}

const cases: Case[] = [
  { name: 'memory', backend: memory, runs: 300, valueCacheBytes: 1024 * 1024 },
  { name: 'memory, values not in the cache', backend: memory, runs: 300, valueCacheBytes: tinyCacheBytes },
  { name: 'sqlite, values not in the cache', backend: sqlite, runs: 2, valueCacheBytes: tinyCacheBytes },
];

t.setTimeout(3_600_000);

for (const { name, backend, runs: usualRuns, valueCacheBytes } of cases) {
  t.test(`the store answers as the model does: ${name}`, async (t) => {
    const property = fc.asyncProperty(actions, async (sequence) => {
      const dataDir = temporaryDirectory('property');
      const chosen = backend();
      const build = () => chosen.build(new Map(), { dataDir, keyspace: 'test', warn() {} });
      try {
        await play(sequence, { build, valueCacheBytes });
      } finally {
        fs.rmSync(dataDir, { recursive: true, force: true });
      }
    });
    const numRuns = runs > 0 ? Math.ceil((runs * usualRuns) / 300) : usualRuns;
    const result = await fc.check(property, { seed, numRuns, ...(path === undefined ? {} : { path }) });
    if (result.failed) t.comment(fc.defaultReportMessage(result) ?? '', result.errorInstance);
    t.notOk(result.failed, `${result.numRuns} sequences, seed ${seed}`);
  });
}
