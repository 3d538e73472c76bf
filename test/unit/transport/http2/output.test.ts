/** What is written leaves in order and unchanged, whether the operating system takes it at once or later. */
import type { Socket } from 'node:net';
import { Writable } from 'node:stream';
import t from 'tap';
import { Output } from '../../../../src/transport/http2/output.ts';

/** A socket that takes everything at once, or only when it is told to; it looks at the bytes when it takes them. */
class Peer extends Writable {
  text = '';
  slow = false;
  #take: (() => void) | undefined;

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    const take = () => {
      this.text += chunk.toString();
      done();
    };
    if (this.slow) this.#take = take;
    else take();
  }

  take(): void {
    const take = this.#take;
    this.#take = undefined;
    take?.();
  }
}

function begin() {
  const peer = new Peer({ highWaterMark: 1024 * 1024 });
  const output = new Output(peer as unknown as Socket, () => {});
  const send = (text: string) => {
    output.write(Buffer.from(text));
    output.flush();
  };
  return { peer, output, send };
}

t.test('what was taken makes room in the same slab', async (t) => {
  const { peer, output, send } = begin();
  send('first');
  const { slab } = output;
  for (let i = 0; i < 10_000; i++) send('again');
  t.equal(output.slab, slab);
  t.equal(output.reserve(1), 0);
  t.equal(peer.text, `first${'again'.repeat(10_000)}`);
});

t.test('what was not taken yet stays as it is', async (t) => {
  const { peer, output, send } = begin();
  peer.slow = true;
  send('one ');
  send('two ');
  peer.take();
  t.equal(peer.text, 'one ');
  send('three ');
  t.equal(output.bufferedBytes, 'two three '.length);
  while (output.bufferedBytes > 0) peer.take();
  peer.slow = false;
  send('four');
  t.equal(peer.text, 'one two three four');
});

t.test('more than a slab, in pieces that are copied and pieces that are not', async (t) => {
  const { peer, output } = begin();
  const pieces = Array.from({ length: 100 }, (_, i) =>
    String.fromCharCode(97 + (i % 26)).repeat(i % 7 === 0 ? 5000 : 300),
  );
  for (let round = 0; round < 3; round++) {
    for (const piece of pieces) output.write(Buffer.from(piece));
    output.flush();
  }
  t.equal(peer.text, pieces.join('').repeat(3));
});
