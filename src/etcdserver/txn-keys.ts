/**
 * No key may be put twice in a Txn, nor put and deleted. The rules are etcd's, with their gaps:
 * - Deletes may overlap each other, and what a Txn inside puts in `success` and in `failure` may overlap: only one happens.
 * - Deletes of a Txn inside count from its place on: [txn(del a), txn(put a)] is refused, [txn(put a), txn(del a)] is not. The
 *   deletes at the level of the Txn itself count from the beginning, its own puts come last.
 * - A delete of everything from `key` on (range_end "\0") never conflicts, as "\0" is below every key.
 */
import { StoreError } from '../mvcc/errors.ts';
import type { KeyRange, RequestOp, TxnRequest } from '../mvcc/requests.ts';

export function checkNoKeyIsWrittenTwice({ success, failure }: TxnRequest): void {
  collect(success);
  collect(failure);
}

interface Writes {
  readonly puts: Set<string>;
  readonly deletes: Deletes;
}

function collect(ops: readonly RequestOp[]): Writes {
  const puts = new Set<string>();
  const deletes = new Deletes();
  const put = (key: string) => {
    if (puts.has(key) || deletes.has(key)) throw new StoreError('DuplicateKey');
    puts.add(key);
  };
  for (const op of ops) if (op?.kind === 'deleteRange') deletes.add(op);
  for (const op of ops) {
    if (op?.kind !== 'txn') continue;
    const success = collect(op.success);
    const failure = collect(op.failure);
    for (const key of success.puts) put(key);
    for (const key of failure.puts) if (!success.puts.has(key)) put(key);
    deletes.addAll(success.deletes);
    deletes.addAll(failure.deletes);
  }
  for (const op of ops) if (op?.kind === 'put') put(op.key);
  return { puts, deletes };
}

interface Interval {
  readonly begin: string;
  end: string;
}

/** Deleted keys. Ranges are kept as they come and put in order, and joined, when they are first asked for after that. */
class Deletes {
  readonly #keys = new Set<string>();
  #intervals: Interval[] = [];
  #ordered = true;

  add({ key, rangeEnd }: KeyRange): void {
    if (rangeEnd === '') this.#keys.add(key);
    else if (key < rangeEnd) this.#push({ begin: key, end: rangeEnd });
  }

  addAll(other: Deletes): void {
    for (const key of other.#keys) this.#keys.add(key);
    for (const { begin, end } of other.#intervals) this.#push({ begin, end });
  }

  has(key: string): boolean {
    if (this.#keys.has(key)) return true;
    if (!this.#ordered) this.#order();
    // The last interval that begins at or before the key.
    let low = 0;
    let high = this.#intervals.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#intervals[middle]!.begin <= key) low = middle + 1;
      else high = middle;
    }
    return low > 0 && key < this.#intervals[low - 1]!.end;
  }

  #push(interval: Interval): void {
    this.#intervals.push(interval);
    this.#ordered = false;
  }

  #order(): void {
    this.#intervals.sort((a, b) => (a.begin < b.begin ? -1 : a.begin > b.begin ? 1 : 0));
    const joined: Interval[] = [];
    for (const interval of this.#intervals) {
      const last = joined.at(-1);
      if (last === undefined || last.end < interval.begin) joined.push(interval);
      else if (last.end < interval.end) last.end = interval.end;
    }
    this.#intervals = joined;
    this.#ordered = true;
  }
}
