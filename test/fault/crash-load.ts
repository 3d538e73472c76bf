/** Write load on a server that may die at any moment, and what was promised to its clients by then. */
import type { Random } from '../support/random.ts';
import type { RawClient } from '../support/raw-client.ts';

/** An acknowledged write: these keys had this value at this revision; undefined: they were deleted. */
export interface Acknowledged {
  readonly revision: number;
  readonly keys: readonly string[];
  readonly value: string | undefined;
}

/** What was acknowledged over all rounds. */
export class Promises {
  readonly writes: Acknowledged[] = [];
  /** Leases granted and the key put with each; revoked ones are taken out before the revoke is sent. */
  readonly leases = new Map<bigint, string>();
  /** Not above any watched revision, so that a watch can always go on. */
  compactable = 0;
  compacted = 0;
}

/** The keys of a transaction: all get the same value, or none does. */
export const txnKeys = (client: number): string[] => ['a', 'b', 'c'].map((key) => `txn/${client}/${key}`);

const leaseTtlSeconds = 100_000;

/** One client: write after write, until the server is gone. */
export async function writeUntilGone(client: RawClient, id: string, random: Random, promises: Promises): Promise<void> {
  const worker = Number(id.split('-')[1]);
  for (let i = 0; ; i++) {
    const value = `${id}/${i}`;
    const choice = random.integer(0, 39);
    try {
      if (choice < 16) {
        const keys = txnKeys(worker);
        const success = keys.map((key) => ({ requestPut: { key, value } }));
        const { header } = await client.call('KV/Txn', { success });
        promises.writes.push({ revision: header!.revision, keys, value });
      } else if (choice < 32) {
        const key = `put/${worker}/${random.integer(0, 19)}`;
        const padded = value.padEnd(random.chance(0.02) ? 20_000 : 0);
        const { header } = await client.call('KV/Put', { key, value: padded });
        promises.writes.push({ revision: header!.revision, keys: [key], value: padded });
      } else if (choice < 38) {
        const key = `put/${worker}/${random.integer(0, 19)}`;
        const { header, deleted } = await client.call('KV/DeleteRange', { key });
        if (deleted > 0) promises.writes.push({ revision: header!.revision, keys: [key], value: undefined });
      } else if (random.chance(0.8)) {
        const { ID } = await client.call('Lease/LeaseGrant', { TTL: leaseTtlSeconds });
        const key = `lease/${ID}`;
        const { header } = await client.call('KV/Put', { key, value, lease: ID });
        promises.writes.push({ revision: header!.revision, keys: [key], value });
        promises.leases.set(ID, key);
      } else {
        const own = [...promises.leases.keys()];
        if (own.length === 0) continue;
        const ID = random.pick(own);
        promises.leases.delete(ID);
        await client.call('Lease/LeaseRevoke', { ID });
      }
    } catch (error) {
      if (serverIsGone(error)) return;
      throw error;
    }
  }
}

/** Compacts what has been watched, again and again, until the server is gone. */
export async function compactUntilGone(client: RawClient, random: Random, promises: Promises): Promise<void> {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, random.integer(0, 99)));
    const revision = promises.compactable - random.integer(0, 19);
    try {
      if (revision > promises.compacted) {
        // It may happen although nobody is told.
        promises.compacted = revision;
        await client.call('KV/Compact', { revision, physical: random.chance(0.5) });
      } else await client.call('KV/Range', { key: 'alive' });
    } catch (error) {
      if (serverIsGone(error)) return;
      throw error;
    }
  }
}

/** UNAVAILABLE, or a connection that was cut within a call. */
export function serverIsGone(error: unknown): boolean {
  const code = (error as { code?: number }).code;
  return code === 14 || code === 1 || (code === 13 && /RST_STREAM|connection/i.test(String(error)));
}
