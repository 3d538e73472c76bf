import t from 'tap';
import { isTokenRefused, Token } from '../../../../src/backends/etcd3/token.ts';
import { etcdserverpb as pb } from '../../../../src/proto/generated/etcd.js';
import { RelayError } from '../../../../src/registry/relay.ts';
import { gate } from '../../mvcc/storage.ts';

const user = { name: 'root', password: 'pässwörd' };
const answer = (token: string): Uint8Array =>
  pb.AuthenticateResponse.encode({ header: { clusterId: 1, memberId: 2, revision: 3, raftTerm: 4 }, token }).finish();

t.test('the request is etcd’s, and all who ask at once share one answer', async (t) => {
  const requests: Uint8Array[] = [];
  const { passed, open } = gate();
  const token = new Token(user, async (request) => {
    requests.push(request);
    await passed;
    return answer(`token-${requests.length}`);
  });
  const asked = [token.get(), token.get(), token.get()];
  open();
  t.same(await Promise.all(asked), ['token-1', 'token-1', 'token-1']);
  t.equal(await token.get(), 'token-1', 'and it is kept');
  t.equal(requests.length, 1);
  const { name, password } = pb.AuthenticateRequest.decode(requests[0] as Uint8Array);
  t.same({ name, password }, user);
});

t.test('a refused token is replaced, once, however many calls were refused', async (t) => {
  let count = 0;
  const token = new Token(user, async () => answer(`token-${++count}`));
  t.equal(await token.get(), 'token-1');
  token.forget('token-1');
  token.forget('token-1');
  await Promise.resolve();
  const renewed = token.get();
  // This one was under way for long.
  token.forget('token-1');
  t.equal(await renewed, 'token-2');
  token.forget('token-1');
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(await token.get(), 'token-2', 'the new one is not thrown away for the old one');
  t.equal(count, 2);
});

t.test('a failure is told, and not kept', async (t) => {
  const errors = [
    new RelayError(14, 'no etcd'),
    new RelayError(3, 'etcdserver: authentication failed, invalid user ID or password'),
  ];
  const token = new Token(user, async () => {
    const error = errors.shift();
    if (error) throw error;
    return answer('token');
  });
  await t.rejects(Promise.all([token.get(), token.get()]), { code: 14, message: 'no etcd' });
  await t.rejects(token.get(), { code: 3, message: /authentication failed/ });
  t.equal(await token.get(), 'token');
});

t.test('an etcd whose authentication is off needs none, until it is switched on', async (t) => {
  let on = false;
  const token = new Token(user, async () => {
    if (!on) throw new RelayError(9, 'etcdserver: authentication is not enabled');
    return answer('token');
  });
  t.equal(await token.get(), undefined);
  on = true;
  t.equal(await token.get(), 'token');
});

t.test('an answer without a token, or with fields that are not known', async (t) => {
  const more = Buffer.concat([Buffer.from([0x18, 0x05, 0x22, 0x01, 0x78]), answer('token')]);
  t.equal(await new Token(user, async () => more).get(), 'token');
  t.equal(await new Token(user, async () => new Uint8Array(0)).get(), '');
  await t.rejects(new Token(user, async () => Buffer.from([0x12, 0x7f])).get(), 'cut short');
});

t.test('which answers are about the token', (t) => {
  t.ok(isTokenRefused('etcdserver: invalid auth token'));
  t.ok(isTokenRefused('etcdserver: revision of auth store is old'));
  for (const other of ['etcdserver: permission denied', 'etcdserver: user name is empty', '', 'invalid auth token']) {
    t.notOk(isTokenRefused(other), other);
  }
  t.end();
});
