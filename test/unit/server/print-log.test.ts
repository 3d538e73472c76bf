import t from 'tap';
import { memory } from '../../../src/backends/memory/backend.ts';
import { Store } from '../../../src/mvcc/store.ts';
import { Backends } from '../../../src/registry/backends.ts';
import type { ServerConfig } from '../../../src/server/config.ts';
import { printLog } from '../../../src/server/print-log.ts';

const none = { committed() {}, troubled() {}, settled() {}, compacted() {}, warn() {} };

function fail(error: unknown): never {
  throw error;
}

t.test('the log is printed as a line per batch', async (t) => {
  const backends = new Backends();
  const backend = memory();
  backends.register(backend);
  const storage = await backend.build(new Map(), { dataDir: '', keyspace: 'default', warn: fail });
  const store = await Store.open(storage, {
    memberName: 'a',
    quotaBytes: 0,
    valueCacheBytes: 1_000_000,
    autoCompaction: undefined,
    fatal: fail,
    observer: none,
  });
  const put = { kind: 'put', value: Buffer.from('1'), prevKv: false, ignoreValue: false, ignoreLease: false } as const;
  await store.leases.grant(-1n, 60);
  await store.put({ ...put, key: 'gr\u00fc', lease: -1n });
  await store.put({ ...put, key: Buffer.from('ü').toString('latin1'), lease: 0n });
  await store.deleteRange({ kind: 'deleteRange', key: 'gr\u00fc', rangeEnd: '', prevKv: false });
  await store.close();

  const lines: string[] = [];
  const config = { storageBackend: 'memory', options: new Map(), dataDir: '', keyspace: 'default' };
  t.equal(await printLog(config as unknown as ServerConfig, backends, (line) => lines.push(line)), 0);
  const printed = lines.map((line) => JSON.parse(line));
  t.match(printed[0], { image: { slot: -1, revision: 0, rows: 0 } });
  t.same(
    printed.slice(1).map(({ slot }) => slot),
    [0, 1, 2, 3, 4],
    'genesis and four batches',
  );
  t.match(printed[1].records, [{ kind: 'genesis', clusterId: store.clusterId.toString(16) }]);
  t.same(printed[2].records, [{ kind: 'leaseGrant', id: 'ffffffffffffffff', ttlSeconds: 60 }]);
  const first = { put: 'gr\\xfc', version: 1, bytes: 1, lease: 'ffffffffffffffff' };
  t.same(printed[3].records, [{ revision: 2, changes: [first] }], 'bytes that are no text are escaped');
  t.same(printed[4].records, [{ revision: 3, changes: [{ put: 'ü', version: 1, bytes: 1 }] }]);
  t.same(printed[5].records, [{ revision: 4, changes: [{ delete: 'gr\\xfc' }] }]);
});
