/** Replicas with stores of their own on one memory keyspace, found through its directory and linked over sockets. */
import t, { type Test } from 'tap';
import { memory } from '../../../src/backends/memory/backend.ts';
import { decodeKeyValue } from '../../../src/mvcc/key-value.ts';
import type { Store } from '../../../src/mvcc/store.ts';
import { linkPath } from '../../../src/peers/limits.ts';
import { ReplicaPeers } from '../../../src/peers/peers.ts';
import type { Backend } from '../../../src/registry/backend.ts';
import type { Directory, DirectoryEntry } from '../../../src/registry/directory.ts';
import { BackendError } from '../../../src/registry/log.ts';
import { TcpProxy } from '../../support/tcp-proxy.ts';
import { list, put, range } from '../mvcc/requests.ts';
import { openStore, turns, until } from '../mvcc/storage.ts';
import { start } from '../transport/grpc-support.ts';
import { messageBytesMax } from './support.ts';

t.setTimeout(120_000);

interface Replica {
  readonly store: Store;
  readonly peers: ReplicaPeers;
  readonly proxy: TcpProxy;
  readonly url: string;
  readonly warnings: string[];
}

interface ReplicaOptions {
  readonly backend?: Backend;
  readonly keyspace?: string;
  readonly links?: boolean;
  /** False: it is started by the test. */
  readonly started?: boolean;
  /** Stands between the replica and its directory. */
  readonly through?: (real: Directory) => Directory;
}

/** Reached through a proxy, so that the network can break; ended with the test. */
async function replica(t: Test, name: string, options: ReplicaOptions = {}): Promise<Replica> {
  const { backend = memory(), keyspace = 'k', links = true, started = true, through = (real) => real } = options;
  const storage = await backend.build(new Map(), { dataDir: '', keyspace, warn() {} });
  const store = await openStore(storage, { memberName: name });
  const warnings: string[] = [];
  const peers = new ReplicaPeers(store, {
    directory: through(storage.directory as Directory),
    name,
    links,
    messageBytesMax,
    warn: (message) => warnings.push(message),
  });
  const methods = { [linkPath]: peers.method };
  const server = await start(t, methods, { receivedMessageBytesMax: messageBytesMax });
  const proxy = await TcpProxy.start(server.url);
  t.teardown(async () => {
    await peers.close();
    await store.close();
    proxy.close();
  });
  const url = `http://${proxy.endpoint}`;
  if (started) await peers.start([url]);
  return { store, peers, proxy, url, warnings };
}

async function linked(...all: Replica[]): Promise<void> {
  const others = all.length - 1;
  await until('all are linked both ways', () =>
    all.every(({ peers: { counts } }) => counts.linked === others && counts.followers === others),
  );
}

const names = async ({ peers }: Replica): Promise<string[]> => (await peers.members()).map(({ name }) => name).sort();

t.test('replicas find each other, and all tell the same of who is there', async (t) => {
  const backend = memory();
  const all = [
    await replica(t, 'a', { backend }),
    await replica(t, 'b', { backend }),
    await replica(t, 'c', { backend }),
  ];
  await linked(...all);
  // The first one has learned of the others from themselves.
  const [members] = (await Promise.all(all.map(({ peers }) => peers.members()))) as [object[]];
  for (const { peers } of all) t.same(await peers.members(), members);
  t.same(
    members,
    all
      .map(({ store, url }, i) => ({ id: store.memberId, name: 'abc'[i], clientUrls: [url] }))
      .sort((x, y) => (x.id < y.id ? -1 : 1)),
    'in the order of their ids',
  );
  t.same(
    all.flatMap(({ warnings }) => warnings),
    [],
  );
});

t.test('a batch reaches the others without their asking, and tells who writes', async (t) => {
  const backend = memory();
  const [a, b] = [await replica(t, 'a', { backend }), await replica(t, 'b', { backend })];
  t.equal(b.peers.leader(), b.store.memberId, 'nobody wrote yet');
  await linked(a, b);
  for (let i = 0; i < 20; i++) await a.store.put(put('k', `${i}`));
  await until('it has come', () => b.store.revision === a.store.revision && b.peers.received > 0);
  t.equal(b.peers.leader(), a.store.memberId);
  t.equal(a.peers.leader(), a.store.memberId);
  t.same(await list(b.store), ['k=19']);
});

t.test('who finds another one writing has it write, once', async (t) => {
  const backend = memory();
  const [a, b] = [await replica(t, 'a', { backend }), await replica(t, 'b', { backend })];
  await linked(a, b);
  await a.store.put(put('a', '0'));
  await until('that is known', () => b.store.lastWriter === a.store.replicaId);
  const answers = await Promise.all([1, 2, 3, 4].map((i) => b.store.put(put(`b${i}`, 'v', { prevKv: true }))));
  t.same(new Set(answers.map(({ revision }) => revision)), new Set([3, 4, 5, 6]));
  t.equal(b.store.counts.forwarded, 5, 'four and the beginning of the epoch');
  t.equal(a.store.counts.executed, 5);
  t.same(await list(b.store), ['a=0', 'b1=v', 'b2=v', 'b3=v', 'b4=v']);
  t.equal(a.store.revision, 6);
});

