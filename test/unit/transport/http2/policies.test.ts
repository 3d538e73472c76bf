/** What a client may do how often. */
import t from 'tap';
import { Allowance } from '../../../../src/transport/http2/allowance.ts';
import { pingIntervalWithoutCallsMs, pingStrikesMax } from '../../../../src/transport/http2/limits.ts';
import { PingPolicy } from '../../../../src/transport/http2/ping-policy.ts';

t.test('an allowance is what may happen at once, and comes back with time', async (t) => {
  let now = 0;
  const allowance = new Allowance(3, 10, () => now);
  const take = (): number => {
    let taken = 0;
    while (allowance.take()) taken++;
    return taken;
  };
  t.equal(take(), 3);
  now += 50;
  t.equal(take(), 0, 'half a token is none');
  now += 50;
  t.equal(take(), 1);
  now += 60_000;
  t.equal(take(), 3, 'never more than at once');
});

t.test('pings: as often as etcd allows', async (t) => {
  const often = new PingPolicy(5000);
  const allowed = Array.from({ length: pingStrikesMax + 2 }, (_, i) => often.allow(i * 1000, true, false));
  t.strictSame(allowed, [true, true, true, false], 'the first is free, then two too early');
  const rare = new PingPolicy(5000);
  for (let i = 0; i < 20; i++) t.ok(rare.allow(i * 5000, true, false));
  const welcome = new PingPolicy(5000);
  for (let i = 0; i < 20; i++) t.ok(welcome.allow(i, true, true), 'a client that receives measures the way');
  const idle = new PingPolicy(5000);
  for (let i = 0; i < 3; i++) t.ok(idle.allow(i * 60_000, false, false));
  t.notOk(idle.allow(180_000, false, false), 'without calls once in two hours');
  t.ok(new PingPolicy(5000).allow(pingIntervalWithoutCallsMs, false, false));
});
