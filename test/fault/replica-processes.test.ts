/**
 * Three replicas as processes of their own on one database, each behind a proxy of its own: what clients of the others see when one
 * is killed, stopped or cut off from the database.
 */
import t, { type Test } from 'tap';
import { postgres } from '../../src/backends/postgres/backend.ts';
import { spanner } from '../../src/backends/spanner/backend.ts';
import { Backends } from '../../src/registry/backends.ts';
import { type Certificates, withoutOpenssl } from '../support/certificates.ts';
import { type DatabaseServer, sharedBackends } from '../support/databases.ts';
import { isMissing } from '../support/demand.ts';
import { eventually } from '../support/process.ts';
import { type Server, startPlinth } from '../support/server.ts';
import type { TcpProxy } from '../support/tcp-proxy.ts';
import { put as putRequest, range } from '../unit/mvcc/requests.ts';
import { openStore } from '../unit/mvcc/storage.ts';
import { certificates } from '../unit/transport/tls-support.ts';

t.setTimeout(1_190_000);

/** How long a replica stands still: under continuous integration until all others have forgotten it. */
const stoppedMs = process.env.CI === 'true' ? Number(process.env.STOPPED_MS ?? 60_000) : 2_000;

interface Replica {
  readonly server: Server;
  readonly proxy: TcpProxy;
}

/** A write that a client was told of. */
interface Acknowledged {
  readonly key: string;
  readonly value: string;
  readonly revision: number;
}

async function replicas(
  t: Test,
  backend: string,
  database: DatabaseServer,
  flags: readonly string[] = [],
  tls?: Certificates,
): Promise<Replica[]> {
  const through = database.newDatabase();
  const all: Replica[] = [];
  t.teardown(async () => {
    for (const { server, proxy } of all) {
      await server.close();
      proxy.close();
    }
  });
  for (let i = 0; i < 3; i++) {
    const proxy = await database.proxy();
    all.push({ server: await startPlinth({ backend, flags: [...through.flags(proxy), ...flags], tls }), proxy });
  }
  return all;
}

/** On the one that will fail, and then on the others: who wrote last is asked to write for them, and is the worst one to lose. */
async function loads(failing: Replica, others: readonly Replica[]) {
  const own = writers([failing], 'own');
  await own.more(5);
  const load = writers(others, 'others');
  await load.more(20);
  return { own, load };
}

