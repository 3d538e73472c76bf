/** `--storage-backend=jsonl`: one text file, a JSON value per line. Small data only: all of it is in memory as well. */
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Backend, Options } from 'plinth';
import { JsonlImage } from './image.ts';
import { Journal } from './journal.ts';
import { JsonlLog } from './log.ts';
import { State } from './state.ts';

const extensionOf = (options: Options): string => String(options.get('jsonl-extension') ?? 'jsonl');

export function jsonl(): Backend {
  return {
    name: 'jsonl',
    flags: [
      {
        name: 'jsonl-extension',
        type: 'string',
        default: 'jsonl',
        group: 'Storage: jsonl',
        help: 'Extension of the file in the data directory.',
      },
    ],
    validate(options) {
      const problems: string[] = [];
      if (!/^[a-z0-9]+$/.test(extensionOf(options))) problems.push('--jsonl-extension: only letters and digits');
      if (process.platform !== 'linux') problems.push('--storage-backend=jsonl works on Linux only: see journal.ts');
      return problems;
    },
    async build(options, { dataDir, keyspace }) {
      const directory = resolve(dataDir);
      await mkdir(directory, { recursive: true, mode: 0o700 });
      const state = new State();
      const file = join(directory, `${keyspace}.${extensionOf(options)}`);
      const journal = await Journal.open(file, (line) => state.apply(line));
      return {
        log: new JsonlLog(state, journal),
        image: new JsonlImage(state, journal),
        close: () => journal.close(),
      };
    },
  };
}
