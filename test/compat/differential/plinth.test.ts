/**
 * Random operations against etcd and plinth. DIFFERENTIAL_SEED replays a run, DIFFERENTIAL_STEPS makes it longer,
 * DIFFERENTIAL_BACKEND chooses the store, DIFFERENTIAL_SHRINK=0 leaves a failing sequence as it is.
 */
import t from 'tap';
import { startEtcd, startPlinth } from '../../support/server.ts';
import { etcd, skipped } from '../suite/target.ts';
import { explain, type Pair, search, shrink } from './search.ts';

const seed = Number(process.env.DIFFERENTIAL_SEED ?? Date.now() % 1_000_000_000);
const steps = Number(process.env.DIFFERENTIAL_STEPS ?? 600);
const backends = process.env.DIFFERENTIAL_BACKEND?.split(',') ?? ['sqlite', 'memory'];
/** Generous: some milliseconds a step, and the time to shrink. */
const timeoutMs = 120_000 + steps * 50;

if (!skipped(t, etcd)) {
  t.setTimeout(backends.length * timeoutMs);
  for (const backend of backends) {
    await t.test(`${backend}: ${steps} steps of DIFFERENTIAL_SEED=${seed}`, async (t) => {
      const pair: Pair = { reference: () => startEtcd(), other: () => startPlinth({ backend }) };
      let found = await search(pair, seed, steps);
      if (found && process.env.DIFFERENTIAL_SHRINK !== '0') found = await shrink(pair, found);
      t.equal(found && `${explain(found)}\nDIFFERENTIAL_SEED=${seed} DIFFERENTIAL_STEPS=${steps}`, undefined);
    });
  }
}
