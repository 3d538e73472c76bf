import { createHash } from 'node:crypto';
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
import type { Connections, Query } from './connections.ts';
import { codeOf, failureOf } from './failure.ts';
import { type HeadRow, headOf, Scan } from './scan.ts';
import { keyBytesIndexed, tableNames } from './schema.ts';

/** Snapshots that are read at once. */
const scansMax = 4;
/** Keys asked for in one statement. */
const loadKeysMax = 1000;

const deleteRows = `DELETE FROM plinth_image WHERE keyspace = $1 AND (key, rest_digest) IN (
  SELECT key, rest_digest FROM unnest($2::bytea[], $3::bytea[]) AS gone (key, rest_digest))`;
const upsertRows = `INSERT INTO plinth_image
    (keyspace, key, rest_digest, rest, create_revision, mod_revision, version, lease, value)
  SELECT $1, key, rest_digest, rest, create_revision, mod_revision, version, lease, value
  FROM unnest($2::bytea[], $3::bytea[], $4::bytea[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bytea[])
    AS come (key, rest_digest, rest, create_revision, mod_revision, version, lease, value)
  ON CONFLICT (keyspace, key, rest_digest) DO UPDATE SET create_revision = excluded.create_revision,
    mod_revision = excluded.mod_revision, version = excluded.version, lease = excluded.lease, value = excluded.value`;
const loadRows = `SELECT image.key, image.rest, create_revision, mod_revision, version, lease, value
  FROM unnest($2::bytea[], $3::bytea[]) AS asked (key, rest_digest)
  JOIN plinth_image AS image ON image.keyspace = $1 AND image.key = asked.key AND image.rest_digest = asked.rest_digest`;

/** How a key is stored: its first bytes, the rest, and a digest of the rest. */
function splitKey(key: Uint8Array): { first: Buffer; rest: Buffer; digest: Buffer } {
  const bytes = Buffer.from(key.buffer, key.byteOffset, key.byteLength);
  const rest = bytes.subarray(keyBytesIndexed);
  const digest = rest.length === 0 ? rest : createHash('sha256').update(rest).digest();
  return { first: bytes.subarray(0, keyBytesIndexed), rest, digest };
}

export class PostgresImage implements Image {
  readonly #connections: Connections;
  readonly #keyspace: string;
  readonly #warn: (message: string) => void;
  readonly #scans = new Set<Scan>();

  constructor(connections: Connections, keyspace: string, warn: (message: string) => void) {
    this.#connections = connections;
    this.#keyspace = keyspace;
    this.#warn = warn;
  }

  async mark(): Promise<ImageMark> {
    const [mark] = await this.#connections.read<{ slot: string; revision: string }>(
      'SELECT slot, revision FROM plinth_mark WHERE keyspace = $1',
      [this.#keyspace],
    );
    return { slot: Number(mark?.slot ?? -1), revision: Number(mark?.revision ?? 0) };
  }

