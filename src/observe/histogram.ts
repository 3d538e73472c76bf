/**
 * A histogram that is fed by every commit. prom-client's makes objects and looks up names for each observation: little in a loop, but
 * much where each is made alone, by code that the processor has forgotten since the last one. So they are gathered.
 */
import { Histogram, type HistogramConfiguration } from 'prom-client';

/** So many wait for the next scrape at most: about 0.1 ms of work. */
const gatheredMax = 256;

export class GatheringHistogram {
  readonly #histogram: Histogram;
  readonly #gathered = new Float64Array(gatheredMax);
  #count = 0;

  constructor(configuration: HistogramConfiguration<string>) {
    this.#histogram = new Histogram({ ...configuration, collect: () => this.#pass() });
  }

  observe(value: number): void {
    this.#gathered[this.#count++] = value;
    if (this.#count === gatheredMax) this.#pass();
  }

  #pass(): void {
    for (let i = 0; i < this.#count; i++) this.#histogram.observe(this.#gathered[i]!);
    this.#count = 0;
  }
}