t.test('a network that breaks costs no write, and is mended', async (t) => {
  const backend = memory();
  const [a, b] = [await replica(t, 'a', { backend }), await replica(t, 'b', { backend })];
  await linked(a, b);
  let writing = true;
  const busy = (async () => {
    for (let i = 0; writing; i++) {
      await a.store.put(put('a', `${i}`));
      await turns(1);
    }
  })();
  let given = 0;
  const write = async (count: number) => {
    for (let i = 0; i < count; i++) {
      await b.store.put(put('b', `${given + 1}`));
      given++;
    }
  };
  for (let round = 0; round < 3; round++) {
    await write(10);
    const more = write(20);
    a.proxy.cut();
    b.proxy.cut();
    await more;
    await linked(a, b);
  }
  writing = false;
  await busy;
  t.same(await list(a.store, 'b', ''), [`b=${given}`]);
  const { kvs } = await a.store.range(range('b'));
  t.equal(decodeKeyValue(kvs[0] as Buffer).version, given, 'each write was made once');
  t.ok(b.store.counts.forwarded > 0);
});

t.test('who leaves is forgotten by the others, who is only cut off is not', async (t) => {
  const backend = memory();
  const all = [
    await replica(t, 'a', { backend }),
    await replica(t, 'b', { backend }),
    await replica(t, 'c', { backend }),
  ];
  const [a, b, c] = all as [Replica, Replica, Replica];
  await linked(...all);
  c.proxy.set('cut');
  await until('a has lost it', () => a.peers.counts.linked === 1);
  await until('and asked the directory', () => a.warnings.length === 1);
  t.same(await names(a), ['a', 'b', 'c'], 'the directory says that it lives');
  t.match(a.warnings, [/^no link to the replica at .*: .*\(c\): its writes are found by asking the database$/]);
  await b.peers.close();
  b.proxy.set('cut');
  t.equal(b.peers.counts.linked, 0);
  await eventually(async () => (await names(a)).join() === 'a,c');
  t.equal(a.store.forwarder.peers.link(b.store.replicaId), undefined);
  await a.store.put(put('k', '1'));
  t.same(await list(c.store), ['k=1'], 'which needs no link');
});

t.test('who is linked stays, although the directory has lost sight of it', async (t) => {
  const backend = memory();
  let blind = false;
  const through = (real: Directory): Directory => ({
    beat: async (entry, withinMs) => (await real.beat(entry, withinMs)).filter(({ id }) => !blind || id === entry.id),
    leave: (id) => real.leave(id),
    secret: (candidate) => real.secret(candidate),
  });
  const a = await replica(t, 'a', { backend, through });
  const b = await replica(t, 'b', { backend });
  await linked(a, b);
  blind = true;
  // Old enough to be asked for anew.
  await new Promise((resolve) => setTimeout(resolve, 1100));
  t.same(await names(a), ['a', 'b']);
  b.proxy.set('cut');
  await until('the link is lost', () => a.peers.counts.linked === 0);
  await eventually(async () => (await names(a)).join() === 'a');
  t.equal(a.peers.counts.linked, 0);
});

t.test('a replica learns of one that links to it, before its directory tells', async (t) => {
  const backend = memory();
  const through = (real: Directory): Directory => ({
    beat: async (entry) => [entry],
    leave: (id) => real.leave(id),
    secret: (candidate) => real.secret(candidate),
  });
  const a = await replica(t, 'a', {
    backend,
    through: (real) => ({ ...through(real), beat: (...of) => real.beat(...of) }),
  });
  const b = await replica(t, 'b', { backend, through });
  t.same(await names(b), ['b']);
  // a must hear of b from somewhere.
  const storage = await backend.build(new Map(), { dataDir: '', keyspace: 'k', warn() {} });
  const entry = { id: b.store.memberId.toString(16), name: 'b', clientUrls: [b.url] };
  await storage.directory?.beat({ id: b.store.replicaId, data: Buffer.from(JSON.stringify(entry)) }, 60_000);
  await eventually(async () => (await names(a)).join() === 'a,b');
  await linked(a, b);
  t.same(await names(b), ['a', 'b']);
});

t.test('who told of itself before it could be reached is linked once it can', async (t) => {
  const backend = memory();
  const a = await replica(t, 'a', { backend });
  const b = await replica(t, 'b', { backend, started: false });
  // A client asks for the members while it starts.
  t.same(await names(b), ['a', 'b']);
  await eventually(async () => (await names(a)).join() === 'a,b');
  await b.peers.start([b.url]);
  await eventually(async () => {
    const members = await a.peers.members();
    return members.every(({ clientUrls }) => clientUrls.length === 1);
  });
  await linked(a, b);
  t.same(a.warnings, []);
});

