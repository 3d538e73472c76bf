/** `plinth log`: what is in the log of a keyspace that no plinth has open, from the image's mark on. */
import { describeBatch } from '../mvcc/describe.ts';
import type { Backends } from '../registry/backends.ts';
import type { ServerConfig } from './config.ts';

/** Resolves with the exit code. */
export async function printLog(
  config: ServerConfig,
  backends: Backends,
  print: (line: string) => void = console.log,
): Promise<number> {
  // Whoever reads it (head, less) may stop before the end.
  let wanted = true;
  process.stdout.on('error', () => {
    wanted = false;
  });
  try {
    const { dataDir, keyspace } = config;
    const warn = (message: string) => console.error(`plinth: ${message}`);
    const storage = await backends.build(config.storageBackend, config.options, { dataDir, keyspace, warn });
    try {
      const { mark, rows, batches } = await storage.image.scan();
      let rowCount = 0;
      for await (const chunk of rows) rowCount += chunk.length;
      print(JSON.stringify({ image: { slot: mark.slot, revision: mark.revision, rows: rowCount } }));
      for await (const chunk of batches) {
        for (const batch of chunk) print(describeBatch(batch));
        // What was written is reported in a later turn.
        await new Promise((resolve) => setImmediate(resolve));
        if (!wanted) break;
      }
    } finally {
      await storage.close();
    }
    return 0;
  } catch (error) {
    console.error(`plinth: cannot print the log: ${(error as Error).message}`);
    return 1;
  }
}
