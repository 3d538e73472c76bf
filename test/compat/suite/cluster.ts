import type { Test } from 'tap';
import { refused } from './assertions.ts';
import { fresh, type Target } from './target.ts';

export async function cluster(t: Test, target: Target): Promise<void> {
  const server = await fresh(t, target);
  const { client } = server;
  const list = async (request = {}) => client.call('Cluster/MemberList', request);
  const { members } = await list();
  const member = members[0]!;
  const notFound = 'etcdserver: member not found';
  const invalid = 'etcdserver: given member URLs are invalid';

  await t.test('every member, with URLs that clients can reach', async (t) => {
    for (const request of [{}, { linearizable: true }]) {
      const answer = await list(request);
      t.same(answer.members.flatMap(({ clientURLs }) => clientURLs).sort(), [...server.memberUrls].sort());
      for (const each of answer.members) t.match(each, { name: 'default', isLearner: false });
      const ids = answer.members.map(({ ID }) => ID);
      t.equal(new Set(ids).size, server.memberUrls.length, 'each has an id of its own');
      t.ok(ids.includes(answer.header?.memberId as bigint), 'one of them has answered');
      t.not(answer.header?.clusterId, 0n);
      t.equal(answer.header?.revision, 0, 'cluster headers have no revision');
    }
    const { leader } = await client.call('Maintenance/Status');
    t.ok(
      (await list()).members.some(({ ID }) => ID === leader),
      'one of them leads',
    );
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
    const one = server.memberUrls.length === 1;
    const last = 'etcdserver: re-configuration failed due to not enough started members';
    // Where there are more, etcd would do it; replicas are not members of anything that could be changed.
    const [code, text] = one ? ['UNKNOWN', last] : ['FAILED_PRECONDITION', 'etcdserver: not capable'];
    await refused(t, client.call('Cluster/MemberRemove', { ID: member.ID }), code as 'UNKNOWN', text as string);
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
    t.strictSame((await list()).members, members);
  });
}
