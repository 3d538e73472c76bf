import type { Test } from 'tap';

/**
 * True (and visible in the output) where what a test needs is not on this machine: `without` says what, or false. In continuous
 * integration that is a failure.
 */
export function isMissing(t: Pick<Test, 'pass' | 'fail'>, without: string | false): without is string {
  if (!without) return false;
  if (process.env.CI === 'true') t.fail(without);
  else t.pass(without, { skip: without });
  return true;
}
