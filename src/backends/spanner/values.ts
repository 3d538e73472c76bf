/** Spanner's values on the wire: an INT64 is a decimal string, BYTES are base64, all inside google.protobuf.Value. */
import type { protos } from '@google-cloud/spanner';

export type Value = protos.google.protobuf.IValue;
export type Mutation = protos.google.spanner.v1.IMutation;
export type KeyRange = protos.google.spanner.v1.IKeyRange;
type ListValue = protos.google.protobuf.IListValue;
/** What a column is given, or a part of a key. */
export type Cell = string | number | bigint | Uint8Array;

export function encode(cell: Cell): Value {
  if (cell instanceof Uint8Array) {
    return { stringValue: Buffer.from(cell.buffer, cell.byteOffset, cell.byteLength).toString('base64') };
  }
  return { stringValue: String(cell) };
}

export function keyOf(cells: readonly Cell[]): ListValue {
  return { values: cells.map(encode) };
}

export function textOf(value: Value | undefined): string {
  return value?.stringValue ?? '';
}

/** Slots and revisions are far below what a number holds exactly. */
export function numberOf(value: Value | undefined): number {
  return Number(textOf(value));
}

/** The reader owns it. */
export function bytesOf(value: Value | undefined): Uint8Array {
  return new Uint8Array(Buffer.from(textOf(value), 'base64'));
}

/** One row for a mutation: the columns by name. */
export type Row = Readonly<Record<string, Cell>>;

function write(table: string, row: Row) {
  return { table, columns: Object.keys(row), values: [keyOf(Object.values(row))] };
}

/** Fails the commit (ALREADY_EXISTS) if the row is there. */
export const insert = (table: string, row: Row): Mutation => ({ insert: write(table, row) });
/** Fails the commit (NOT_FOUND) if the row is not there. */
export const update = (table: string, row: Row): Mutation => ({ update: write(table, row) });
export const upsert = (table: string, row: Row): Mutation => ({ insertOrUpdate: write(table, row) });

export function deleteKeys(table: string, keys: readonly (readonly Cell[])[]): Mutation {
  return { delete: { table, keySet: { keys: keys.map(keyOf) } } };
}

/** One mutation, however many rows there are. */
export function deleteRange(table: string, range: KeyRange): Mutation {
  return { delete: { table, keySet: { ranges: [range] } } };
}
