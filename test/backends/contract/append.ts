import type { Test } from 'tap';
import { type AppendOutcome, batchBytesMaxLeast } from '../../../src/registry/log.ts';
import { bytes, checkpoint, dataOf, fill, filled, idOf, type NewDatabase, readAll } from './database.ts';

export async function append(t: Test, database: NewDatabase): Promise<void> {
  t.test('genesis is written once', async (t) => {
    const storage = await (await database(t)).open();
    const { log } = storage;
    t.same(await log.read(-1, { batches: 10, bytes: 1000 }), [], 'a new keyspace is empty');
    t.equal(await log.append(0, 'early', bytes('x')), 'gone', 'no slot before genesis');
    t.equal(await log.append(-1, idOf(0), dataOf(0)), 'appended');
    t.equal(await log.append(-1, idOf(0), dataOf(0)), 'appended', 'the same again');
    t.equal(await log.append(-1, 'another', bytes('x')), 'conflict');
    await fill(storage, 1, 3);
    t.equal(await log.append(-1, 'another', bytes('x')), 'conflict');
    await checkpoint(storage, { slot: 2, revision: 2 }, []);
    await log.truncate(2);
    t.not(await log.append(-1, 'another', bytes('x')), 'appended', 'never in a keyspace that had slots');
    t.same(await readAll(storage, 2), filled(3, 3));
  });

  t.test('a retry of the same batch is the same batch', async (t) => {
    const storage = await (await database(t)).open();
    await fill(storage, 0, 3);
    t.equal(await storage.log.append(2, idOf(3), dataOf(3)), 'appended', 'the newest');
    t.equal(await storage.log.append(0, idOf(1), dataOf(1)), 'appended', 'an older one');
    t.equal(await storage.log.append(2, 'another', dataOf(3)), 'conflict', 'equal content, another id');
    const attempts = Array.from({ length: 5 }, () => storage.log.append(3, idOf(4), dataOf(4)));
    t.same(await Promise.all(attempts), Array(5).fill('appended'), 'at the same time');
    t.same(await readAll(storage, -1), filled(0, 4));
  });

  t.test('exactly one of many writers wins a slot', async (t) => {
    const opened = await database(t);
    const first = await opened.open();
    const storages = [first];
    // Who has the log alone races with itself.
    for (let writer = 1; writer < 8; writer++) storages.push(first.log.exclusive ? first : await opened.open());
    await fill(first, 0, 0);
    for (let slot = 1; slot <= 30; slot++) {
      const idAt = (writer: number) => `writer-${writer}:${slot}`;
      // Another one comes first each time.
      const order = storages.map((_, index) => (index + slot) % storages.length);
      const outcomes = await Promise.all(
        order.map((writer) => (storages[writer] ?? first).log.append(slot - 1, idAt(writer), bytes(idAt(writer)))),
      );
      const winners = order.filter((_, index) => outcomes[index] === 'appended');
      t.equal(winners.length, 1, `slot ${slot}`);
      t.equal(outcomes.filter((outcome) => outcome === 'conflict').length, storages.length - 1);
      const winner = idAt(winners[0] ?? -1);
      for (const { log } of new Set(storages)) {
        t.same(await log.load([slot]), [{ slot, id: winner, data: bytes(winner) }], 'everybody sees the winner');
      }
    }
  });

  t.test('a writer that slept through a truncation is refused', async (t) => {
    const storage = await (await database(t)).open();
    await fill(storage, 0, 9);
    await checkpoint(storage, { slot: 6, revision: 6 }, []);
    await storage.log.truncate(6);
    for (const after of [0, 3, 5])
      t.equal(await storage.log.append(after, 'late', bytes('x')), 'gone', `after ${after}`);
    const atEdge: AppendOutcome[] = ['gone', 'conflict'];
    t.ok(atEdge.includes(await storage.log.append(6, 'late', bytes('x'))), 'the slot after it is taken');
    t.equal(await storage.log.append(20, 'early', bytes('x')), 'gone', 'a slot that is not there yet');
    t.same(await readAll(storage, 6), filled(7, 9), 'nothing was stored');
  });

  t.test('batches from one byte to the limit', async (t) => {
    const storage = await (await database(t)).open();
    await fill(storage, 0, 0);
    const sizes = [1, 2, 255, 4000, 4096, 65_536, 1 << 20, batchBytesMaxLeast];
    for (const [index, size] of sizes.entries()) {
      const data = Uint8Array.from({ length: size }, (_, at) => (at * 31 + size) & 255);
      const id = String.fromCharCode(33 + index).repeat(64);
      t.equal(await storage.log.append(index, id, data), 'appended', `${size} bytes`);
      const [batch] = await storage.log.load([index + 1]);
      t.equal(batch?.id, id);
      t.ok(batch && Buffer.compare(batch.data, data) === 0, 'comes back as it was');
    }
    for (const size of [0, storage.log.batchBytesMax + 1]) {
      await t.rejects(
        storage.log.append(sizes.length, 'x', new Uint8Array(size)),
        { name: 'BackendError' },
        `${size} bytes`,
      );
    }
    await t.rejects(storage.log.append(sizes.length, '', bytes('x')), { name: 'BackendError' }, 'no id');
    t.same(await storage.log.read(sizes.length, { batches: 1, bytes: 1 }), [], 'nothing was stored');
  });

  t.test('what is stored belongs to nobody', async (t) => {
    const storage = await (await database(t)).open();
    const whole = Buffer.from('before data after');
    const data = whole.subarray(7, 11);
    await storage.log.append(-1, idOf(0), data);
    t.equal(whole.toString(), 'before data after', "the buffer is still the writer's");
    whole.fill(0);
    const [first] = await storage.log.load([0]);
    t.same(first?.data, bytes('data'), 'the part given, as it was');
    first?.data.fill(0);
    const [again] = await storage.log.load([0]);
    t.same(again?.data, bytes('data'));
  });

  t.test('an append is told to who waits for it', async (t) => {
    const storage = await (await database(t)).open();
    const woken = new Promise<number | undefined>((resolve) => t.teardown(storage.log.onAppend(resolve)));
    const end = storage.log.onAppend(() => t.fail('was ended before'));
    end();
    end();
    await fill(storage, 0, 0);
    t.equal((await woken) ?? 0, 0, 'the slot, if it is known');
    t.same(await readAll(storage, -1), filled(0, 0));
  });
}
