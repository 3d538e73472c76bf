/** Storage in the memory of this process: for tests, and to try things. Nothing survives the process. */
import type { Backend, Storage } from '../../registry/backend.ts';
import { BackendError } from '../../registry/log.ts';
import { MemoryDirectory } from './directory.ts';
import { MemoryImage } from './image.ts';
import { MemoryKeyspace } from './keyspace.ts';
import { MemoryLog } from './log.ts';

/**
 * Storages that one instance builds for the same keyspace share it, like replicas on one database; what they stored stays
 * until the instance goes.
 */
export function memory(): Backend {
  const keyspaces = new Map<string, MemoryKeyspace>();
  return {
    name: 'memory',
    flags: [],
    validate: () => [],
    async build(_options, context): Promise<Storage> {
      const keyspace = keyspaces.get(context.keyspace) ?? new MemoryKeyspace();
      keyspaces.set(context.keyspace, keyspace);
      let open = true;
      const opened = (): MemoryKeyspace => {
        if (!open) throw new BackendError('failed', 'memory: the storage is closed');
        return keyspace;
      };
      return {
        log: new MemoryLog(opened),
        image: new MemoryImage(opened),
        directory: new MemoryDirectory(opened),
        async close() {
          open = false;
        },
      };
    },
  };
}