t.test('another keyspace is another cluster', async (t) => {
  const backend = memory();
  const a = await replica(t, 'a', { backend });
  const b = await replica(t, 'b', { backend, keyspace: 'other' });
  t.same(await names(a), ['a']);
  t.same(await names(b), ['b']);

  // An address that another cluster has taken over.
  const moved = { id: 'ff', name: 'moved', clientUrls: [b.url] };
  const storage = await backend.build(new Map(), { dataDir: '', keyspace: 'k', warn() {} });
  await storage.directory?.beat({ id: 'f'.repeat(16), data: Buffer.from(JSON.stringify(moved)) }, 60_000);
  await eventually(async () => (await names(a)).join() === 'a,moved');
  await until('a says why', () => a.warnings.length > 0);
  t.match(a.warnings, [/another replica answers at this address \(moved\)/]);
  // One that even has the id of the one that it wants.
  const same = { id: 'ee', name: 'same', clientUrls: [b.url] };
  await storage.directory?.beat({ id: b.store.replicaId, data: Buffer.from(JSON.stringify(same)) }, 60_000);
  await until('a says why', () => a.warnings.length > 1);
  t.match(a.warnings[1], /it does not know the secret of this keyspace \(same\)/);
  t.equal(a.peers.counts.linked, 0);
  t.equal(b.peers.counts.followers, 0);
  t.same(await names(b), ['b']);
  await a.store.put(put('k', 'a'));
  t.same(await list(b.store), []);
});

t.test('what the directory holds of others is read with care', async (t) => {
  const backend = memory();
  const text = (value: unknown) => Buffer.from(JSON.stringify(value));
  const strange: DirectoryEntry[] = [
    Buffer.from([0]),
    Buffer.from('junk'),
    text(null),
    text([]),
    text({ id: 'ff', name: 'n' }),
    text({ id: 'ff', clientUrls: [] }),
    text({ id: 'zz', name: 'n', clientUrls: [] }),
    text({ id: { toString: 'ff' }, name: 'n', clientUrls: [] }),
  ].map((data, i) => ({ id: `strange-${i}`, data }));
  strange.push({ id: 'x', data: text({ id: '1', name: 'later version', clientUrls: [7, '', 'http://'], more: true }) });
  const a = await replica(t, 'a', {
    backend,
    through: (real) => ({
      beat: async (entry, withinMs) => [...strange, ...(await real.beat(entry, withinMs))],
      leave: (id) => real.leave(id),
      secret: (candidate) => real.secret(candidate),
    }),
  });
  const b = await replica(t, 'b', { backend });
  await eventually(async () => (await names(a)).join() === 'a,b,later version');
  await until('they are linked all the same', () => a.peers.counts.linked === 1 && b.peers.counts.linked === 1);
  t.match(a.warnings, [/^no link to the replica at .*\(later version\)/], 'and that one cannot be reached');
});

t.test('a directory that does not answer is told once, and asked again', async (t) => {
  const backend = memory();
  let broken = true;
  let asked = 0;
  const refuse = () => {
    asked++;
    if (broken) throw new BackendError('failed', 'no database');
  };
  const a = await replica(t, 'a', {
    backend,
    through: (real) => ({
      beat: async (entry, withinMs) => {
        refuse();
        return await real.beat(entry, withinMs);
      },
      leave: async (id) => {
        refuse();
        await real.leave(id);
      },
      secret: (candidate) => real.secret(candidate),
    }),
  });
  const b = await replica(t, 'b', { backend });
  t.same(await names(a), ['a']);
  t.same(await names(a), ['a']);
  const once = 'cannot tell the other replicas that this one lives: no database';
  t.ok(asked >= 3);
  t.strictSame(a.warnings, [once]);
  await a.store.put(put('k', '1'));
  t.same(await list(b.store), ['k=1'], 'nothing depends on it');
  broken = false;
  await eventually(async () => (await names(a)).join() === 'a,b');
  await until('linked', () => a.peers.counts.linked === 1);
  broken = true;
  await new Promise((resolve) => setTimeout(resolve, 1100));
  t.same(await names(a), ['a', 'b'], 'who was there is not forgotten for that');
  t.strictSame(a.warnings, [once, once]);
  await t.resolves(a.peers.close(), 'and it can stop');
});

t.test('replicas that shall not link are listed all the same', async (t) => {
  const backend = memory();
  const [a, b] = [await replica(t, 'a', { backend, links: false }), await replica(t, 'b', { backend, links: false })];
  await eventually(async () => (await names(a)).join() === 'a,b');
  await b.store.put(put('k', '1'));
  await a.store.put(put('k', '2'));
  t.strictSame([a.peers.counts, b.peers.counts], Array(2).fill({ linked: 0, followers: 0, received: 0, dropped: 0 }));
  t.equal(a.store.counts.forwarded, 0);
  t.equal(a.peers.leader(), a.store.memberId);
  t.equal(a.proxy.connections + b.proxy.connections, 0);
});

/** As `until`, for what has to be asked for. */
async function eventually(attempt: () => Promise<boolean>): Promise<void> {
  for (const untilMs = performance.now() + 20_000; !(await attempt()); ) {
    if (performance.now() > untilMs) throw new Error('waited in vain');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
