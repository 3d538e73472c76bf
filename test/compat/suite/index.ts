/** The compat suite: one function per topic, each on a fresh server. */
import type { Test } from 'tap';
import { compact } from './compact.ts';
import { deleteRange } from './delete-range.ts';
import { putTopic } from './put.ts';
import { range } from './range.ts';
import { rangeStream } from './range-stream.ts';
import { skipped, type Target } from './target.ts';
import { txn } from './txn.ts';
import { txnCompare } from './txn-compare.ts';
import { txnRefused } from './txn-refused.ts';

const topics: [string, (t: Test, target: Target) => Promise<void>][] = [
  ['range', range],
  ['range-stream', rangeStream],
  ['put', putTopic],
  ['delete-range', deleteRange],
  ['txn', txn],
  ['txn-compare', txnCompare],
  ['txn-refused', txnRefused],
  ['compact', compact],
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
