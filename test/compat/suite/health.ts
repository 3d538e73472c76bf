import type { Test } from 'tap';
import { codes } from '../../support/codes.ts';
import { refused } from './assertions.ts';
import { fresh, type Target } from './target.ts';

const SERVING = 1;
const SERVICE_UNKNOWN = 3;

export async function health(t: Test, target: Target): Promise<void> {
  const { client } = await fresh(t, target);

  await t.test('check', async (t) => {
    t.equal((await client.call('Health/Check', {})).status, SERVING);
    await refused(t, client.call('Health/Check', { service: 'etcdserverpb.KV' }), 'NOT_FOUND', 'unknown service');
  });

  await t.test('watch', async (t) => {
    const stream = client.serverStream('Health/Watch', {});
    t.equal((await stream.next()).status, SERVING);
    stream.cancel();
    t.equal((await stream.status).code, codes.CANCELLED);
    const unknown = client.serverStream('Health/Watch', { service: 'nope' });
    t.equal((await unknown.next()).status, SERVICE_UNKNOWN);
    unknown.cancel();
  });
}
