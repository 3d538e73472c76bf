/** src/registry/directory.ts */
import type { Test } from 'tap';
import type { Directory } from '../../../src/registry/directory.ts';
import { bytes, type NewDatabase, text } from './database.ts';

const longMs = 600_000;

export async function directory(t: Test, newDatabase: NewDatabase): Promise<void> {
  const database = await newDatabase(t);
  const first = await database.open();
  if (first.directory === undefined) {
    t.equal(first.log.exclusive, true, 'only a log that nobody else can open may do without a directory');
    return;
  }
  const own = first.directory;
  const second = (await database.open()).directory as Directory;
  const elsewhere = (await database.open('elsewhere')).directory as Directory;
  const names = async (which: Directory, id: string, data: string, withinMs = longMs) =>
    (await which.beat({ id, data: bytes(data) }, withinMs)).map((entry) => `${entry.id}=${text(entry.data)}`);

  await t.test('every replica finds the others of its keyspace', async (t) => {
    t.strictSame(await names(own, 'b', 'one'), ['b=one']);
    t.strictSame(await names(second, 'a', 'two'), ['a=two', 'b=one'], 'ordered by id');
    t.strictSame(await names(own, 'b', 'new'), ['a=two', 'b=new'], 'what it tells is replaced');
    t.strictSame(await names(elsewhere, 'c', 'x'), ['c=x'], 'keyspaces do not see each other');
  });

  await t.test('who has not said for long that it lives is left out', async (t) => {
    await own.beat({ id: 'quiet', data: bytes('q') }, longMs);
    let live: string[] = [];
    for (const until = Date.now() + 30_000; Date.now() < until; ) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      live = await names(second, 'a', 'two', 200);
      if (!live.includes('quiet=q')) break;
    }
    t.notOk(live.includes('quiet=q'));
    t.ok(live.includes('a=two'), 'itself it always finds');
  });

  await t.test('who leaves is out at once', async (t) => {
    await own.beat({ id: 'gone', data: bytes('g') }, longMs);
    await own.leave('gone');
    await own.leave('gone');
    t.notOk((await names(second, 'a', 'two')).includes('gone=g'));
  });

  await t.test('one secret for each keyspace: the first', async (t) => {
    const secrets = await Promise.all(
      [own, second, own, second].map((which, i) => which.secret(Buffer.alloc(32, i + 1))),
    );
    const [winner] = secrets as [Uint8Array];
    t.equal(winner.length, 32);
    for (const secret of secrets) t.strictSame(secret, winner);
    t.strictSame(await second.secret(Buffer.alloc(32, 99)), winner);
    t.strictSame(text(await elsewhere.secret(Buffer.alloc(16, 7))), '\x07'.repeat(16));
  });
}
