import {
  type Checkpoint,
  checkChanges,
  Fenced,
  type Image,
  type ImageChange,
  type ImageMark,
  type ImageRow,
  type NamedRecord,
  type Snapshot,
  type StorageSize,
} from '../../registry/image.ts';
import { BackendError } from '../../registry/log.ts';
import type { Database } from './client.ts';
import { Code, codeOf, isMissingRow } from './failure.ts';
import { rowColumns, rowOf, splitKey } from './rows.ts';
import { markOf, openScan } from './scan.ts';
import type { Size } from './size.ts';
import { deleteKeys, deleteRange, insert, keyOf, type Mutation, numberOf, update, upsert } from './values.ts';

/** Rows of one commit of a checkpoint: more would keep appends waiting, fewer cost a commit each. */
const commitRowsMax = 250;
const loadKeysMax = 500;

export class SpannerImage implements Image {
  readonly #database: Database;
  readonly #keyspace: string;
  readonly #size: Size;

  constructor(database: Database, keyspace: string, size: Size) {
    this.#database = database;
    this.#keyspace = keyspace;
    this.#size = size;
  }

  async mark(): Promise<ImageMark> {
    const keys = [[this.#keyspace]];
    return markOf(await this.#database.read({ table: 'plinth_mark', columns: ['slot', 'revision'], keys }));
  }

  async begin(): Promise<Checkpoint> {
    const epoch = await this.#takeFence();
    const guard = update('plinth_fence', { keyspace: this.#keyspace, epoch, guard: '' });
    return {
      write: async (changes) => {
        checkChanges(changes);
        await this.#write(guard, changes);
      },
      finish: (mark, records) => this.#finish(guard, mark, records),
    };
  }

  /** The new epoch replaces all older ones: who holds one of those finds its row gone. */
  async #takeFence(): Promise<number> {
    const keyspace = this.#keyspace;
    const range = { startClosed: keyOf([keyspace]), endClosed: keyOf([keyspace]) };
    for (;;) {
      const rows = await this.#database.read({ table: 'plinth_fence', columns: ['epoch'], range });
      const epoch = 1 + Math.max(0, ...rows.map(([value]) => numberOf(value)));
      const older = { startClosed: keyOf([keyspace]), endOpen: keyOf([keyspace, epoch]) };
      try {
        await this.#database.commitRepeatably([
          insert('plinth_fence', { keyspace, epoch, guard: '' }),
          deleteRange('plinth_fence', older),
        ]);
        return epoch;
      } catch (error) {
        // Another checkpoint began at the same moment; or this one, by a try whose answer was lost.
        if (codeOf(error) !== Code.ALREADY_EXISTS) throw error;
      }
    }
  }

  async #fenced(guard: Mutation, mutations: readonly Mutation[]): Promise<void> {
    try {
      await this.#database.commitRepeatably([guard, ...mutations], 'PRIORITY_LOW');
    } catch (error) {
      if (isMissingRow(error)) throw new Fenced('a newer checkpoint has begun');
      throw error;
    }
  }

  async #write(guard: Mutation, changes: readonly ImageChange[]): Promise<void> {
    // The last change of a key is the one that counts.
    const last = [...new Map(changes.map((change) => [Buffer.from(change.key).toString('latin1'), change])).values()];
    let start = 0;
    do {
      const mutations = last.slice(start, start + commitRowsMax).map((change) => this.#mutation(change));
      await this.#fenced(guard, mutations);
      start += commitRowsMax;
    } while (start < last.length);
  }

  #mutation(change: ImageChange): Mutation {
    const { first, rest, digest } = splitKey(change.key);
    if ('deleted' in change) return deleteKeys('plinth_image', [[this.#keyspace, first, digest]]);
    const { createRevision, modRevision, version, lease, value } = change;
    this.#size.added(change.key.length + value.length);
    return upsert('plinth_image', {
      keyspace: this.#keyspace,
      key: first,
      rest_digest: digest,
      rest,
      create_revision: createRevision,
      mod_revision: modRevision,
      version,
      lease,
      value,
    });
  }

  async #finish(guard: Mutation, mark: ImageMark, records: readonly NamedRecord[]): Promise<void> {
    const keyspace = this.#keyspace;
    const { slot } = await this.mark();
    const isThere = async () => {
      const request = { table: 'plinth_log', columns: ['slot'], keys: [[keyspace, mark.slot]] };
      return (await this.#database.read(request)).length === 1;
    };
    if (mark.slot < slot || (mark.slot > slot && !(await isThere()))) {
      // Who has lost the fence is told that, whatever else is wrong.
      await this.#fenced(guard, []);
      throw new BackendError('failed', `the image cannot go from slot ${slot} to slot ${mark.slot}`);
    }
    await this.#fenced(guard, [
      upsert('plinth_mark', { keyspace, slot: mark.slot, revision: mark.revision }),
      deleteRange('plinth_record', { startClosed: keyOf([keyspace]), endClosed: keyOf([keyspace]) }),
      ...records.map(({ name, data }) => insert('plinth_record', { keyspace, name, data })),
    ]);
    this.#size.freed();
  }

  async scan(): Promise<Snapshot> {
    return await openScan(this.#database, this.#keyspace);
  }

  async load(keys: readonly Uint8Array[]): Promise<ImageRow[]> {
    const rows: ImageRow[] = [];
    for (let start = 0; start < keys.length; start += loadKeysMax) {
      const asked = keys.slice(start, start + loadKeysMax).map((key) => {
        const { first, digest } = splitKey(key);
        return [this.#keyspace, first, digest];
      });
      const found = await this.#database.read({ table: 'plinth_image', columns: rowColumns, keys: asked });
      rows.push(...found.map(rowOf));
    }
    return rows;
  }

  async size(): Promise<StorageSize> {
    return await this.#size.get();
  }

  /** Spanner gives back by itself what nobody can read any more. */
  async reclaim(): Promise<void> {
    this.#size.freed();
  }
}
