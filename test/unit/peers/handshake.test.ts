import t from 'tap';
import {
  decodeHandshake,
  encodeHandshake,
  type Hello,
  helloFields,
  isProof,
  proofFields,
  prove,
  welcomeFields,
} from '../../../src/peers/handshake.ts';

const secret = Buffer.alloc(32, 1);
const hello: Hello = { protocol: 1, from: 'aaaaaaaaaaaaaaaa', to: 'bbbbbbbbbbbbbbbb', nonce: 'n1' };

t.test('messages come out as they went in', (t) => {
  const welcome = { nonce: 'n2', proof: 'ff', messageBytesMax: 1.5 * 2 ** 20 };
  const proof = { proof: 'ff', entry: '{"name":"ü"}' };
  t.same(decodeHandshake(encodeHandshake(hello), helloFields), hello);
  t.same(decodeHandshake(encodeHandshake(welcome), welcomeFields), welcome);
  t.same(decodeHandshake(encodeHandshake(proof), proofFields), proof);
  t.end();
});

t.test('what is no message of the handshake is refused', (t) => {
  const wrong: (readonly [bytes: string | Buffer, message: string])[] = [
    ['', 'not the handshake of a replica'],
    ['GET / HTTP/1.1', 'not the handshake of a replica'],
    [Buffer.from([0xff, 0xfe, 0, 1]), 'not the handshake of a replica'],
    ['{"protocol":1', 'not the handshake of a replica'],
    ['null', 'not the handshake of a replica: no protocol'],
    ['7', 'not the handshake of a replica: no protocol'],
    ['[]', 'not the handshake of a replica: no protocol'],
    [JSON.stringify({ ...hello, protocol: '1' }), 'not the handshake of a replica: no protocol'],
    [JSON.stringify({ ...hello, from: undefined }), 'not the handshake of a replica: no from'],
    [JSON.stringify({ ...hello, to: null }), 'not the handshake of a replica: no to'],
    [JSON.stringify({ ...hello, nonce: ['n'] }), 'not the handshake of a replica: no nonce'],
  ];
  for (const [bytes, message] of wrong) {
    t.throws(
      () => decodeHandshake<Hello>(Buffer.from(bytes as string), helloFields),
      { message },
      JSON.stringify(bytes),
    );
  }
  t.end();
});

t.test('64 KiB are taken, more are not even parsed', (t) => {
  const padded = (bytes: number) => {
    const empty = encodeHandshake({ ...hello, nonce: '' }).length;
    return encodeHandshake({ ...hello, nonce: 'n'.repeat(bytes - empty) });
  };
  t.equal(decodeHandshake<Hello>(padded(64 * 1024), helloFields).protocol, 1);
  t.throws(() => decodeHandshake<Hello>(padded(64 * 1024 + 1), helloFields), { message: /too long/ });
  t.end();
});

t.test('a proof is for one secret, one side and one link', (t) => {
  const proof = prove(secret, 'dialer', hello, 'n2');
  t.match(proof, /^[0-9a-f]{64}$/);
  t.equal(prove(Buffer.from(secret), 'dialer', { ...hello }, 'n2'), proof, 'both ends work out the same');
  const others = [
    prove(Buffer.alloc(32, 2), 'dialer', hello, 'n2'),
    prove(secret, 'acceptor', hello, 'n2'),
    prove(secret, 'dialer', { ...hello, protocol: 2 }, 'n2'),
    prove(secret, 'dialer', { ...hello, from: hello.to, to: hello.from }, 'n2'),
    prove(secret, 'dialer', { ...hello, to: 'cccccccccccccccc' }, 'n2'),
    prove(secret, 'dialer', { ...hello, nonce: 'n3' }, 'n2'),
    prove(secret, 'dialer', hello, 'n3'),
    // What two fields say together does not depend on where one ends.
    prove(secret, 'dialer', { ...hello, nonce: 'n1n' }, '2'),
    prove(secret, 'dialer', { ...hello, nonce: 'n1","n2' }, ''),
  ];
  t.equal(new Set([proof, ...others]).size, 1 + others.length, 'each differs');
  t.notOk(others.some((other) => isProof(proof, other)));
  t.ok(isProof(proof, proof));
  for (const given of ['', proof.slice(1), `${proof}0`, proof.toUpperCase(), 'ü'.repeat(32), 'x'.repeat(1e5)]) {
    t.notOk(isProof(proof, given), given.slice(0, 70));
  }
  t.end();
});
