import type { Test } from 'tap';
import { currentRevision, refused } from './assertions.ts';
import { fresh, type Target } from './target.ts';

export async function auth(t: Test, target: Target): Promise<void> {
  const { client } = await fresh(t, target);

  await t.test('status', async (t) => {
    const status = await client.call('Auth/AuthStatus');
    t.strictSame([status.enabled, status.authRevision], [false, 1]);
    t.equal(status.header?.revision, await currentRevision(client));
    t.not(status.header?.clusterId, 0n);
  });

  await t.test('authenticate', async (t) => {
    const text = 'etcdserver: authentication is not enabled';
    for (const request of [{}, { name: 'root', password: 'secret' }]) {
      await refused(t, client.call('Auth/Authenticate', request), 'FAILED_PRECONDITION', text);
    }
  });

  await t.test('a token is ignored', async (t) => {
    const answer = await client.call('KV/Put', { key: 'a' }, { metadata: { token: 'nonsense' } });
    t.equal(answer.header?.revision, 2);
  });
}
