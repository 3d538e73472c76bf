/** Storage in one SQLite file of this machine: the default. One plinth at a time has it. */
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Backend, BuildContext, Storage } from '../../registry/backend.ts';
import type { Options } from '../../registry/flag.ts';
import { DirectWrites } from './direct-writes.ts';
import { SqliteImage } from './image.ts';
import { Journal } from './journal.ts';
import { lockDirectory } from './lock.ts';
import { SqliteLog } from './log.ts';
import { flags, parse, validate } from './options.ts';
import type { Reader } from './reader.ts';
import { Thread } from './thread.ts';
import { Wal } from './wal.ts';
import type { WalCopier } from './wal-copier.ts';
import type { Writer } from './writer.ts';

const databaseFile = 'plinth.db';
const journalFile = 'plinth.journal';
const lockFile = 'plinth.lock';

async function build(options: Options, context: BuildContext): Promise<Storage> {
  const directory = resolve(context.dataDir);
  // What is stored may be secret: for this user only, as in etcd.
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const unlock = await lockDirectory(join(directory, lockFile), directory);
  const settings = {
    file: join(directory, databaseFile),
    journal: join(directory, journalFile),
    keyspace: context.keyspace,
  };
  const writer = new Thread<Writer>('writer', settings);
  const reader = new Thread<Reader>('reader', settings);
  const walCopier = new Thread<WalCopier>('wal-copier', settings);
  const warn = (message: string) => context.warn(message);
  const wal = new Wal({ writer, reader, walCopier }, parse(options).walBytesMax, warn);
  let log: SqliteLog | undefined;
  const closeAll = async () => {
    await log?.close();
    await wal.close();
    await Promise.all([reader.close(), walCopier.close()]);
    // What statements hold of a connection goes when they are garbage. So the log is emptied here, and not by the last one who closes it.
    if (log !== undefined) await writer.call('restartWal', true).catch(() => {});
    await writer.close();
    unlock();
  };
  try {
    // The writer creates the file and its tables; the others need them.
    await writer.open();
    await Promise.all([reader.open(), walCopier.open()]);
    const nextSlot = await writer.call('recover');
    const journal = new Journal(settings, { writer, wal, direct: new DirectWrites(), warn }, nextSlot);
    log = new SqliteLog({ writer, reader, wal, journal });
    let closing: Promise<void> | undefined;
    return {
      log,
      image: new SqliteImage({ writer, reader, wal, journal }),
      close() {
        closing ??= closeAll();
        return closing;
      },
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

export function sqlite(): Backend {
  return { name: 'sqlite', flags, validate, build };
}
