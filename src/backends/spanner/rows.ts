/** Rows of the image: a key that is too long for a primary key is stored by its first bytes and a digest of the rest. */
import { createHash } from 'node:crypto';
import type { ImageRow, ImageRowHead } from '../../registry/image.ts';
import type { Row } from './client.ts';
import { keyBytesIndexed } from './schema.ts';
import { bytesOf, numberOf, textOf } from './values.ts';

export const headColumns = ['key', 'rest', 'create_revision', 'mod_revision', 'version', 'lease'];
export const rowColumns = [...headColumns, 'value'];

const none = Buffer.alloc(0);

export function splitKey(key: Uint8Array): { first: Uint8Array; rest: Uint8Array; digest: Uint8Array } {
  if (key.length <= keyBytesIndexed) return { first: key, rest: none, digest: none };
  const rest = key.subarray(keyBytesIndexed);
  return { first: key.subarray(0, keyBytesIndexed), rest, digest: createHash('sha256').update(rest).digest() };
}

export function headOf([key, rest, createRevision, modRevision, version, lease]: Row): ImageRowHead {
  const [first, second] = [bytesOf(key), bytesOf(rest)];
  return {
    key: second.length === 0 ? first : new Uint8Array(Buffer.concat([first, second])),
    createRevision: numberOf(createRevision),
    modRevision: numberOf(modRevision),
    version: numberOf(version),
    lease: BigInt(textOf(lease)),
  };
}

export const rowOf = (row: Row): ImageRow => ({ ...headOf(row), value: bytesOf(row[headColumns.length]) });
