/** Entry of the worker threads: opens the connection of its role, then answers calls one after the other. See thread.ts. */
import { parentPort, workerData } from 'node:worker_threads';
import { Fenced } from '../../registry/image.ts';
import { BackendError } from '../../registry/log.ts';
import { openReader } from './reader.ts';
import { buffersOf, type Call, type Failure, type Reply, type Role } from './thread.ts';
import { openWalCopier } from './wal-copier.ts';
import { openWriter, type ThreadSettings } from './writer.ts';

const roles: Record<Role, (settings: ThreadSettings) => object> = {
  writer: openWriter,
  reader: openReader,
  'wal-copier': openWalCopier,
};

/** SQLite's primary result codes, and what an operator can do about them. */
const advice = new Map([
  [5, 'another program holds a lock on it'],
  [8, 'check its owner and mode'],
  [10, 'check the disk and the system log'],
  [11, 'the file is damaged: restore a backup'],
  [13, 'free space on the disk'],
  [14, 'check that the directory exists and who owns it'],
  [26, 'the file is not an SQLite database'],
]);
const ioError = 10;

function failureOf(error: unknown, file: string): Failure {
  if (error instanceof Fenced) return { kind: 'fenced', message: error.message };
  const { message } = error as Error;
  if (error instanceof BackendError) return { kind: error.outcome, message };
  const code = ((error as { errcode?: number }).errcode ?? 0) & 0xff;
  const hint = advice.get(code);
  return {
    // After an I/O error the commit may be in the write-ahead log all the same, and be found there by the next start. Every
    // other error leaves nothing behind.
    kind: code === ioError ? 'unknown' : 'failed',
    message: `sqlite: ${message} (${file}${hint ? `: ${hint}` : ''})`,
  };
}

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
  post({ id: 0, failure: failureOf(error, settings.file) });
}