/** Clients that write through these replicas until `stop`, and the errors that they met. */
function writers(all: readonly Replica[], name: string) {
  const acknowledged: Acknowledged[] = [];
  const errors: string[] = [];
  let running = true;
  const clients = all.flatMap(({ server }, replica) => [0, 1].map((i) => ({ server, id: `${name}-${replica}-${i}` })));
  const done = clients.map(async ({ server, id }) => {
    const client = server.connect();
    for (let i = 0; running; i++) {
      const value = `${id}/${i}`;
      try {
        const { header } = await client.call('KV/Put', { key: id, value }, { timeoutMs: 20_000 });
        acknowledged.push({ key: id, value, revision: header!.revision });
      } catch (error) {
        errors.push(String((error as Error).message));
      }
    }
    client.close();
  });
  const more = async (count: number) => {
    const target = acknowledged.length + count;
    for (const until = Date.now() + 60_000; acknowledged.length < target; ) {
      if (Date.now() > until) throw new Error(`no more writes were acknowledged; errors: ${errors.join('; ')}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  const stop = async () => {
    running = false;
    await Promise.all(done);
    return { acknowledged, errors };
  };
  return { more, stop };
}

/** Every event from the beginning to `revision`, as a replica tells it. */
async function history({ server }: Replica, revision: number): Promise<string[]> {
  const client = server.connect();
  const stream = client.open('Watch/Watch');
  stream.send({ createRequest: { key: '\0', rangeEnd: '\0', startRevision: 1 } });
  const events: string[] = [];
  for (let last = 0; last < revision; ) {
    for (const { type, kv } of (await stream.next()).events) {
      last = kv!.modRevision;
      events.push(`${type === 0 ? 'put' : 'delete'} ${kv!.key}=${kv!.value}@${kv!.modRevision}`);
    }
  }
  stream.cancel();
  client.close();
  return events;
}

/** Nothing that was acknowledged is lost, nothing is there twice, and all replicas tell the same. */
async function verify(t: Test, all: readonly Replica[], acknowledged: readonly Acknowledged[]): Promise<void> {
  const { header } = await (all[0] as Replica).server.client.call('KV/Range', { key: 'x' });
  const told = await Promise.all(all.map((replica) => history(replica, header!.revision)));
  const [first] = told as [string[]];
  for (const other of told) t.strictSame(other, first, 'every replica tells the same');
  const revisions = first.map((event) => Number(event.slice(event.lastIndexOf('@') + 1)));
  t.strictSame(
    revisions,
    Array.from({ length: revisions.length }, (_, i) => i + 2),
    'dense, in order, once',
  );
  const known = new Set(first);
  const lost = acknowledged.filter(({ key, value, revision }) => !known.has(`put ${key}=${value}@${revision}`));
  t.strictSame(lost, [], `none of ${acknowledged.length} acknowledged writes is lost`);
  const values = first.map((event) => event.slice(0, event.lastIndexOf('@')));
  t.equal(new Set(values).size, values.length, 'no write was made twice');
}

const valueAt = async ({ server }: Replica, key: string): Promise<string | undefined> =>
  (await server.client.call('KV/Range', { key })).kvs[0]?.value;

for (const { name, without, start } of sharedBackends) {
  await t.test(name, async (t) => {
    if (isMissing(t, without)) return;
    const database = await start();
    t.teardown(() => database.close());
    await suite(t, name, database);
  });
}

async function suite(t: Test, backend: string, database: DatabaseServer): Promise<void> {
  for (const flags of [[], ['--replica-links=false']]) {
    await t.test(`writes through all at once ${flags.join(' ')}`, async (t) => {
      const all = await replicas(t, backend, database, flags);
      const [a, b, c] = all as [Replica, Replica, Replica];
      for (let i = 0; i < 20; i++) {
        await a.server.client.call('KV/Put', { key: 'seen', value: String(i) });
        t.equal(await valueAt(b, 'seen'), String(i), 'b reads what a acknowledged');
        t.equal(await valueAt(c, 'seen'), String(i));
      }
      const load = writers(all, 'w');
      await load.more(150);
      const { acknowledged, errors } = await load.stop();
      t.strictSame(errors, []);
      await verify(t, all, acknowledged);
    });
  }

  await t.test('writes through all at once, by TLS, and so are the links', async (t) => {
    if (isMissing(t, withoutOpenssl())) return;
    const made = certificates();
    const all = await replicas(t, backend, database, [`--peer-trusted-ca-file=${made.ca}`], made);
    for (const { server } of all) {
      await eventually(async () => {
        const metrics = await (await server.fetch('/metrics')).text();
        if (!/^plinth_replicas_linked 2$/m.test(metrics)) throw new Error('not linked');
      }, server.child);
    }
    const load = writers(all, 'w');
    await load.more(150);
    const { acknowledged, errors } = await load.stop();
    t.strictSame(errors, []);
    await verify(t, all, acknowledged);
    const [a] = all as [Replica];
    const { members } = await a.server.client.call('Cluster/MemberList');
    t.strictSame(members.flatMap(({ clientURLs }) => clientURLs).sort(), all.map(({ server }) => server.url).sort());
  });

  await t.test('a lease is granted here, kept alive there, and expires once; a compaction holds for all', async (t) => {
    const all = await replicas(t, backend, database);
    const [a, b, c] = all as [Replica, Replica, Replica];
    await a.server.client.call('Lease/LeaseGrant', { ID: 7, TTL: 2 });
    await a.server.client.call('KV/Put', { key: 'leased', value: '1', lease: 7 });
    const stream = b.server.client.open('Lease/LeaseKeepAlive');
    for (let i = 0; i < 12; i++) {
      stream.send({ ID: 7 });
      t.equal((await stream.next()).TTL, 2);
      await new Promise((resolve) => setTimeout(resolve, 400));
    }
    stream.cancel();
    t.equal(await valueAt(c, 'leased'), '1', 'it outlived its first time');
    for (const until = Date.now() + 30_000; (await valueAt(c, 'leased')) !== undefined; ) {
      if (Date.now() > until) throw new Error('the lease does not expire');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const { header } = await a.server.client.call('KV/Put', { key: 'after', value: '1' });
    t.equal(header!.revision, 4, 'one revision for the expiry');
    await a.server.client.call('KV/Compact', { revision: 3, physical: true });
    for (const { server } of all) {
      const read = server.client.call('KV/Range', { key: 'leased', revision: 2 });
      await t.rejects(read, /required revision has been compacted/);
    }
  });

  await t.test('one is stopped, and goes on', async (t) => {
    const all = await replicas(t, backend, database);
    const [a, b, c] = all as [Replica, Replica, Replica];
    const { own, load } = await loads(a, [b, c]);
    const before = own.stop();
    await a.server.child.pause();
    await new Promise((resolve) => setTimeout(resolve, stoppedMs));
    await load.more(50);
    await b.server.client.call('KV/Put', { key: 'latest', value: 'while it was stopped' });
    a.server.child.resume();
    t.equal(await valueAt(a, 'latest'), 'while it was stopped', 'it answers nothing stale');
    const { acknowledged, errors } = await load.stop();
    t.strictSame(errors, [], 'clients of the others notice nothing');
    await verify(t, all, [...acknowledged, ...(await before).acknowledged]);
  });

  await t.test('one is killed, and starts anew', async (t) => {
    const all = await replicas(t, backend, database);
    const [a, b, c] = all as [Replica, Replica, Replica];
    const { own, load } = await loads(a, [b, c]);
    const before = own.stop();
    await a.server.child.stop('SIGKILL');
    await load.more(50);
    await a.server.restart();
    await load.more(20);
    const { acknowledged, errors } = await load.stop();
    t.strictSame(errors, [], 'clients of the others notice nothing');
    await verify(t, all, [...acknowledged, ...(await before).acknowledged]);
  });

  await t.test('one is cut off from the database', async (t) => {
    const all = await replicas(t, backend, database);
    const [a, b, c] = all as [Replica, Replica, Replica];
    const { own, load } = await loads(a, [b, c]);
    for (const mode of ['cut', 'hole'] as const) {
      a.proxy.set(mode);
      await load.more(50);
      const read = a.server.client.call('KV/Range', { key: 'x' }, { timeoutMs: 30_000 });
      await t.rejects(read, /UNAVAILABLE/, 'it says that it cannot answer');
      a.proxy.set('pass');
      await load.more(20);
      for (const until = Date.now() + 30_000; ; ) {
        const value = await valueAt(a, 'x').catch(() => 'no answer');
        if (value === undefined) break;
        if (Date.now() > until) throw new Error('it does not recover');
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
    const { acknowledged, errors } = await load.stop();
    t.strictSame(errors, [], 'clients of the others notice nothing');
    await verify(t, all, [...acknowledged, ...(await own.stop()).acknowledged]);
  });

  await t.test('a rolling restart under load', async (t) => {
    const all = await replicas(t, backend, database);
    const load = writers(all, 'w');
    await load.more(30);
    for (const { server } of all) {
      await server.restart('SIGTERM');
      await load.more(30);
    }
    const { acknowledged } = await load.stop();
    await verify(t, all, acknowledged);
  });

  await t.test('50 keyspaces at once', async (t) => {
    const backends = new Backends();
    backends.register(postgres());
    backends.register(spanner());
    const flags = database.newDatabase().flags();
    const options = new Map(
      flags.map((flag) => {
        const [, key, value] = /^--([^=]+)=(.*)$/s.exec(flag) as unknown as [string, string, string];
        return [key, value === 'true' ? true : value];
      }),
    );
    const stores = await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        // Fewer connections each: PostgreSQL has 100 for all.
        const own = new Map<string, string | number | boolean>([...options, ['postgres-connections-max', 1]]);
        const storage = await backends.build(backend, own, { dataDir: '', keyspace: `k${i}`, warn() {} });
        const store = await openStore(storage);
        t.teardown(async () => {
          await store.close();
          await storage.close();
        });
        return store;
      }),
    );
    await Promise.all(
      stores.map(async (store, i) => {
        for (let n = 0; n <= i % 5; n++) await store.put(putRequest('key', `${i}/${n}`));
      }),
    );
    for (const [i, store] of stores.entries()) {
      t.equal(store.revision, 2 + (i % 5), 'revisions of its own');
      const { kvs, count } = await store.range(range('\0', '\0'));
      t.equal(count, 1);
      t.ok(Buffer.from(kvs[0] as Uint8Array).includes(`${i}/${i % 5}`), 'and keys of its own');
    }
  });
}