  async begin(): Promise<Checkpoint> {
    const fence = await this.#connections.transaction(async (query) => {
      const { rows } = await query<{ fence: string }>(
        'UPDATE plinth_mark SET fence = fence + 1 WHERE keyspace = $1 RETURNING fence',
        [this.#keyspace],
      );
      return rows[0]?.fence;
    });
    return {
      write: async (changes) => {
        checkChanges(changes);
        await this.#fenced(fence, (query) => this.#write(query, changes));
      },
      finish: async (mark, records) => {
        await this.#fenced(fence, (query, slot) => this.#finish(query, slot, mark, records));
      },
    };
  }

  /** The lock on the mark holds until the commit, so that no other checkpoint begins between looking and writing. */
  async #fenced(fence: string | undefined, work: (query: Query, slot: number) => Promise<void>): Promise<void> {
    await this.#connections.transaction(async (query) => {
      const { rows } = await query<{ slot: string; fence: string }>(
        'SELECT slot, fence FROM plinth_mark WHERE keyspace = $1 FOR UPDATE',
        [this.#keyspace],
      );
      if (!rows[0] || rows[0].fence !== fence) throw new Fenced('a newer checkpoint has begun');
      await work(query, Number(rows[0].slot));
    });
  }

  async #write(query: Query, changes: readonly ImageChange[]): Promise<void> {
    // One statement cannot touch a row twice: the last change of a key is the one that counts.
    const last = new Map(changes.map((change) => [Buffer.from(change.key).toString('latin1'), change]));
    const gone: Uint8Array[] = [];
    const rows: ImageRow[] = [];
    for (const change of last.values()) {
      if ('deleted' in change) gone.push(change.key);
      else rows.push(change);
    }
    if (gone.length > 0) {
      const keys = gone.map(splitKey);
      await query(deleteRows, [this.#keyspace, keys.map(({ first }) => first), keys.map(({ digest }) => digest)]);
    }
    if (rows.length === 0) return;
    const keys = rows.map(({ key }) => splitKey(key));
    await query(upsertRows, [
      this.#keyspace,
      keys.map(({ first }) => first),
      keys.map(({ digest }) => digest),
      keys.map(({ rest }) => rest),
      rows.map(({ createRevision }) => createRevision),
      rows.map(({ modRevision }) => modRevision),
      rows.map(({ version }) => version),
      rows.map(({ lease }) => lease.toString()),
      rows.map(({ value }) => Buffer.from(value.buffer, value.byteOffset, value.byteLength)),
    ]);
  }

  async #finish(query: Query, slot: number, mark: ImageMark, records: readonly NamedRecord[]): Promise<void> {
    const isThere = async () => {
      const found = await query('SELECT 1 FROM plinth_log WHERE keyspace = $1 AND slot = $2', [
        this.#keyspace,
        mark.slot,
      ]);
      return found.rowCount === 1;
    };
    if (mark.slot < slot || (mark.slot > slot && !(await isThere()))) {
      throw new BackendError('failed', `the image cannot go from slot ${slot} to slot ${mark.slot}`);
    }
    await query('UPDATE plinth_mark SET slot = $2, revision = $3 WHERE keyspace = $1', [
      this.#keyspace,
      mark.slot,
      mark.revision,
    ]);
    await query('DELETE FROM plinth_record WHERE keyspace = $1', [this.#keyspace]);
    for (const { name, data } of records) {
      await query('INSERT INTO plinth_record (keyspace, name, data) VALUES ($1, $2, $3)', [this.#keyspace, name, data]);
    }
  }

  async scan(): Promise<Snapshot> {
    if (this.#scans.size >= scansMax) {
      throw new BackendError('failed', `postgres: ${scansMax} snapshots are being read already`);
    }
    const scan = new Scan(this.#connections, this.#keyspace, () => this.#scans.delete(scan));
    this.#scans.add(scan);
    return await scan.begin();
  }

  async load(keys: readonly Uint8Array[]): Promise<ImageRow[]> {
    const rows: ImageRow[] = [];
    for (let start = 0; start < keys.length; start += loadKeysMax) {
      const asked = keys.slice(start, start + loadKeysMax).map(splitKey);
      const values = [this.#keyspace, asked.map(({ first }) => first), asked.map(({ digest }) => digest)];
      for (const row of await this.#connections.read<HeadRow & { value: Buffer }>(loadRows, values)) {
        rows.push({ ...headOf(row), value: new Uint8Array(row.value) });
      }
    }
    return rows;
  }

  /** Of the tables, with all keyspaces in them. What is free inside them cannot be told cheaply, so it counts as used. */
  async size(): Promise<StorageSize> {
    const relations = tableNames.map((name) => `pg_total_relation_size('${name}')`).join(' + ');
    const lengths = `(SELECT COALESCE(sum(octet_length(data)), 0) FROM plinth_log)
      + (SELECT COALESCE(sum(octet_length(key) + octet_length(rest) + octet_length(value)), 0) FROM plinth_image)`;
    const bytes = async (expression: string) => {
      const [row] = await this.#connections.read<{ bytes: string }>(`SELECT (${expression})::bigint AS bytes`, []);
      return Number(row?.bytes ?? 0);
    };
    const total = await bytes(relations).catch((error: unknown) => {
      // CockroachDB has no such function, so the data itself is measured.
      if (error instanceof BackendError && /pg_total_relation_size/.test(error.message)) return bytes(lengths);
      throw error;
    });
    return { total, inUse: total };
  }

  /** VACUUM takes as long as it takes, beside everything else. */
  async reclaim(): Promise<void> {
    const client = await this.#connections.dedicated(false);
    try {
      for (const name of tableNames) await client.query(`VACUUM ${name}`);
    } catch (error) {
      if (!/^(42|0A)/.test(codeOf(error))) throw failureOf(error, this.#connections.where, 'read');
      // Not there, or not allowed: the database does it by itself.
      this.#warn(`postgres: no VACUUM: ${(error as Error).message}`);
    } finally {
      await this.#connections.end(client);
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#scans].map((scan) => scan.end()));
  }
}
