/** TLS as an operator sees it: what the process prints, logs and answers. */
import net from 'node:net';
import t, { type Test } from 'tap';
import { withoutOpenssl } from '../../support/certificates.ts';
import { isMissing } from '../../support/demand.ts';
import { httpsFetch } from '../../support/https-fetch.ts';
import { eventually, freePorts } from '../../support/process.ts';
import { RawClient } from '../../support/raw-client.ts';
import { startPlinth } from '../../support/server.ts';
import { authority, certificates } from '../transport/tls-support.ts';

/** Lines of the log with this message. */
function logged(output: string, message: string): Record<string, unknown>[] {
  return output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ msg }) => msg === message);
}

async function main(t: Test): Promise<void> {
  if (isMissing(t, withoutOpenssl())) return;
  const [port, plainPort, metricsPort] = (await freePorts(3)) as [number, number, number];
  const server = await startPlinth({
    backend: 'memory',
    tls: certificates(),
    port,
    flags: [
      '--log-level=warn',
      `--listen-client-urls=https://127.0.0.1:${port},http://127.0.0.1:${plainPort}`,
      `--listen-metrics-urls=https://127.0.0.1:${metricsPort}`,
    ],
  });
  t.teardown(() => server.close());

  await t.test('it says how it is reached, and warns of what is plain', async (t) => {
    const { output } = server.child;
    const urls = `https://127.0.0.1:${port}, http://127.0.0.1:${plainPort}`;
    t.match(
      output,
      `serves ${urls} from memory; try: etcdctl --endpoints=https://127.0.0.1:${port} --cacert=ca.pem put hello`,
    );
    const text = 'scheme is http or unix while key and cert files are present; ignoring key and cert files';
    t.match(logged(output, text), [{ level: 'warn', url: `http://127.0.0.1:${plainPort}` }]);
  });

  await t.test('health, version and metrics over https', async (t) => {
    t.equal(await (await server.fetch('/health')).text(), '{"health":"true","reason":""}');
    t.match(await (await server.fetch('/version')).json(), { etcdserver: /^3\./ });
    t.match(await (await server.fetch('/metrics')).text(), /^etcd_server_has_leader 1$/m);
    const metrics = await httpsFetch(`https://127.0.0.1:${metricsPort}/metrics`, 'GET', authority());
    t.match(await metrics.text(), /^etcd_server_has_leader 1$/m);
  });

  await t.test('both ways lead to the same data', async (t) => {
    await server.client.call('KV/Put', { key: 'k', value: 'by TLS' });
    const plain = new RawClient(`127.0.0.1:${plainPort}`);
    t.equal((await plain.call('KV/Range', { key: 'k' })).kvs[0]?.value, 'by TLS');
    plain.close();
  });

  await t.test('a client without TLS is told of in the log, and the next one is served', async (t) => {
    const socket = net.connect({ host: '127.0.0.1', port });
    socket.on('error', () => {});
    socket.resume();
    socket.write('GET /health HTTP/1.1\r\n\r\n');
    await new Promise((resolve) => socket.once('close', resolve));
    await eventually(async () => {
      if (logged(server.child.output, 'rejected connection').length === 0) throw new Error('not logged');
    }, server.child);
    t.match(logged(server.child.output, 'rejected connection'), [
      { level: 'warn', peer: /^127\.0\.0\.1:\d+$/, reason: 'http request', untold: 0 },
    ]);
    t.equal((await server.fetch('/health')).status, 200);
  });

  await t.test('it stops as it should, with connections open', async (t) => {
    server.child.process.kill('SIGTERM');
    t.strictSame(await server.child.exited, { code: 0, signal: null });
  });
}

void t.test('a server with TLS', main);
