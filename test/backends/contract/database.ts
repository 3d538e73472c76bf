/** What the topics of the suite work with: fresh databases, and short words for what they do all the time. */
import { rm } from 'node:fs/promises';
import type { Test } from 'tap';
import type { Backend, Storage } from '../../../src/registry/backend.ts';
import type { Options } from '../../../src/registry/flag.ts';
import type { ImageChange, ImageMark, ImageRow, ImageRowHead, NamedRecord } from '../../../src/registry/image.ts';
import type { Batch } from '../../../src/registry/log.ts';
import { temporaryDirectory } from '../../support/process.ts';

/** A new, empty database each time it is called. */
export type Factory = () => Promise<{ backend: Backend; options: Options; remove?: () => Promise<void> }>;

/** What a backend can not do, or does in its own way. */
export interface Supports {
  /** Another process can open what one left behind. */
  readonly otherProcesses: boolean;
  readonly keyBytesMax: number;
}

export interface Database {
  readonly backend: Backend;
  readonly options: Options;
  readonly dataDir: string;
  open(keyspace?: string): Promise<Storage>;
}

export type NewDatabase = (t: Test) => Promise<Database>;

/** Removed, with all that was opened, when the test ends. */
export async function newDatabase(t: Test, factory: Factory): Promise<Database> {
  const { backend, options, remove } = await factory();
  const dataDir = temporaryDirectory(backend.name);
  const storages: Storage[] = [];
  t.teardown(async () => {
    for (const storage of storages) await storage.close();
    await remove?.();
    await rm(dataDir, { recursive: true, force: true });
  });
  return {
    backend,
    options,
    dataDir,
    async open(keyspace = 'default') {
      const storage = await backend.build(options, { dataDir, keyspace, warn: (message) => t.comment(message) });
      storages.push(storage);
      return storage;
    },
  };
}

export const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'));
export const text = (data: Uint8Array): string => Buffer.from(data).toString('latin1');

/** The one content of a slot, so that every test can tell whether a batch is whole. */
export const dataOf = (slot: number): Uint8Array => bytes(`data of slot ${slot} `.repeat(1 + (slot % 20)));
export const idOf = (slot: number): string => `replica-1:${slot}`;

/** Fills the slots from..through. */
export async function fill({ log }: Storage, from: number, through: number): Promise<void> {
  for (let slot = from; slot <= through; slot++) {
    const outcome = await log.append(slot - 1, idOf(slot), dataOf(slot));
    if (outcome !== 'appended') throw new Error(`slot ${slot}: ${outcome}`);
  }
}

/** Slots from..through as `fill` writes them. */
export function filled(from: number, through: number): Batch[] {
  const slots = Array.from({ length: through - from + 1 }, (_, index) => from + index);
  return slots.map((slot) => ({ slot, id: idOf(slot), data: dataOf(slot) }));
}

export function row(key: string, modRevision: number, value = `value of ${key} at ${modRevision}`): ImageRow {
  return { key: bytes(key), createRevision: 1, modRevision, version: 1, lease: 0n, value: bytes(value) };
}

export function headOf({ key, createRevision, modRevision, version, lease }: ImageRow): ImageRowHead {
  return { key, createRevision, modRevision, version, lease };
}

/** A whole checkpoint. */
export async function checkpoint(
  { image }: Storage,
  mark: ImageMark,
  changes: readonly ImageChange[],
  records: readonly NamedRecord[] = [],
): Promise<void> {
  const run = await image.begin();
  for (let start = 0; start < changes.length; start += 1000) await run.write(changes.slice(start, start + 1000));
  await run.finish(mark, records);
}

/** Views of larger buffers, and Buffers, compare equal to what they hold. */
export const plain = <T extends { key: Uint8Array }>(rows: readonly T[]): T[] =>
  rows.map((item) => ({ ...item, key: new Uint8Array(item.key) }));

export async function readScan({ image }: Storage) {
  const { mark, records, rows, batches } = await image.scan();
  const heads: ImageRowHead[] = [];
  const tail: Batch[] = [];
  for await (const chunk of rows) heads.push(...plain(chunk));
  for await (const chunk of batches) tail.push(...chunk);
  return { mark, records, rows: heads, batches: tail };
}

/** The whole log after a slot, in steps of a few batches. */
export async function readAll({ log }: Storage, after: number): Promise<Batch[]> {
  const all: Batch[] = [];
  for (let last = after; ; ) {
    const batches = await log.read(last, { batches: 7, bytes: 1 << 20 });
    if (batches.length === 0) return all;
    all.push(...batches);
    last = batches.at(-1)?.slot ?? last;
  }
}
