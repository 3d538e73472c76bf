import type { Test } from 'tap';
import { put } from './assertions.ts';
import { fresh, type Target } from './target.ts';

export async function http(t: Test, target: Target): Promise<void> {
  const server = await fresh(t, target);
  const get = async (path: string, method = 'GET') => {
    const answer = await server.fetch(path, method);
    return {
      status: answer.status,
      body: await answer.text(),
      type: answer.headers.get('content-type'),
      headers: answer.headers,
    };
  };

  await t.test('/version', async (t) => {
    const { status, body, type } = await get('/version');
    t.equal(status, 200);
    t.equal(type, 'application/json');
    const version = JSON.parse(body) as Record<string, string>;
    t.strictSame(Object.keys(version), ['etcdserver', 'etcdcluster', 'storage']);
    t.match(version.etcdserver, /^3\.7\.\d+$/);
    t.equal(version.etcdserver, (await server.client.call('Maintenance/Status')).version);
    t.strictSame([version.etcdcluster, version.storage], ['3.7.0', '3.7.0']);
  });

  await t.test('/health', async (t) => {
    for (const query of ['', '?serializable=true', '?exclude=NOSPACE', '?exclude=NOSPACE&exclude=CORRUPT']) {
      const { status, body } = await get(`/health${query}`);
      t.strictSame([status, body], [200, '{"health":"true","reason":""}'], query);
    }
  });

  await t.test('/livez and /readyz', async (t) => {
    const live = ['serializable_read'];
    const ready = ['data_corruption', 'serializable_read', 'linearizable_read', 'non_learner'];
    for (const [path, checks] of [
      ['/livez', live],
      ['/readyz', ready],
    ] as const) {
      t.match(await get(path), { status: 200, body: 'ok\n', type: 'text/plain; charset=utf-8' });
      const { body } = await get(`${path}?verbose`);
      const lines = body.split('\n');
      t.strictSame(lines.slice(0, -2).sort(), checks.map((check) => `[+]${check} ok`).sort(), `${path} verbose`);
      t.strictSame(lines.slice(-2), ['ok', '']);
      for (const check of checks) {
        t.match(await get(`${path}/${check}`), { status: 200, body: 'ok\n' }, `${path}/${check}`);
        const without = (await get(`${path}?verbose&exclude=${check}`)).body;
        t.notMatch(without, check, `${path} without ${check}`);
        t.match(without, /^ok$/m);
      }
      t.equal((await get(`${path}/nope`)).status, 404);
      t.equal((await get(`${path}?exclude=nope`)).status, 200);
    }
  });

  await t.test('methods and paths', async (t) => {
    for (const path of ['/version', '/health', '/livez', '/readyz']) {
      for (const method of ['POST', 'PUT', 'DELETE']) {
        const answer = await get(path, method);
        t.match(answer, { status: 405, body: 'Method Not Allowed\n' }, `${method} ${path}`);
        t.equal(answer.headers.get('allow'), 'GET');
      }
    }
    for (const path of ['/', '/nope', '/version/x'])
      t.match(await get(path), { status: 404, body: '404 page not found\n' }, path);
  });

  await t.test('/metrics', async (t) => {
    for (const key of ['a', 'b']) await put(server.client, key, '1');
    await server.client.call('KV/Range', { key: 'a' });
    await server.client.call('KV/Put', {}).catch(() => {});
    const { status, body, type } = await get('/metrics');
    t.equal(status, 200);
    t.match(type, /^text\/plain; version=0\.0\.4/);
    const lines = body.split('\n');
    // What one process has counted: of several, each has its share.
    const counted = server.memberUrls.length === 1 ? t.equal : (n: number, most: number) => t.ok(n >= 0 && n <= most);
    const value = (name: string) => Number(lines.find((line) => line.startsWith(`${name} `))?.split(' ')[1]);
    const labelled = (name: string, ...labels: string[]) =>
      Number(
        lines
          .find((line) => line.startsWith(`${name}{`) && labels.every((label) => line.includes(label)))
          ?.split(' ')
          .at(-1),
      );
    t.equal(value('etcd_server_has_leader'), 1);
    t.equal(value('etcd_server_is_leader'), 1);
    // A plinth without a store of its own has nothing to tell of one.
    if (!target.relays) {
      t.equal(value('etcd_debugging_mvcc_current_revision'), 3);
      t.equal(value('etcd_debugging_mvcc_keys_total'), 2);
      t.ok(value('etcd_mvcc_db_total_size_in_bytes') > 0);
      t.ok(value('etcd_mvcc_db_total_size_in_use_in_bytes') > 0);
      t.equal(value('etcd_server_quota_backend_bytes'), 2 * 1024 ** 3);
    }
    t.ok(value('process_resident_memory_bytes') > 0);
    t.match(body, /^etcd_server_version\{server_version="3\.7\.\d+"\} 1$/m);
    t.match(body, /^etcd_cluster_version\{cluster_version="3\.7"\} 1$/m);
    const put200 = ['grpc_code="OK"', 'grpc_method="Put"', 'grpc_service="etcdserverpb.KV"', 'grpc_type="unary"'];
    counted(labelled('grpc_server_handled_total', ...put200), 2);
    const refused = ['grpc_code="InvalidArgument"', 'grpc_method="Put"'];
    counted(labelled('grpc_server_handled_total', ...refused), 1);
    counted(labelled('grpc_server_started_total', 'grpc_method="Put"'), 3);
    const malformed = lines.filter(
      (line) => line && !/^(#|[a-zA-Z_:][a-zA-Z0-9_:]*(\{.*\})? -?[0-9+.eEInfNa-]+( \d+)?$)/.test(line),
    );
    t.strictSame(malformed, []);
  });

  await t.test('HTTP and gRPC share the port, also many at once', async (t) => {
    const answers = await Promise.all(
      Array.from({ length: 50 }, async (_, index) => {
        if (index % 2) return (await get('/health')).status;
        return (await server.client.call('KV/Range', { key: 'a' })).count;
      }),
    );
    t.strictSame(
      answers,
      Array.from({ length: 50 }, (_, index) => (index % 2 ? 200 : 1)),
    );
  });
}
