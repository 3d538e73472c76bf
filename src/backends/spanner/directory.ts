/** Who serves the keyspace, by the commit timestamps of the service. */
import type { Directory, DirectoryEntry } from '../../registry/directory.ts';
import type { Database, Timestamp } from './client.ts';
import { Code, codeOf } from './failure.ts';
import { bytesOf, deleteKeys, insert, keyOf, textOf, upsert } from './values.ts';

const table = 'plinth_member';
/** Forgotten after so many times of what counts as alive. */
const forgottenAfter = 10;

export class SpannerDirectory implements Directory {
  readonly #database: Database;
  readonly #keyspace: string;

  constructor(database: Database, keyspace: string) {
    this.#database = database;
    this.#keyspace = keyspace;
  }

  async beat({ id, data }: DirectoryEntry, withinMs: number): Promise<DirectoryEntry[]> {
    const keyspace = this.#keyspace;
    const own = { keyspace, id, data, seen: 'spanner.commit_timestamp()' };
    await this.#database.commitRepeatably([upsert(table, own)]);
    const range = { startClosed: keyOf([keyspace]), endClosed: keyOf([keyspace]) };
    const entries: { id: string; data: Uint8Array; seenMs: number }[] = [];
    let now: Timestamp | undefined;
    for await (const { rows, readAt } of this.#database.stream({ table, columns: ['id', 'data', 'seen'], range })) {
      now ??= readAt;
      for (const [name, told, seen] of rows) {
        entries.push({ id: textOf(name), data: bytesOf(told), seenMs: Date.parse(textOf(seen)) });
      }
    }
    const nowMs = Number(now?.seconds ?? 0) * 1000 + Number(now?.nanos ?? 0) / 1e6;
    const forgotten = entries.filter(({ seenMs }) => nowMs - seenMs > forgottenAfter * withinMs);
    if (forgotten.length > 0) {
      await this.#database.commitRepeatably([
        deleteKeys(
          table,
          forgotten.map((entry) => [keyspace, entry.id]),
        ),
      ]);
    }
    return entries
      .filter(({ id: name, seenMs }) => name === id || nowMs - seenMs <= withinMs)
      .map((entry) => ({ id: entry.id, data: entry.data }));
  }

  async leave(id: string): Promise<void> {
    await this.#database.commitRepeatably([deleteKeys(table, [[this.#keyspace, id]])]);
  }

  async secret(candidate: Uint8Array): Promise<Uint8Array> {
    const keyspace = this.#keyspace;
    await this.#database
      .commitRepeatably([insert('plinth_secret', { keyspace, secret: candidate })])
      .catch((error: unknown) => {
        if (codeOf(error) !== Code.ALREADY_EXISTS) throw error;
      });
    const [row] = await this.#database.read({ table: 'plinth_secret', columns: ['secret'], keys: [[keyspace]] });
    return bytesOf(row?.[0]);
  }
}
