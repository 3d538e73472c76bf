/** Links by https: made only where the certificate is from somebody who is trusted, for the name that was dialed. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { Dialer } from '../../../src/peers/dialer.ts';
import { Listener } from '../../../src/transport/listener.ts';
import { withoutOpenssl } from '../../support/certificates.ts';
import { isMissing } from '../../support/demand.ts';
import { until } from '../mvcc/storage.ts';
import { startOn } from '../transport/grpc-support.ts';
import { authority, otherAuthority, serverIdentity } from '../transport/tls-support.ts';
import { here, secret, startAcceptor, there } from './support.ts';

function dial(t: Test, url: string, authorities?: Buffer): { dialer: Dialer; warnings: string[]; pushed: number[] } {
  const warnings: string[] = [];
  const pushed: number[] = [];
  const dialer = new Dialer({
    from: there,
    to: here,
    urls: [url],
    authorities,
    secret,
    entry: () => Buffer.from('entry'),
    onPush: (slot) => pushed.push(slot),
    onAnswer: () => {},
    onLost: () => {},
    warn: (message) => warnings.push(message),
  });
  t.teardown(() => dialer.close());
  return { dialer, warnings, pushed };
}

async function main(t: Test): Promise<void> {
  if (isMissing(t, withoutOpenssl())) return;
  // Whoever dials it and leaves in the handshake is no error here.
  const f = await startAcceptor(t, {}, startOn('plinth', true));
  const port = f.url.slice(f.url.lastIndexOf(':') + 1);

  await t.test('linked, by address and by name', async (t) => {
    for (const url of [`https://127.0.0.1:${port}`, `https://localhost:${port}/`]) {
      const { dialer, warnings, pushed } = dial(t, url, authority());
      await until('linked', () => dialer.linked && f.acceptor.followers === 1);
      f.acceptor.push(5, 'id-5', Buffer.from('five'));
      await until('told', () => pushed.length === 1);
      t.strictSame(pushed, [5]);
      t.strictSame(warnings, []);
      dialer.close();
      await until('the other end knows', () => f.acceptor.followers === 0);
    }
  });

  await t.test('linked by a socket file: there the name is localhost', async (t) => {
    const path = join(mkdtempSync(join(tmpdir(), 'plinth-peers-')), 'plinth.sock');
    t.teardown(() => rmSync(dirname(path), { recursive: true }));
    const listener = new Listener({
      grpc: (socket) => f.server.serve(socket),
      http: (socket) => socket.destroy(),
      detectionTimeoutMs: 60_000,
      tls: { identity: serverIdentity(), handshakeTimeoutMs: 60_000, onHandshakeFailed: () => {} },
      onError: (error) => t.fail(error.message),
    });
    await listener.listen({ kind: 'unix', path, tls: true });
    t.teardown(() => listener.close());
    const { dialer, warnings } = dial(t, `unixs://${path}`, authority());
    await until('linked', () => dialer.linked && f.acceptor.followers === 1);
    t.strictSame(warnings, []);
    dialer.close();
    await until('the other end knows', () => f.acceptor.followers === 0);
  });

  await t.test('not linked: signed by nobody whom Node trusts, or by another authority', async (t) => {
    for (const authorities of [undefined, otherAuthority()]) {
      const { dialer, warnings } = dial(t, `https://127.0.0.1:${port}`, authorities);
      await until('told why', () => warnings.length === 1);
      t.match(warnings, [/^no link to the replica at https:.*(unable to verify|self-signed|unable to get)/]);
      t.equal(dialer.linked, false);
    }
  });

  await t.test('not linked: a certificate for other names', async (t) => {
    // It leads to the same server.
    const { dialer, warnings } = dial(t, `https://0.0.0.0:${port}`, authority());
    await until('told why', () => warnings.length === 1);
    t.match(warnings, [/^no link to the replica at https:.*does not match certificate's altnames/]);
    t.equal(dialer.linked, false);
  });

  await t.test('not linked: plain to a port with TLS', async (t) => {
    const { dialer, warnings } = dial(t, `http://127.0.0.1:${port}`, authority());
    await until('told why', () => warnings.length === 1);
    t.equal(dialer.linked, false);
  });

  t.equal(f.acceptor.followers, 0);
}

void t.test('links by https', main);
