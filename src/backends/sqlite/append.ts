import type { AppendOutcome } from '../../registry/log.ts';
import type { Database } from './schema.ts';

export type Append = (after: number, id: string, data: Uint8Array) => AppendOutcome;

/** The conditional append, by whichever connection: one statement, and so one transaction. */
export function prepareAppend(db: Database, keyspace: string): Append {
  const insertGenesis = db.prepare(`INSERT INTO log (keyspace, slot, id, data) SELECT ?1, 0, ?2, ?3
    WHERE NOT EXISTS (SELECT 1 FROM log WHERE keyspace = ?1)`);
  const insertNext = db.prepare(`INSERT INTO log (keyspace, slot, id, data) SELECT ?1, ?2 + 1, ?3, ?4
    WHERE EXISTS (SELECT 1 FROM log WHERE keyspace = ?1 AND slot = ?2) ON CONFLICT DO NOTHING`);
  const idAt = db.prepare('SELECT id FROM log WHERE keyspace = ? AND slot = ?');

  return (after, id, data) => {
    const { changes } =
      after === -1 ? insertGenesis.run(keyspace, id, data) : insertNext.run(keyspace, after, id, data);
    if (changes === 1) return 'appended';
    const taken = idAt.get(keyspace, after + 1) as { id: string } | undefined;
    if (!taken) return 'gone';
    return taken.id === id ? 'appended' : 'conflict';
  };
}
