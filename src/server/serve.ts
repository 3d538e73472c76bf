/** `plinth serve`: one process from its start to its end. */
import { serverVersion } from '../etcdserver/version.ts';
import { createLogger, type Logger } from '../observe/log.ts';
import { Metrics } from '../observe/metrics.ts';
import type { Backends } from '../registry/backends.ts';
import type { ServerConfig } from './config.ts';
import { storageCloseTimeoutMs } from './limits.ts';
import { Server } from './server.ts';
import { openService, type Service } from './service.ts';
import { dieOnUnhandledErrors, firstSignal } from './shutdown.ts';
import { plinthVersion } from './version.ts';
import { within } from './within.ts';

/** Resolves with the exit code when the server has stopped, or could not start. */
export async function serve(config: ServerConfig, backends: Backends): Promise<number> {
  const log = createLogger({ level: config.logLevel, format: config.logFormat });
  const metrics = new Metrics({ etcdVersion: serverVersion, plinthVersion, backend: config.storageBackend });
  dieOnUnhandledErrors(log);
  const signal = firstSignal(log);
  let service: Service;
  let server: Server;
  try {
    service = await openService(config, backends, metrics, log);
    try {
      server = await Server.start(service, config, metrics, log);
    } catch (error) {
      await service.close();
      throw error;
    }
  } catch (error) {
    // For the person who started it; the message names the cause, a stack would hide it.
    console.error(`plinth: cannot start: ${(error as Error).message}`);
    return 1;
  }
  await service.advertise(server.urls);
  log.info({ version: plinthVersion, backend: config.storageBackend, urls: server.urls }, 'serving');
  console.log(greeting(server.urls, config));
  return await stopAfter(await signal, server, service, config, log);
}

/** `plinth 0.1.0 serves http://127.0.0.1:2379 from sqlite; try: etcdctl --endpoints=http://127.0.0.1:2379 put hello world` */
function greeting(urls: readonly string[], config: ServerConfig): string {
  const endpoint = urls[0]!.replace(/\/\/(0\.0\.0\.0|\[::\]):/, '//127.0.0.1:');
  // Which authority it was, nobody told this process.
  const authority = /^(https|unixs):/.test(endpoint) ? ' --cacert=ca.pem' : '';
  return (
    `plinth ${plinthVersion} serves ${urls.join(', ')} from ${config.storageBackend}; ` +
    `try: etcdctl --endpoints=${endpoint}${authority} put hello world`
  );
}

async function stopAfter(
  signal: string,
  server: Server,
  service: Service,
  config: ServerConfig,
  log: Logger,
): Promise<number> {
  log.info({ signal, graceMs: config.shutdownGraceMs }, 'stopping');
  try {
    await server.stop(config.shutdownGraceMs);
    await within(service.close(), storageCloseTimeoutMs, 'the storage did not close in time');
  } catch (error) {
    log.error({ error }, 'not stopped cleanly');
    return 1;
  }
  log.info({}, 'stopped');
  return 0;
}
