/** A short run; `make fuzz` makes long ones. */
import t from 'tap';
import { fuzz, summary } from './http2.ts';

const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);
const frames = 100_000;

t.test(`${frames} frames, seed ${seed}`, async (t) => {
  const done = await fuzz(frames, seed, () => {});
  t.comment(summary(done));
  t.equal(done.failure?.error, undefined, `again: FUZZ_SEED=${done.failure?.seed} FUZZ_FRAMES=1 make fuzz`);
  t.ok(done.frames >= frames, `${done.frames} frames on ${done.sessions} connections`);
  t.ok(done.tally.answered > 0, `${done.tally.answered} calls were answered`);
  t.ok(done.tally.goAways.size > 5, `connections were ended in ${done.tally.goAways.size} ways`);
});
