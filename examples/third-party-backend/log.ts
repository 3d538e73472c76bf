import {
  type AppendOutcome,
  BackendError,
  type Batch,
  batchBytesMaxLeast,
  checkBatch,
  type Log,
  type ReadLimit,
} from 'plinth';
import type { Journal } from './journal.ts';
import { copy, type State, toText } from './state.ts';

const copyBatch = (batch: Batch): Batch => ({ ...batch, data: copy(batch.data) });

export class JsonlLog implements Log {
  readonly exclusive = true;
  readonly batchBytesMax = batchBytesMaxLeast;
  readonly #state: State;
  readonly #journal: Journal;
  readonly #wakes = new Set<() => void>();

  constructor(state: State, journal: Journal) {
    this.#state = state;
    this.#journal = journal;
  }

  async append(after: number, id: string, data: Uint8Array): Promise<AppendOutcome> {
    checkBatch(after, id, data, this.batchBytesMax);
    const line = { kind: 'batch', slot: after + 1, id, data: toText(data) } as const;
    return await this.#journal.alone(async () => {
      const taken = this.#state.at(line.slot);
      if (taken) return taken.id === id ? 'appended' : 'conflict';
      if (this.#state.newest !== after) return 'gone';
      await this.#journal.add([line]);
      this.#state.apply(line);
      for (const wake of this.#wakes) queueMicrotask(wake);
      return 'appended';
    });
  }

  async read(after: number, limit: ReadLimit): Promise<Batch[]> {
    return await this.#journal.alone(async () => {
      const batches: Batch[] = [];
      let bytes = 0;
      for (const batch of this.#state.batches.slice(Math.max(0, after + 1 - (this.#state.batches[0]?.slot ?? 0)))) {
        bytes += batch.data.byteLength;
        if (batches.length > 0 && (bytes > limit.bytes || batches.length >= limit.batches)) break;
        batches.push(copyBatch(batch));
      }
      return batches;
    });
  }

  async load(slots: readonly number[]): Promise<Batch[]> {
    return await this.#journal.alone(async () =>
      slots.flatMap((slot) => {
        const batch = this.#state.at(slot);
        return batch ? [copyBatch(batch)] : [];
      }),
    );
  }

  async truncate(through: number): Promise<void> {
    await this.#journal.alone(async () => {
      const { newest, mark, batches } = this.#state;
      if (through >= newest || through > mark.slot) {
        throw new BackendError('failed', `truncate through ${through}: newest slot ${newest}, image at ${mark.slot}`);
      }
      await this.#journal.replace(this.#state.lines(through));
      this.#state.batches = batches.filter(({ slot }) => slot > through);
    });
  }

  onAppend(wake: () => void): () => void {
    const own = () => wake();
    this.#wakes.add(own);
    return () => this.#wakes.delete(own);
  }
}
