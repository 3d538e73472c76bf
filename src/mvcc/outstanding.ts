/**
 * Requests that were sent and are not answered, by their numbers, which rise by one: answers come nearly in that order, so those under way
 * are a short piece of the sequence. One that is never answered keeps the places behind it until its time limit takes it. Three of which
 * the second is answered:
 *
 *   first 7   items [request 7, undefined, request 9]   next 10
 *
 * Not a Map, for the reason that transport/http2/stream-table.ts gives.
 */

/** Places of answered requests at the begin are given back when there are so many, and as many as all others. */
const answeredMin = 256;

export class Outstanding<T> {
  #items: (T | undefined)[] = [];
  #first = 1;
  /** So many at the begin of #items are answered. */
  #answered = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The number that the next request gets. */
  get next(): number {
    return this.#first + this.#items.length;
  }

  add(item: T): void {
    this.#items.push(item);
    this.#size++;
  }

  get(number: number): T | undefined {
    return this.#items[number - this.#first];
  }

  /** Removes it; undefined: it was answered already, or never sent. */
  take(number: number): T | undefined {
    const item = this.get(number);
    if (item === undefined) return undefined;
    this.#items[number - this.#first] = undefined;
    this.#size--;
    while (this.#answered < this.#items.length && this.#items[this.#answered] === undefined) this.#answered++;
    if (this.#answered >= answeredMin && this.#answered * 2 >= this.#items.length) this.#shrink();
    return item;
  }

  #shrink(): void {
    this.#items = this.#items.slice(this.#answered);
    this.#first += this.#answered;
    this.#answered = 0;
  }

  /** By number. */
  entries(): (readonly [number: number, item: T])[] {
    return this.#items.flatMap((item, i) => (item === undefined ? [] : [[this.#first + i, item] as const]));
  }
}
