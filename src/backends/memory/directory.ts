import type { Directory, DirectoryEntry } from '../../registry/directory.ts';
import { copyOf, type MemoryKeyspace } from './keyspace.ts';

/** Forgotten after so many times of what counts as alive. */
const forgottenAfter = 10;

export class MemoryDirectory implements Directory {
  readonly #keyspace: () => MemoryKeyspace;

  constructor(keyspace: () => MemoryKeyspace) {
    this.#keyspace = keyspace;
  }

  async beat({ id, data }: DirectoryEntry, withinMs: number): Promise<DirectoryEntry[]> {
    const { members } = this.#keyspace();
    const now = performance.now();
    members.set(id, { data: copyOf(data), atMs: now });
    for (const [other, { atMs }] of members) if (now - atMs > forgottenAfter * withinMs) members.delete(other);
    const live = [...members].filter(([, { atMs }]) => now - atMs <= withinMs);
    return live.map(([id, { data }]) => ({ id, data: copyOf(data) })).sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  async leave(id: string): Promise<void> {
    this.#keyspace().members.delete(id);
  }

  async secret(candidate: Uint8Array): Promise<Uint8Array> {
    const keyspace = this.#keyspace();
    keyspace.secret ??= copyOf(candidate);
    return copyOf(keyspace.secret);
  }
}
