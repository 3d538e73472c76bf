/**
 * Sends frames to a server over connections in memory, valid ones and mutated ones, and holds what comes back against the RFC.
 *
 *   FUZZ_FRAMES=10000000   how many
 *   FUZZ_SEED=…            as printed, begins with the same connection again; with FUZZ_FRAMES=1 that is the only one
 */
import { pathToFileURL } from 'node:url';
import { VirtualClock } from '../support/virtual-clock.ts';
import { Tally } from './client.ts';
import { session } from './session.ts';

export interface Fuzzed {
  readonly frames: number;
  readonly sessions: number;
  readonly tally: Tally;
  /** The first failure ends the run. */
  readonly failure: { readonly seed: number; readonly error: unknown } | undefined;
}

/** Each connection has a seed of its own, one more than the one before it. */
export async function fuzz(framesMin: number, seed: number, onProgress: (done: Fuzzed) => void): Promise<Fuzzed> {
  const tally = new Tally();
  const stray: unknown[] = [];
  const onStray = (error: unknown): void => {
    stray.push(error);
  };
  process.on('uncaughtException', onStray);
  process.on('unhandledRejection', onStray);
  let frames = 0;
  let sessions = 0;
  let failure: Fuzzed['failure'];
  try {
    while (frames < framesMin && failure === undefined) {
      const sessionSeed = (seed + sessions) >>> 0;
      const clock = new VirtualClock();
      clock.install();
      try {
        frames += await session(sessionSeed, clock, tally);
        if (stray.length > 0) failure = { seed: sessionSeed, error: stray[0] };
      } catch (error) {
        failure = { seed: sessionSeed, error };
      } finally {
        clock.uninstall();
      }
      sessions++;
      onProgress({ frames, sessions, tally, failure });
    }
  } finally {
    process.off('uncaughtException', onStray);
    process.off('unhandledRejection', onStray);
  }
  return { frames, sessions, tally, failure };
}

/** What was seen, so that one can tell whether a run got anywhere. */
export function summary({ sessions, tally }: Fuzzed): string {
  const list = (counts: ReadonlyMap<number | string, number>): string =>
    [...counts]
      .sort(([, a], [, b]) => b - a)
      .map(([what, count]) => `  ${count} × ${what}`)
      .join('\n');
  return [
    `${sessions} connections, ${tally.calls} calls: ${tally.answered} answered, ${tally.cancelled} cancelled, ${tally.pauses} pauses`,
    `RST_STREAM by code:\n${list(tally.resets)}`,
    `GOAWAY by code and text:\n${list(tally.goAways)}`,
  ].join('\n');
}

const progressMs = 10_000;
const framesDefault = 1_000_000;

async function main(): Promise<void> {
  const frames = Number(process.env.FUZZ_FRAMES || framesDefault);
  const seed = Number(process.env.FUZZ_SEED || Date.now() % 2 ** 31);
  console.log(`FUZZ_SEED=${seed} FUZZ_FRAMES=${frames}`);
  const beganMs = Date.now();
  let toldMs = beganMs;
  const perSecond = (done: number): number => Math.round((1000 * done) / Math.max(1, Date.now() - beganMs));
  const done = await fuzz(frames, seed, (progress) => {
    if (Date.now() - toldMs < progressMs) return;
    toldMs = Date.now();
    console.log(`${progress.frames} frames, ${perSecond(progress.frames)} a second, ${progress.sessions} connections`);
  });
  console.log(summary(done));
  console.log(`${done.frames} frames, ${perSecond(done.frames)} a second`);
  if (done.failure !== undefined) {
    console.log(done.failure.error);
    console.log(`again: FUZZ_SEED=${done.failure.seed} FUZZ_FRAMES=1`);
    process.exitCode = 1;
  }
  console.log(done.failure === undefined ? '1 passed, 0 failed, 0 skipped' : '0 passed, 1 failed, 0 skipped');
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) await main();
