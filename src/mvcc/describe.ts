/** The log for people: one line of JSON per batch. Keys are shown as text where they are, with \xNN for the rest; values by size. */
import type { Batch } from '../registry/log.ts';
import { decodeKeyValue } from './key-value.ts';
import { decodeBatch, type LogRecord } from './records.ts';

/** For instance `{"slot":3,"id":"4f…-2","bytes":61,"records":[{"revision":4,"changes":[{"put":"a","version":1,"bytes":5}]}]}` */
export function describeBatch({ slot, id, data }: Batch): string {
  const { records, segment } = decodeBatch(data);
  const bytes = segment.bytes as Buffer;
  return JSON.stringify({
    slot,
    id,
    bytes: data.byteLength,
    records: records.map((record) => describe(record, bytes)),
  });
}

function describe(record: LogRecord, bytes: Buffer): object {
  if (record.kind !== 'revision') {
    const text = Object.entries(record).map(([name, value]) => [
      name,
      typeof value === 'bigint' ? idText(value) : value,
    ]);
    return Object.fromEntries(text);
  }
  const changes = record.changes.map(({ key, version }) => {
    if (version.deleted) return { delete: printable(key) };
    const { value } = decodeKeyValue(bytes, version.offset, version.offset + version.length);
    const lease = version.lease === 0n ? {} : { lease: idText(version.lease) };
    return { put: printable(key), version: version.version, bytes: value.length, ...lease };
  });
  return { revision: record.revision, changes };
}

/** Ids as etcdctl prints them. */
function idText(id: bigint): string {
  return BigInt.asUintN(64, id).toString(16);
}

function printable(key: string): string {
  const text = Buffer.from(key, 'latin1').toString('utf8');
  const isText = Buffer.from(text, 'utf8').toString('latin1') === key && !/\p{Cc}/u.test(text);
  if (isText) return text;
  return key.replace(/[^\x20-\x7e]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
