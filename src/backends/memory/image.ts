import {
  type Checkpoint,
  checkChanges,
  Fenced,
  type Image,
  type ImageChange,
  type ImageMark,
  type ImageRow,
  type ImageRowHead,
  type NamedRecord,
  type Snapshot,
  type StorageSize,
} from '../../registry/image.ts';
import { BackendError } from '../../registry/log.ts';
import { copyOf, type MemoryKeyspace } from './keyspace.ts';

const chunkRows = 1000;

const nameOf = (key: Uint8Array): string => Buffer.from(key).toString('latin1');
const copyRow = (row: ImageRow): ImageRow => ({ ...row, key: copyOf(row.key), value: copyOf(row.value) });
const copyHead = ({ key, createRevision, modRevision, version, lease }: ImageRow): ImageRowHead => {
  return { key: copyOf(key), createRevision, modRevision, version, lease };
};
const copyRecord = ({ name, data }: NamedRecord): NamedRecord => ({ name, data: copyOf(data) });

export class MemoryImage implements Image {
  readonly #keyspace: () => MemoryKeyspace;

  constructor(keyspace: () => MemoryKeyspace) {
    this.#keyspace = keyspace;
  }

  async mark(): Promise<ImageMark> {
    return { ...this.#keyspace().mark };
  }

  async begin(): Promise<Checkpoint> {
    const fence = ++this.#keyspace().fence;
    const fenced = (): MemoryKeyspace => {
      const keyspace = this.#keyspace();
      if (keyspace.fence !== fence) throw new Fenced('a newer checkpoint has begun');
      return keyspace;
    };
    return {
      async write(changes: readonly ImageChange[]): Promise<void> {
        const { rows } = fenced();
        checkChanges(changes);
        for (const change of changes) {
          if ('deleted' in change) rows.delete(nameOf(change.key));
          else rows.set(nameOf(change.key), copyRow(change));
        }
      },
      async finish(mark: ImageMark, records: readonly NamedRecord[]): Promise<void> {
        const keyspace = fenced();
        if (mark.slot < keyspace.mark.slot || (mark.slot > keyspace.mark.slot && !keyspace.at(mark.slot))) {
          throw new BackendError('failed', `the image cannot go from slot ${keyspace.mark.slot} to slot ${mark.slot}`);
        }
        keyspace.mark = { slot: mark.slot, revision: mark.revision };
        keyspace.records = records.map(copyRecord);
      },
    };
  }

  async scan(): Promise<Snapshot> {
    const { mark, records, rows, batches } = this.#keyspace();
    // Stored rows and batches are never changed in place, so copies of the lists are a snapshot.
    const sorted = [...rows].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
    const tail = batches.filter(({ slot }) => slot > mark.slot);
    return {
      mark,
      records: records.map(copyRecord),
      rows: chunks(sorted, copyHead),
      batches: chunks(tail, (batch) => ({ ...batch, data: copyOf(batch.data) })),
    };
  }

  async load(keys: readonly Uint8Array[]): Promise<ImageRow[]> {
    const { rows } = this.#keyspace();
    return keys.flatMap((key) => {
      const row = rows.get(nameOf(key));
      return row ? [copyRow(row)] : [];
    });
  }

  async size(): Promise<StorageSize> {
    const { batches, rows, records } = this.#keyspace();
    let bytes = 0;
    for (const { data } of [...batches, ...records]) bytes += data.byteLength;
    for (const { key, value } of rows.values()) bytes += key.byteLength + value.byteLength;
    return { total: bytes, inUse: bytes };
  }

  async reclaim(): Promise<void> {
    this.#keyspace();
  }
}

async function* chunks<From, To>(list: readonly From[], copy: (item: From) => To): AsyncGenerator<To[]> {
  for (let start = 0; start < list.length; start += chunkRows) yield list.slice(start, start + chunkRows).map(copy);
}
