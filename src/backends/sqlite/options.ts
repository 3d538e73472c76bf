import type { Flag, Options } from '../../registry/flag.ts';

/**
 * 4 KiB: the log's tail page is written anew with every commit, so a larger page costs every small commit more; large
 * batches live in overflow pages, where the page size matters little.
 */
export const pageBytes = 4096;

const walBytesMax = 'sqlite-wal-bytes-max';
const walBytesMaxLeast = 64 * 1024 * 1024;

export const flags: readonly Flag[] = [
  {
    name: walBytesMax,
    type: 'number',
    default: String(1024 * 1024 * 1024),
    group: 'Storage: sqlite',
    help: 'Size in bytes that the write-ahead log may reach while a snapshot is being read; then that reading is ended.',
  },
];

export interface SqliteOptions {
  readonly walBytesMax: number;
}

export function validate(options: Options): string[] {
  const value = options.get(walBytesMax);
  if (value === undefined || (Number.isSafeInteger(value) && Number(value) >= walBytesMaxLeast)) return [];
  return [`--${walBytesMax}: ${String(value)} is not a whole number of at least ${walBytesMaxLeast}`];
}

export function parse(options: Options): SqliteOptions {
  return { walBytesMax: Number(options.get(walBytesMax) ?? flags[0]?.default) };
}
