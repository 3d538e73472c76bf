/**
 * Auto-compaction as etcd has it. `periodic` keeps the history of the last `retentionMs`: it notes the revision ten times per
 * period (of at most an hour) and compacts to the one noted a retention ago. `revision` keeps the last `retention` revisions and
 * looks every five minutes.
 */
export type AutoCompaction =
  | { readonly mode: 'periodic'; readonly retentionMs: number }
  | { readonly mode: 'revision'; readonly retention: number };

const hourMs = 3_600_000;
const revisionModeIntervalMs = 300_000;

/** Starts it; returns what ends it. `compact` must not reject. */
export function startAutoCompaction(
  options: AutoCompaction,
  currentRevision: () => number,
  compact: (revision: number) => void,
): () => void {
  const timer =
    options.mode === 'periodic'
      ? startPeriodic(options.retentionMs, currentRevision, compact)
      : setInterval(() => {
          const revision = currentRevision() - options.retention;
          if (revision > 0) compact(revision);
        }, revisionModeIntervalMs);
  timer.unref();
  return () => clearInterval(timer);
}

function startPeriodic(
  retentionMs: number,
  currentRevision: () => number,
  compact: (revision: number) => void,
): NodeJS.Timeout {
  const intervalMs = Math.min(retentionMs, hourMs) / 10;
  const kept = Math.ceil(retentionMs / intervalMs);
  /** Oldest first, one per interval. */
  const revisions = [currentRevision()];
  let last = 0;
  let ticks = 0;
  return setInterval(() => {
    revisions.push(currentRevision());
    while (revisions.length > kept + 1) revisions.shift();
    ticks++;
    const oldest = revisions[0] as number;
    if (revisions.length === kept + 1 && ticks % 10 === 0 && oldest > last) {
      last = oldest;
      compact(oldest);
    }
  }, intervalMs);
}
