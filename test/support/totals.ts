/** What the slow suites print as their last line, and .ci/run adds up. */
export interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

/** Prints `N passed, N failed, N skipped` and makes the process fail if anything did, or if nothing ran at all. */
export function printTotals(totals: Totals): void {
  console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
  if (totals.failed > 0 || totals.passed === 0) process.exitCode = 1;
}
