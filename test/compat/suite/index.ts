/** The compat suite: one function per topic, each on a fresh server. */
import type { Test } from 'tap';
import { auth } from './auth.ts';
import { cluster } from './cluster.ts';
import { compact } from './compact.ts';
import { deleteRange } from './delete-range.ts';
import { health } from './health.ts';
import { http } from './http.ts';
import { lease } from './lease.ts';
import { leaseExpiry } from './lease-expiry.ts';
import { limits } from './limits.ts';
import { maintenance } from './maintenance.ts';
import { putTopic } from './put.ts';
import { quota } from './quota.ts';
import { range } from './range.ts';
import { rangeStream } from './range-stream.ts';
import { skipped, type Target } from './target.ts';
import { txn } from './txn.ts';
import { txnCompare } from './txn-compare.ts';
import { txnRefused } from './txn-refused.ts';
import { watchCancel } from './watch-cancel.ts';
import { watchCatchUp } from './watch-catch-up.ts';
import { watchCompacted } from './watch-compacted.ts';
import { watchCreate } from './watch-create.ts';
import { watchEvents } from './watch-events.ts';
import { watchFragment } from './watch-fragment.ts';
import { watchProgress } from './watch-progress.ts';

const topics: [string, (t: Test, target: Target) => Promise<void>][] = [
  ['range', range],
  ['range-stream', rangeStream],
  ['put', putTopic],
  ['delete-range', deleteRange],
  ['txn', txn],
  ['txn-compare', txnCompare],
  ['txn-refused', txnRefused],
  ['compact', compact],
  ['watch-create', watchCreate],
  ['watch-cancel', watchCancel],
  ['watch-compacted', watchCompacted],
  ['watch-events', watchEvents],
  ['watch-progress', watchProgress],
  ['watch-catch-up', watchCatchUp],
  ['watch-fragment', watchFragment],
  ['lease', lease],
  ['lease-expiry', leaseExpiry],
  ['cluster', cluster],
  ['maintenance', maintenance],
  ['quota', quota],
  ['auth', auth],
  ['limits', limits],
  ['http', http],
  ['health', health],
];

/** COMPAT_TOPIC=watch,lease runs only these. */
const only = process.env.COMPAT_TOPIC?.split(',');

export async function compat(t: Test, target: Target): Promise<void> {
  if (skipped(t, target)) return;
  for (const [name, topic] of topics) {
    if (only && !only.includes(name)) continue;
    await t.test(`${target.name}: ${name}`, (t) => topic(t, target));
  }
}
