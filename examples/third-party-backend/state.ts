/** What the lines of the file add up to. */
import type { Batch, ImageMark, ImageRow, NamedRecord } from 'plinth';

/** Bytes are base64, 64-bit numbers are text. */
export type Line =
  | { readonly kind: 'batch'; readonly slot: number; readonly id: string; readonly data: string }
  | {
      readonly kind: 'row';
      readonly key: string;
      readonly revisions: number[];
      readonly lease: string;
      readonly value: string;
    }
  | { readonly kind: 'delete'; readonly key: string }
  | { readonly kind: 'mark'; readonly mark: ImageMark; readonly records: readonly (readonly [string, string])[] };

export const toText = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
export const toBytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'));
export const copy = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes);

export const nameOf = (key: Uint8Array): string => Buffer.from(key).toString('latin1');

export function lineOfRow({ key, createRevision, modRevision, version, lease, value }: ImageRow): Line {
  const revisions = [createRevision, modRevision, version];
  return { kind: 'row', key: toText(key), revisions, lease: String(lease), value: toText(value) };
}

export function lineOfMark({ slot, revision }: ImageMark, records: readonly NamedRecord[]): Line {
  return { kind: 'mark', mark: { slot, revision }, records: records.map(({ name, data }) => [name, toText(data)]) };
}

export class State {
  /** Dense; the first is not slot 0 after a truncation. */
  batches: Batch[] = [];
  /** By key as a binary string: string order is byte order. */
  readonly rows = new Map<string, ImageRow>();
  mark: ImageMark = { slot: -1, revision: 0 };
  records: readonly NamedRecord[] = [];
  /** The newest checkpoint. Not in the file: a checkpoint does not outlive its process, which has the file alone. */
  fence = 0;

  get newest(): number {
    return this.batches.at(-1)?.slot ?? -1;
  }

  at(slot: number): Batch | undefined {
    return this.batches[slot - (this.batches[0]?.slot ?? 0)];
  }

  apply(line: Line): void {
    if (line.kind === 'batch') this.batches.push({ slot: line.slot, id: line.id, data: toBytes(line.data) });
    else if (line.kind === 'delete') this.rows.delete(nameOf(toBytes(line.key)));
    else if (line.kind === 'row') {
      const [createRevision = 0, modRevision = 0, version = 0] = line.revisions;
      const key = toBytes(line.key);
      const row = { key, createRevision, modRevision, version, lease: BigInt(line.lease), value: toBytes(line.value) };
      this.rows.set(nameOf(key), row);
    } else {
      this.mark = line.mark;
      this.records = line.records.map(([name, data]) => ({ name, data: toBytes(data) }));
    }
  }

  /** As few lines as say the same, without the batches up to `through`. */
  lines(through: number): Line[] {
    const lines: Line[] = [...this.rows.values()].map(lineOfRow);
    lines.push(lineOfMark(this.mark, this.records));
    for (const { slot, id, data } of this.batches)
      if (slot > through) lines.push({ kind: 'batch', slot, id, data: toText(data) });
    return lines;
  }
}
