/**
 * Is a history of concurrent clients linearizable? Every answer of etcd says at which revision it was given, and the log says what
 * each revision changed. So the order is not to be guessed: it is the order of revisions, and it remains to check that
 *
 * - each answer is what the state at its revision says (and a write is what the log has at its revision),
 * - the order of revisions is one of real time: an operation that began after another had ended is not before it. Writes take
 *   different revisions; a read may share that of the write it saw.
 * - what was acknowledged is in the log, once; what was not may be there once, or not at all.
 *
 * Worked example: a put is acknowledged at revision 7; a get that begins later and is answered at revision 6 is stale, whatever
 * its value was.
 */

/** What the log says: one change for each revision from 2 on. */
export interface Change {
  readonly revision: number;
  readonly key: string;
  /** undefined: deleted. */
  readonly value: string | undefined;
}

export interface Operation {
  readonly client: string;
  /** When it was asked and answered, on one clock for all clients; `endedAt` infinite: nobody knows what became of it. */
  readonly startedAt: number;
  readonly endedAt: number;
  readonly key: string;
  /**
   * What was asked. Each value is written by one operation only. `swap` writes if the key was last changed at `expected` (0: it
   * is not there).
   */
  readonly ask:
    | { readonly kind: 'get' }
    | { readonly kind: 'put'; readonly value: string }
    | { readonly kind: 'swap'; readonly value: string; readonly expected: number };
  /** undefined: no answer. */
  readonly answer:
    | { readonly revision: number; readonly value?: string | undefined; readonly swapped?: boolean }
    | undefined;
}

interface KeyState {
  readonly revision: number;
  readonly value: string | undefined;
}

/** Everything that is wrong; nothing: it is linearizable. */
export function check(operations: readonly Operation[], log: readonly Change[]): string[] {
  const problems: string[] = [];
  log.forEach(({ revision }, i) => {
    if (revision !== i + 2) problems.push(`the log has revision ${revision} where ${i + 2} belongs`);
  });
  const byKey = new Map<string, KeyState[]>();
  const writtenAt = new Map<string, number>();
  for (const { revision, key, value } of log) {
    const states = byKey.get(key) ?? [];
    states.push({ revision, value });
    byKey.set(key, states);
    if (value === undefined) continue;
    if (writtenAt.has(value)) problems.push(`${value} was written twice: at ${writtenAt.get(value)} and ${revision}`);
    writtenAt.set(value, revision);
  }
  const stateAt = (key: string, revision: number): KeyState => {
    const states = byKey.get(key) ?? [];
    return states.findLast((state) => state.revision <= revision) ?? { revision: 0, value: undefined };
  };
  for (const operation of operations) problems.push(...checkAnswer(operation, stateAt, writtenAt));
  problems.push(...checkOrder(operations, writtenAt));
  return problems;
}

const say = ({ client, key, ask, answer }: Operation): string =>
  `${client} ${JSON.stringify(ask)} of ${key} answered ${JSON.stringify(answer)}`;

function checkAnswer(
  operation: Operation,
  stateAt: (key: string, revision: number) => KeyState,
  writtenAt: ReadonlyMap<string, number>,
): string[] {
  const { key, ask, answer } = operation;
  if (ask.kind === 'swap') {
    const revision = writtenAt.get(ask.value);
    const before = revision === undefined ? undefined : stateAt(key, revision - 1);
    if (before !== undefined && modified(before) !== ask.expected) {
      return [`${say(operation)}: it was made at ${revision} although the key had changed at ${before.revision}`];
    }
  }
  if (answer === undefined) return [];
  const { revision } = answer;
  const state = stateAt(key, revision);
  if (ask.kind === 'get') {
    return state.value === answer.value ? [] : [`${say(operation)}: at that revision it is ${state.value}`];
  }
  if (ask.kind === 'put' || answer.swapped) {
    return writtenAt.get(ask.value) === revision
      ? []
      : [`${say(operation)}: the log has it at ${writtenAt.get(ask.value)}`];
  }
  if (writtenAt.has(ask.value)) return [`${say(operation)}: it was made at ${writtenAt.get(ask.value)}`];
  return modified(state) === ask.expected ? [`${say(operation)}: the compare should have held`] : [];
}

const modified = ({ revision, value }: KeyState): number => (value === undefined ? 0 : revision);

/** In the order of real time no revision may fall, and none that was written may be seen before it was asked for. */
function checkOrder(operations: readonly Operation[], writtenAt: ReadonlyMap<string, number>): string[] {
  const problems: string[] = [];
  const isWrite = ({ ask, answer }: Operation): boolean => ask.kind === 'put' || answer?.swapped === true;
  // Who has no answer, but is in the log, has a place as well: with an end that nobody knows.
  const placed = operations.flatMap((operation) => {
    const { ask, answer } = operation;
    const revision = answer?.revision ?? (ask.kind === 'get' ? undefined : writtenAt.get(ask.value));
    return revision === undefined ? [] : [{ operation, revision }];
  });
  const byStart = [...placed].sort((a, b) => a.operation.startedAt - b.operation.startedAt);
  const byEnd = [...placed].sort((a, b) => a.operation.endedAt - b.operation.endedAt);
  let newest: (typeof placed)[number] | undefined;
  let ended = 0;
  for (const later of byStart) {
    for (; (byEnd[ended]?.operation.endedAt ?? Number.POSITIVE_INFINITY) < later.operation.startedAt; ended++) {
      const earlier = byEnd[ended] as (typeof placed)[number];
      if (newest === undefined || earlier.revision > newest.revision) newest = earlier;
    }
    if (newest === undefined) continue;
    const least = isWrite(later.operation) ? newest.revision + 1 : newest.revision;
    if (later.revision < least) {
      problems.push(`${say(later.operation)} at ${later.revision}, after ${say(newest.operation)} had ended`);
    }
  }
  return problems;
}
