/** Sends one sequence of operations to two servers in lockstep and compares every answer. */
import { isDeepStrictEqual } from 'node:util';
import { describe } from '../suite/assertions.ts';
import type { Operation } from './operations.ts';
import type { Side } from './side.ts';
import type { History } from './transactions.ts';

export interface Mismatch {
  readonly step: number;
  readonly operation: Operation;
  readonly reference: unknown;
  readonly other: unknown;
}

/** Follows the answers of the reference, so that the generator can ask near its revisions. */
export class Progress implements History {
  head = 1;
  compacted = 0;

  follow(operation: Operation, answer: unknown): void {
    const { header } = answer as { header?: { revision: number } | null };
    if (header && header.revision > this.head) this.head = header.revision;
    if (operation.kind === 'call' && operation.method === 'KV/Compact' && header) {
      this.compacted = Math.max(this.compacted, Number(operation.request.revision));
    }
  }
}

const sentinel: Operation = { kind: 'call', method: 'KV/Put', request: { key: 'sentinel' } };

export class Lockstep {
  readonly progress = new Progress();
  readonly #reference: Side;
  readonly #other: Side;
  #step = 0;

  constructor(reference: Side, other: Side) {
    this.#reference = reference;
    this.#other = other;
  }

  /** The next step. Undefined: both answered the same. A server that does not answer at all is a mismatch too. */
  async step(operation: Operation): Promise<Mismatch | undefined> {
    this.#step++;
    try {
      return await this.#attempt(operation);
    } catch (error) {
      return { step: this.#step, operation, reference: 'both answer', other: String(error) };
    }
  }

  async #attempt(operation: Operation): Promise<Mismatch | undefined> {
    if (unsettles(operation)) {
      const mismatch = await this.#settle(operation);
      if (mismatch) return mismatch;
    }
    return this.#compare(operation);
  }

  async #compare(operation: Operation): Promise<Mismatch | undefined> {
    const [reference, other] = await Promise.all([this.#reference.execute(operation), this.#other.execute(operation)]);
    if (!isDeepStrictEqual(reference, other)) return { step: this.#step, operation, reference, other };
    this.progress.follow(operation, reference);
    return undefined;
  }

  /** Waits until every watch of both has been told everything, and compares what they were told. */
  async #settle(operation: Operation): Promise<Mismatch | undefined> {
    do {
      const mismatch = await this.#compare(sentinel);
      if (mismatch) return mismatch;
    } while (this.progress.head < this.#reference.highestStart);
    await Promise.all([this.#reference, this.#other].map((side) => side.settle(this.progress.head)));
    const [reference, other] = [this.#reference.watchLogs, this.#other.watchLogs];
    if (isDeepStrictEqual(reference, other)) return undefined;
    return { step: this.#step, operation, ...firstDifference(reference, other) };
  }
}

/** What a watch is told depends on timing if it has not caught up before one of these. */
function unsettles(operation: Operation): boolean {
  if (operation.kind === 'watch') return operation.request.cancelRequest !== undefined;
  if (operation.kind === 'call') return operation.method === 'KV/Compact';
  return operation.kind === 'close-watches' || operation.kind === 'settle';
}

/** The smallest part that differs, with the way to it. */
function firstDifference(reference: unknown, other: unknown, at = ''): { reference: unknown; other: unknown } {
  if (isObject(reference) && isObject(other)) {
    for (const name of new Set([...Object.keys(reference), ...Object.keys(other)])) {
      if (isDeepStrictEqual(reference[name], other[name])) continue;
      const deeper = `${at}.${name}`;
      if (name in reference && name in other) return firstDifference(reference[name], other[name], deeper);
      return { reference: { [deeper]: reference[name] }, other: { [deeper]: other[name] } };
    }
  }
  return { reference: { [at]: reference }, other: { [at]: other } };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object';
}

export function report(mismatch: Mismatch): string {
  return [
    `step ${mismatch.step}: ${describe(mismatch.operation)}`,
    `reference: ${describe(mismatch.reference)}`,
    `other:     ${describe(mismatch.other)}`,
  ].join('\n');
}
