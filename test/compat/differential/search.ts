/** Runs a seed against two fresh servers; on a mismatch looks for a shorter sequence that shows one too. */
import type { Server } from '../../support/server.ts';
import { type Operation, Operations } from './operations.ts';
import { Lockstep, type Mismatch, report } from './run.ts';
import { Side, type Tamper } from './side.ts';

export interface Pair {
  reference(): Promise<Server>;
  other(): Promise<Server>;
  /** Changes answers of the other side: proves that a difference is found. */
  readonly tamper?: () => Tamper;
}

export interface Found {
  readonly mismatch: Mismatch;
  readonly operations: readonly Operation[];
}

const shrinkTimeMs = 60_000;

type Source = (lockstep: Lockstep, step: number) => Operation | undefined;

async function run(pair: Pair, next: Source): Promise<Found | undefined> {
  const started = await Promise.allSettled([pair.reference(), pair.other()]);
  const servers = started.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
  try {
    for (const start of started) if (start.status === 'rejected') throw start.reason;
    const [reference, other] = servers as [Server, Server];
    const sides = [new Side(reference), new Side(other, pair.tamper?.())] as const;
    const lockstep = new Lockstep(...sides);
    const operations: Operation[] = [];
    try {
      for (let step = 0; ; step++) {
        const operation = next(lockstep, step);
        if (operation) operations.push(operation);
        const mismatch = await lockstep.step(operation ?? { kind: 'settle' });
        if (mismatch) return { mismatch, operations };
        if (!operation) return undefined;
      }
    } finally {
      for (const side of sides) side.close();
    }
  } finally {
    await Promise.all(servers.map((server) => server.close()));
  }
}

/** Undefined: no difference in `steps` operations. */
export function search(pair: Pair, seed: number, steps: number): Promise<Found | undefined> {
  let operations: Operations | undefined;
  return run(pair, (lockstep, step) => {
    operations ??= new Operations(seed, lockstep.progress);
    return step < steps ? operations.next() : undefined;
  });
}

/** Leaves out operations, many at first, as long as some difference remains and the time allows. */
export async function shrink(pair: Pair, found: Found): Promise<Found> {
  const deadline = Date.now() + shrinkTimeMs;
  let best = found;
  for (let size = Math.ceil(best.operations.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let end = best.operations.length - 1; end > 0 && Date.now() < deadline; end -= size) {
      const fewer = best.operations.filter((_, index) => index >= end || index < end - size);
      const again = await run(pair, (_lockstep, step) => fewer[step]).catch(() => undefined);
      if (again) best = again;
    }
  }
  return best;
}

export function explain(found: Found): string {
  const operations = found.operations.map((operation) => describeOperation(operation));
  return `${report(found.mismatch)}\nafter:\n${operations.join('\n')}`;
}

function describeOperation(operation: Operation): string {
  return JSON.stringify(operation, (_name, field: unknown) => {
    if (typeof field === 'bigint') return `${field}n`;
    return field === false ? undefined : field;
  });
}
