import type { Test } from 'tap';
import { refused } from './assertions.ts';
import { fresh, type Target } from './target.ts';

export async function cluster(t: Test, target: Target): Promise<void> {
  const server = await fresh(t, target);
  const { client } = server;
  const list = async (request = {}) => client.call('Cluster/MemberList', request);
  const member = (await list()).members[0]!;
  const notFound = 'etcdserver: member not found';
  const invalid = 'etcdserver: given member URLs are invalid';

  await t.test('one member, with URLs that clients can reach', async (t) => {
    for (const request of [{}, { linearizable: true }]) {
      const answer = await list(request);
      t.equal(answer.members.length, 1);
      t.match(answer.members[0], { name: 'default', clientURLs: [server.url], isLearner: false });
      t.equal(answer.members[0]?.ID, answer.header?.memberId);
      t.not(answer.header?.clusterId, 0n);
      t.equal(answer.header?.revision, 0, 'cluster headers have no revision');
    }
    t.equal((await client.call('Maintenance/Status')).leader, member.ID, 'it leads');
  });

  await t.test('add', async (t) => {
    for (const peerURLs of [[], ['nonsense'], ['ftp://127.0.0.1:1'], ['http://127.0.0.1:1', 'http://127.0.0.1']]) {
      await refused(
        t,
        client.call('Cluster/MemberAdd', { peerURLs }),
        'INVALID_ARGUMENT',
        invalid,
        JSON.stringify(peerURLs),
      );
    }
  });

  await t.test('remove', async (t) => {
    await refused(t, client.call('Cluster/MemberRemove', { ID: 1 }), 'NOT_FOUND', notFound);
    await refused(t, client.call('Cluster/MemberRemove', {}), 'NOT_FOUND', notFound);
    const last = 'etcdserver: re-configuration failed due to not enough started members';
    await refused(t, client.call('Cluster/MemberRemove', { ID: member.ID }), 'UNKNOWN', last);
  });

  await t.test('update', async (t) => {
    const peerURLs = ['http://127.0.0.1:1'];
    await refused(t, client.call('Cluster/MemberUpdate', { ID: 1, peerURLs }), 'NOT_FOUND', notFound);
  });

  await t.test('promote', async (t) => {
    await refused(t, client.call('Cluster/MemberPromote', { ID: 1 }), 'NOT_FOUND', notFound);
    const text = 'etcdserver: can only promote a learner member';
    await refused(t, client.call('Cluster/MemberPromote', { ID: member.ID }), 'FAILED_PRECONDITION', text);
  });

  await t.test('nothing changed', async (t) => {
    t.strictSame((await list()).members, [member]);
  });
}
