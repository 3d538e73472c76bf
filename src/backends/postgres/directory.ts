/** Who serves the keyspace, by the clock of the database. */
import type { Directory, DirectoryEntry } from '../../registry/directory.ts';
import type { Connections } from './connections.ts';

const upsert = `INSERT INTO plinth_member (keyspace, id, data, seen) VALUES ($1, $2, $3, now())
  ON CONFLICT (keyspace, id) DO UPDATE SET data = excluded.data, seen = excluded.seen`;
/** Forgotten after ten times of what counts as alive. */
const forget = `DELETE FROM plinth_member WHERE keyspace = $1 AND seen < now() - $2 * INTERVAL '10 milliseconds'`;
const live = `SELECT id, data FROM plinth_member
  WHERE keyspace = $1 AND seen >= now() - $2 * INTERVAL '1 millisecond'`;

export class PostgresDirectory implements Directory {
  readonly #connections: Connections;
  readonly #keyspace: string;

  constructor(connections: Connections, keyspace: string) {
    this.#connections = connections;
    this.#keyspace = keyspace;
  }

  async beat({ id, data }: DirectoryEntry, withinMs: number): Promise<DirectoryEntry[]> {
    const rows = await this.#connections.transaction(async (query) => {
      await query(upsert, [this.#keyspace, id, data]);
      await query(forget, [this.#keyspace, withinMs]);
      return (await query<{ id: string; data: Buffer }>(live, [this.#keyspace, withinMs])).rows;
    });
    // Sorted here: a database may order text in its own way.
    return rows.map((row) => ({ id: row.id, data: new Uint8Array(row.data) })).sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  async leave(id: string): Promise<void> {
    await this.#connections.transaction((query) =>
      query('DELETE FROM plinth_member WHERE keyspace = $1 AND id = $2', [this.#keyspace, id]),
    );
  }

  async secret(candidate: Uint8Array): Promise<Uint8Array> {
    const rows = await this.#connections.transaction(async (query) => {
      await query('INSERT INTO plinth_secret (keyspace, secret) VALUES ($1, $2) ON CONFLICT DO NOTHING', [
        this.#keyspace,
        candidate,
      ]);
      return (await query<{ secret: Buffer }>('SELECT secret FROM plinth_secret WHERE keyspace = $1', [this.#keyspace]))
        .rows;
    });
    return new Uint8Array((rows[0] as { secret: Buffer }).secret);
  }
}
