import {
  type AppendOutcome,
  BackendError,
  type Batch,
  checkBatch,
  type Log,
  type ReadLimit,
  type Wake,
} from '../../registry/log.ts';
import { copyOf, type MemoryKeyspace } from './keyspace.ts';

const copyBatch = (batch: Batch): Batch => ({ ...batch, data: copyOf(batch.data) });

export class MemoryLog implements Log {
  readonly exclusive = false;
  readonly batchBytesMax = 64 * 1024 * 1024;
  readonly #keyspace: () => MemoryKeyspace;

  constructor(keyspace: () => MemoryKeyspace) {
    this.#keyspace = keyspace;
  }

  async append(after: number, id: string, data: Uint8Array): Promise<AppendOutcome> {
    const keyspace = this.#keyspace();
    checkBatch(after, id, data, this.batchBytesMax);
    const taken = keyspace.at(after + 1);
    if (taken) return taken.id === id ? 'appended' : 'conflict';
    if (keyspace.newest() !== after) return 'gone';
    keyspace.batches.push({ slot: after + 1, id, data: copyOf(data) });
    for (const wake of keyspace.wakes) queueMicrotask(() => wake(after + 1));
    return 'appended';
  }

  async read(after: number, limit: ReadLimit): Promise<Batch[]> {
    const batches: Batch[] = [];
    let bytes = 0;
    for (const batch of this.#keyspace().after(after)) {
      bytes += batch.data.byteLength;
      if (batches.length > 0 && (bytes > limit.bytes || batches.length >= limit.batches)) break;
      batches.push(copyBatch(batch));
    }
    return batches;
  }

  async load(slots: readonly number[]): Promise<Batch[]> {
    const keyspace = this.#keyspace();
    return slots.flatMap((slot) => {
      const batch = keyspace.at(slot);
      return batch ? [copyBatch(batch)] : [];
    });
  }

  async truncate(through: number): Promise<void> {
    const keyspace = this.#keyspace();
    if (through >= keyspace.newest())
      throw new BackendError('failed', `truncate through ${through}: the newest slot stays`);
    if (through > keyspace.mark.slot) {
      throw new BackendError('failed', `truncate through ${through}: the image only covers ${keyspace.mark.slot}`);
    }
    keyspace.batches = keyspace.after(through);
  }

  onAppend(wake: Wake): () => void {
    const { wakes } = this.#keyspace();
    // A function of our own: the same `wake` may be given twice, and each has its own end.
    const own: Wake = (slot) => wake(slot);
    wakes.add(own);
    return () => wakes.delete(own);
  }
}
