import type { Test } from 'tap';
import type { ImageRow } from '../../../src/registry/image.ts';
import { checkpoint, fill, headOf, type NewDatabase, plain, readScan, row, type Supports, text } from './database.ts';

export async function allBytes(t: Test, database: NewDatabase, supports: Supports): Promise<void> {
  t.test('keys and values of any bytes, in bytewise order', async (t) => {
    const storage = await (await database(t)).open();
    await fill(storage, 0, 1);
    const keys: Uint8Array[] = [];
    for (let byte = 0; byte < 256; byte++)
      keys.push(...[[byte], [byte, 0], [byte, 0, 0], [byte, 255], [255, byte, 1]].map(toBytes));
    const unique = new Map(keys.map((key) => [Buffer.from(key).toString('latin1'), key]));
    const rows: ImageRow[] = [...unique.values()].map((key, index) => ({
      key,
      createRevision: 1,
      modRevision: 1,
      version: index + 1,
      lease: 0n,
      value: Uint8Array.from({ length: 256 }, (_, at) => (at + index) & 255),
    }));
    await checkpoint(storage, { slot: 1, revision: 1 }, [...rows].reverse());
    const sorted = [...rows].sort((a, b) => Buffer.compare(a.key, b.key));
    t.same((await readScan(storage)).rows, sorted.map(headOf));
    const found = plain(await storage.image.load(keys)).sort((a, b) => Buffer.compare(a.key, b.key));
    const once = found.filter(
      (item, index) => index === 0 || Buffer.compare(item.key, found[index - 1]?.key ?? item.key) !== 0,
    );
    t.same(once, sorted, 'and each is found by its key');
    const gone = rows.slice(0, 700).map(({ key }) => ({ key, deleted: true as const }));
    await checkpoint(storage, { slot: 1, revision: 1 }, gone);
    t.equal((await readScan(storage)).rows.length, rows.length - 700);
  });

  t.test('leases of all 64 bits, and large revisions', async (t) => {
    const storage = await (await database(t)).open();
    await fill(storage, 0, 1);
    const leases = [0n, 1n, -1n, 2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n), 0x1122334455667788n];
    const rows = leases.map(
      (lease, index): ImageRow => ({
        ...row(`key ${index}`, 1),
        lease,
        createRevision: Number.MAX_SAFE_INTEGER - 2,
        modRevision: Number.MAX_SAFE_INTEGER - 1,
        version: Number.MAX_SAFE_INTEGER,
      }),
    );
    await checkpoint(storage, { slot: 1, revision: Number.MAX_SAFE_INTEGER }, rows);
    const scan = await readScan(storage);
    t.same(scan.rows, rows.map(headOf));
    t.same(scan.mark, { slot: 1, revision: Number.MAX_SAFE_INTEGER });
    const found = await storage.image.load(rows.map(({ key }) => key));
    t.same(
      new Map(found.map(({ key, lease }) => [text(key), lease])),
      new Map(rows.map(({ key, lease }) => [text(key), lease])),
    );
  });

  t.test('long keys, empty and large values', async (t) => {
    const storage = await (await database(t)).open();
    await fill(storage, 0, 1);
    const long = (last: number) => new Uint8Array(supports.keyBytesMax).fill(65).fill(last, -1);
    const rows: ImageRow[] = [
      { ...row('', 1), key: long(1), value: new Uint8Array(1.5 * 1024 * 1024).fill(7) },
      { ...row('', 1), key: long(2), value: new Uint8Array() },
      { ...row('', 1), key: long(255), value: Uint8Array.of(0) },
    ];
    await checkpoint(storage, { slot: 1, revision: 1 }, rows);
    const scan = await readScan(storage);
    t.ok(
      scan.rows.every(({ key }, index) => Buffer.compare(key, rows[index]?.key ?? key) === 0),
      'in order',
    );
    t.equal(scan.rows.length, rows.length);
    for (const { key, value } of rows) {
      const [found] = await storage.image.load([key]);
      t.ok(found && Buffer.compare(found.value, value) === 0 && Buffer.compare(found.key, key) === 0);
    }
    t.equal((await storage.image.load(rows.map(({ key }) => key))).length, rows.length, 'at once');
  });
}

const toBytes = (numbers: number[]): Uint8Array => Uint8Array.from(numbers);
