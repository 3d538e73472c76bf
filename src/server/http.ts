/** What is answered over HTTP/1.1: version, health checks and metrics, with paths, texts and status codes of etcd 3.7. */
import { clusterVersion, serverVersion, storageVersion } from '../etcdserver/version.ts';
import type { Logger } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import {
  errorReply,
  type HttpHandler,
  type HttpReply,
  type HttpRequest,
  type HttpRoutes,
  methodNotAllowed,
} from '../transport/http/routes.ts';
import { healthCheckTimeoutMs } from './limits.ts';
import { within } from './within.ts';

/** What the checks look at. */
export interface Health {
  /** Active alarms by name: NOSPACE, CORRUPT. */
  alarms(): Promise<readonly string[]>;
  /** Reads a key. Rejects if that is not possible; the message is shown. */
  read(serializable: boolean): Promise<void>;
}

/** A check that rejects has failed. */
type Check = () => Promise<void>;

export function httpRoutes(health: Health, metrics: Metrics, log: Logger): HttpRoutes {
  const read = (serializable: boolean): Check => {
    return () => bounded(health.read(serializable));
  };
  const noCorruption: Check = async () => {
    if ((await health.alarms()).includes('CORRUPT')) throw new Error('alarm activated: CORRUPT');
  };
  const routes = new Map<string, HttpHandler>([
    ['/version', onlyGet(() => json(versions))],
    ['/health', onlyGet((request) => answerHealth(request, health, metrics, log))],
    [
      '/metrics',
      async () => ({ status: 200, headers: { 'Content-Type': metrics.contentType }, body: await metrics.text() }),
    ],
  ]);
  addChecks(routes, 'livez', new Map([['serializable_read', read(true)]]), metrics, log);
  addChecks(
    routes,
    'readyz',
    new Map([
      ['data_corruption', noCorruption],
      ['serializable_read', read(true)],
      ['linearizable_read', read(false)],
      // Kept because probes name it: no member is ever a learner.
      ['non_learner', async () => {}],
    ]),
    metrics,
    log,
  );
  return routes;
}

const versions = { etcdserver: serverVersion, etcdcluster: `${clusterVersion}.0`, storage: storageVersion };

async function answerHealth(request: HttpRequest, health: Health, metrics: Metrics, log: Logger): Promise<HttpReply> {
  const reason = await healthProblem(request.query, health);
  metrics.healthAnswered(reason === '');
  const body = JSON.stringify({ health: String(reason === ''), reason });
  if (reason === '') return { status: 200, headers: { 'Content-Type': 'text/plain; charset=utf-8' }, body };
  log.warn({ reason }, '/health is false');
  return errorReply(503, body);
}

/** '' if all is well. */
async function healthProblem(query: URLSearchParams, health: Health): Promise<string> {
  const excluded = query.getAll('exclude');
  try {
    const alarm = (await health.alarms()).find((name) => !excluded.includes(name));
    if (alarm) return `ALARM ${alarm}`;
    await bounded(health.read(query.get('serializable') === 'true'));
    return '';
  } catch (error) {
    return `RANGE ERROR:${(error as Error).message}`;
  }
}

/** `/readyz`, which runs all checks, and `/readyz/<name>` for each. */
function addChecks(
  routes: Map<string, HttpHandler>,
  type: string,
  checks: ReadonlyMap<string, Check>,
  metrics: Metrics,
  log: Logger,
): void {
  const run = async (request: HttpRequest, names: readonly string[]): Promise<HttpReply> => {
    let failed = false;
    let report = '';
    for (const name of names) {
      const problem = await checks.get(name)!().then(
        () => undefined,
        (error: unknown) => (error as Error).message,
      );
      metrics.checkAnswered(type, name, problem === undefined);
      failed ||= problem !== undefined;
      report += problem === undefined ? `[+]${name} ok\n` : `[-]${name} failed: ${problem}\n`;
    }
    if (failed) {
      log.error({ path: request.path, report }, 'health check failed');
      return errorReply(503, report);
    }
    return text(request.query.has('verbose') ? `${report}ok\n` : 'ok\n');
  };
  const all = [...checks.keys()];
  routes.set(
    `/${type}`,
    onlyGet((request) => {
      const excluded = request.query.getAll('exclude');
      return run(
        request,
        all.filter((name) => !excluded.includes(name)),
      );
    }),
  );
  for (const name of all)
    routes.set(
      `/${type}/${name}`,
      onlyGet((request) => run(request, [name])),
    );
}

function onlyGet(handler: HttpHandler): HttpHandler {
  return (request) => (request.method === 'GET' ? handler(request) : methodNotAllowed());
}

function json(value: object): HttpReply {
  return { status: 200, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(value) };
}

function text(body: string): HttpReply {
  return {
    status: 200,
    headers: { 'Content-Type': 'text/plain; charset=utf-8', 'X-Content-Type-Options': 'nosniff' },
    body,
  };
}

function bounded(work: Promise<void>): Promise<void> {
  return within(work, healthCheckTimeoutMs, 'context deadline exceeded');
}
