import t from 'tap';
import { silentLogger } from '../../../src/observe/log.ts';
import { Metrics } from '../../../src/observe/metrics.ts';
import { type Health, httpRoutes } from '../../../src/server/http.ts';
import type { HttpReply } from '../../../src/transport/http/routes.ts';

const plain = { 'Content-Type': 'text/plain; charset=utf-8', 'X-Content-Type-Options': 'nosniff' };

interface Fixture {
  readonly metrics: Metrics;
  readonly get: (url: string, method?: string) => Promise<HttpReply>;
}

function start(health: Partial<Health> = {}): Fixture {
  const metrics = new Metrics({ etcdVersion: '3.7.3', plinthVersion: '0', backend: 'none' });
  const whole: Health = { alarms: async () => [], read: () => Promise.resolve(), ...health };
  const routes = httpRoutes(whole, metrics, silentLogger);
  return {
    metrics,
    async get(url, method = 'GET') {
      const [path = '', query = ''] = url.split('?');
      const handler = routes.get(path);
      if (!handler) throw new Error(`no route ${path}`);
      return await handler({ method, path, query: new URLSearchParams(query) });
    },
  };
}

t.test('/version', async (t) => {
  t.strictSame(await start().get('/version'), {
    status: 200,
    headers: { 'Content-Type': 'application/json' },
    body: '{"etcdserver":"3.7.3","etcdcluster":"3.7.0","storage":"3.7.0"}',
  });
});

t.test('what is asked for with another method than GET', async (t) => {
  const { get } = start();
  for (const path of ['/version', '/health', '/livez', '/readyz', '/readyz/linearizable_read']) {
    t.strictSame(
      await get(path, 'POST'),
      { status: 405, headers: { ...plain, Allow: 'GET' }, body: 'Method Not Allowed\n' },
      path,
    );
  }
  t.equal((await get('/metrics', 'POST')).status, 200);
});

t.test('/health', async (t) => {
  const reads: boolean[] = [];
  const well = start({
    read: async (serializable) => {
      reads.push(serializable);
    },
  });
  t.match(await well.get('/health'), { status: 200, body: '{"health":"true","reason":""}' });
  await well.get('/health?serializable=true');
  await well.get('/health?serializable=yes');
  t.strictSame(reads, [false, true, false]);

  const broken = start({ read: () => Promise.reject(new Error('etcdserver: request timed out')) });
  t.strictSame(await broken.get('/health'), {
    status: 503,
    headers: plain,
    body: '{"health":"false","reason":"RANGE ERROR:etcdserver: request timed out"}\n',
  });
  t.match(await broken.metrics.text(), /\netcd_server_health_failures 1\n/);
  t.match(await well.metrics.text(), /\netcd_server_health_success 3\n/);
});

t.test('/health with alarms', async (t) => {
  const full = start({ alarms: async () => ['NOSPACE'] });
  t.match(await full.get('/health'), { status: 503, body: '{"health":"false","reason":"ALARM NOSPACE"}\n' });
  t.match(await full.get('/health?exclude=CORRUPT'), { status: 503 });
  t.match(await full.get('/health?exclude=NOSPACE'), { status: 200 });
  const worse = start({ alarms: async () => ['NOSPACE', 'CORRUPT'] });
  t.match(await worse.get('/health?exclude=NOSPACE'), { status: 503, body: /ALARM CORRUPT/ });
  t.match(await worse.get('/health?exclude=NOSPACE&exclude=CORRUPT'), { status: 200 });
});

t.test('/livez and /readyz', async (t) => {
  const { get } = start();
  for (const path of [
    '/livez',
    '/readyz',
    '/livez/serializable_read',
    '/readyz/non_learner',
    '/readyz?exclude=bogus',
  ]) {
    t.strictSame(await get(path), { status: 200, headers: plain, body: 'ok\n' }, path);
  }
  t.equal((await get('/livez?verbose')).body, '[+]serializable_read ok\nok\n');
  t.equal(
    (await get('/readyz?verbose=false')).body,
    '[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner ok\nok\n',
  );
  t.equal((await get('/readyz/linearizable_read?verbose')).body, '[+]linearizable_read ok\nok\n');
  t.equal(
    (await get('/readyz?verbose&exclude=linearizable_read&exclude=non_learner')).body,
    '[+]data_corruption ok\n[+]serializable_read ok\nok\n',
  );
});

t.test('failed checks are always told', async (t) => {
  const { get, metrics } = start({
    alarms: async () => ['CORRUPT'],
    read: (serializable) => (serializable ? Promise.resolve() : Promise.reject(new Error('disk on fire'))),
  });
  t.strictSame(await get('/readyz'), {
    status: 503,
    headers: plain,
    body:
      '[-]data_corruption failed: alarm activated: CORRUPT\n[+]serializable_read ok\n' +
      '[-]linearizable_read failed: disk on fire\n[+]non_learner ok\n\n',
  });
  t.match(await get('/readyz?exclude=data_corruption&exclude=linearizable_read'), { status: 200 });
  t.match(await get('/readyz/data_corruption'), { status: 503 });
  t.match(await get('/livez'), { status: 200 });
  const text = await metrics.text();
  t.match(text, /\netcd_server_healthcheck\{type="readyz",name="linearizable_read"\} 0\n/);
  t.match(text, /\netcd_server_healthchecks_total\{type="livez",name="serializable_read",status="success"\} 1\n/);
});

t.test('/metrics', async (t) => {
  const reply = await start().get('/metrics');
  t.match(reply, { status: 200, headers: { 'Content-Type': /^text\/plain; version=0\.0\.4/ } });
  t.match(reply.body, /\netcd_server_has_leader 1\n/);
});
