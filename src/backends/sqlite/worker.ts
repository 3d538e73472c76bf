/** Entry of the worker threads: opens the connection of its role, then answers calls one after the other. See thread.ts. */
import { parentPort, workerData } from 'node:worker_threads';
import { failureOf } from './failure.ts';
import { openReader } from './reader.ts';
import { buffersOf, type Call, type Reply, type Role } from './thread.ts';
import { openWalCopier } from './wal-copier.ts';
import { openWriter, type ThreadSettings } from './writer.ts';

const roles: Record<Role, (settings: ThreadSettings) => object> = {
  writer: openWriter,
  reader: openReader,
  'wal-copier': openWalCopier,
};

const port = parentPort;
if (!port) throw new Error('worker.ts runs in a worker thread');
const { role, settings } = workerData as { role: Role; settings: ThreadSettings };
const post = (reply: Reply, transfer: ArrayBuffer[] = []) => port.postMessage(reply, transfer);

try {
  const calls = roles[role](settings) as Record<string, (...args: unknown[]) => unknown>;
  port.on('message', ({ id, name, args }: Call) => {
    try {
      const result = calls[name]?.(...args);
      post({ id, result }, buffersOf([result]));
    } catch (error) {
      post({ id, failure: failureOf(error, settings.file) });
    }
    if (name === 'close') port.close();
  });
  post({ id: 0, result: undefined });
} catch (error) {
  post({ id: 0, failure: { ...failureOf(error, settings.file), kind: 'failed' } });
}
