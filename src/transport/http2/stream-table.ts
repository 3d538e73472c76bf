/**
 * The streams of a connection: those that are open, and of those that are over how they ended, which decides what still comes for them.
 *
 * The open ones are in a hash table with linear probing, by half their identifier, since a client uses only the odd ones: 1, 3, 5 and 7
 * are at 0, 1, 2 and 3, and with sixteen places 33 comes to 0 again, or behind who is there. It is not a Map, because a Map that
 * entries come to and go from is copied to a new one every few calls, and the outgrown one refers to the new one: once one of them has
 * become old, the garbage collector takes all that follow for needed, with the calls that were in them.
 */
import { closedStreamsKept } from './limits.ts';
import type { Stream } from './stream.ts';

const placesMin = 16;
const emptyPlaces = (count: number): undefined[] => Array.from<undefined>({ length: count });

export class StreamTable {
  /** A power of two, and at least twice as many as there are streams. */
  #places: (Stream | undefined)[] = emptyPlaces(placesMin);
  #size = 0;
  /** The newest that are over, a ring of identifiers; negative: reset by this side, so that the client may not know it yet. */
  readonly #closed = new Int32Array(closedStreamsKept);
  #closedNext = 0;
  #newestId = 0;

  get size(): number {
    return this.#size;
  }

  get(id: number): Stream | undefined {
    return this.#places[this.#find(id)];
  }

  /** By identifier. */
  all(): Stream[] {
    return this.#places.filter((stream) => stream !== undefined).sort((a, b) => a.id - b.id);
  }

  /** The highest identifier that the client has used. Lower ones that it has left out are closed (5.1.1). */
  get newestId(): number {
    return this.#newestId;
  }

  use(id: number): void {
    this.#newestId = id;
  }

  /** Never used: by the client, which has the odd ones, or by this side, which opens none (5.1.1). */
  isIdle(id: number): boolean {
    return id > this.#newestId || id % 2 === 0;
  }

  open(stream: Stream): void {
    this.#places[this.#find(stream.id)] = stream;
    this.#size++;
    if (this.#size * 2 > this.#places.length) this.#grow();
  }

  /** It is over, or was refused before it was open. */
  close(id: number, reset: boolean): void {
    this.#remove(id);
    this.#closed[this.#closedNext] = reset ? -id : id;
    this.#closedNext = (this.#closedNext + 1) % closedStreamsKept;
  }

  /** `ended`: by both sides, the client knows. undefined: long ago, or it never was. */
  howClosed(id: number): 'ended' | 'reset' | undefined {
    if (this.#closed.includes(id)) return 'ended';
    return this.#closed.includes(-id) ? 'reset' : undefined;
  }

  /** Where the stream is, or would be. */
  #find(id: number): number {
    const places = this.#places;
    const mask = places.length - 1;
    let place = (id >>> 1) & mask;
    for (;;) {
      const stream = places[place];
      if (stream === undefined || stream.id === id) return place;
      place = (place + 1) & mask;
    }
  }

  #remove(id: number): void {
    const places = this.#places;
    const mask = places.length - 1;
    let free = this.#find(id);
    if (places[free] === undefined) return;
    places[free] = undefined;
    this.#size--;
    // Whoever stands behind because this place was taken moves up, so that nobody is looked for in vain.
    for (let place = (free + 1) & mask; ; place = (place + 1) & mask) {
      const stream = places[place];
      if (stream === undefined) return;
      const wanted = (stream.id >>> 1) & mask;
      if (((place - wanted) & mask) < ((place - free) & mask)) continue;
      places[free] = stream;
      places[place] = undefined;
      free = place;
    }
  }

  #grow(): void {
    const streams = this.all();
    this.#places = emptyPlaces(this.#places.length * 2);
    for (const stream of streams) this.#places[this.#find(stream.id)] = stream;
  }
}
