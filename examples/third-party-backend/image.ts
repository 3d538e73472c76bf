import {
  BackendError,
  type Batch,
  type Checkpoint,
  checkChanges,
  Fenced,
  type Image,
  type ImageMark,
  type ImageRow,
  type ImageRowHead,
  type Snapshot,
  type StorageSize,
} from 'plinth';
import type { Journal } from './journal.ts';
import { copy, lineOfMark, lineOfRow, nameOf, type State, toText } from './state.ts';

export class JsonlImage implements Image {
  readonly #state: State;
  readonly #journal: Journal;

  constructor(state: State, journal: Journal) {
    this.#state = state;
    this.#journal = journal;
  }

  async begin(): Promise<Checkpoint> {
    const state = this.#state;
    const journal = this.#journal;
    const fence = await journal.alone(async () => ++state.fence);
    const fenced = (work: () => Promise<void>) =>
      journal.alone(async () => {
        if (state.fence !== fence) throw new Fenced('a newer checkpoint has begun');
        await work();
      });
    return {
      async write(changes) {
        checkChanges(changes);
        const lines = changes.map((change) =>
          'deleted' in change ? ({ kind: 'delete', key: toText(change.key) } as const) : lineOfRow(change),
        );
        await fenced(async () => {
          await journal.add(lines);
          for (const line of lines) state.apply(line);
        });
      },
      async finish(mark, records) {
        const line = lineOfMark(mark, records);
        await fenced(async () => {
          const { slot } = state.mark;
          if (mark.slot < slot || (mark.slot > slot && !state.at(mark.slot))) {
            throw new BackendError('failed', `the image cannot go from slot ${slot} to slot ${mark.slot}`);
          }
          await journal.add([line]);
          state.apply(line);
        });
      },
    };
  }

  async mark(): Promise<ImageMark> {
    return await this.#journal.alone(async () => ({ ...this.#state.mark }));
  }

  /** The lists are copied at once; what is in them never changes. */
  async scan(): Promise<Snapshot> {
    return await this.#journal.alone(async () => {
      const { mark, records, rows, batches } = this.#state;
      const sorted = [...rows].sort(([a], [b]) => (a < b ? -1 : 1));
      const heads = sorted.map(([, row]) => headOf(row));
      const tail = batches.filter(({ slot }) => slot > mark.slot);
      return {
        mark,
        records: records.map(({ name, data }) => ({ name, data: copy(data) })),
        rows: chunks(heads),
        batches: chunks(tail.map((batch): Batch => ({ ...batch, data: copy(batch.data) }))),
      };
    });
  }

  async load(keys: readonly Uint8Array[]): Promise<ImageRow[]> {
    return await this.#journal.alone(async () =>
      keys.flatMap((key) => {
        const row = this.#state.rows.get(nameOf(key));
        return row ? [{ ...row, key: copy(row.key), value: copy(row.value) }] : [];
      }),
    );
  }

  async size(): Promise<StorageSize> {
    const total = await this.#journal.size();
    return { total, inUse: total };
  }

  /** Overwritten rows leave the file. */
  async reclaim(): Promise<void> {
    await this.#journal.alone(() => this.#journal.replace(this.#state.lines(-1)));
  }
}

function headOf({ key, createRevision, modRevision, version, lease }: ImageRow): ImageRowHead {
  return { key: copy(key), createRevision, modRevision, version, lease };
}

async function* chunks<T>(items: readonly T[]): AsyncGenerator<T[]> {
  for (let start = 0; start < items.length; start += 1000) yield items.slice(start, start + 1000);
}
