/** What happens to replicas meanwhile: by chance, but the same for the same seed. */
import type { Random } from '../support/random.ts';
import type { Server } from '../support/server.ts';
import type { TcpProxy } from '../support/tcp-proxy.ts';

export interface Subject {
  readonly server: Server;
  /** Between it and the database. */
  readonly proxy: TcpProxy;
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const faults = {
  async kill({ server }: Subject) {
    await server.restart('SIGKILL');
  },
  async restart({ server }: Subject) {
    await server.restart('SIGTERM');
  },
  async stop({ server }: Subject, random: Random) {
    await server.child.pause();
    await sleep(random.integer(200, 4000));
    server.child.resume();
  },
  async cut({ proxy }: Subject, random: Random) {
    proxy.set('cut');
    await sleep(random.integer(100, 2000));
    proxy.set('pass');
  },
  async hole({ proxy }: Subject, random: Random) {
    proxy.set('hole');
    await sleep(random.integer(500, 4000));
    proxy.set('pass');
  },
  async delay({ proxy }: Subject, random: Random) {
    proxy.delayMs = random.integer(5, 300);
    await sleep(random.integer(500, 2000));
    proxy.delayMs = 0;
  },
  /** In the middle of whatever is under way, and at once all is well again. */
  async reset({ proxy }: Subject) {
    proxy.cut();
    await sleep(10);
  },
};

/** One fault after the other until `untilMs` (of performance.now()); all is repaired then. Resolves with how often each happened. */
export async function breakThings(
  subjects: readonly Subject[],
  random: Random,
  untilMs: number,
): Promise<Record<string, number>> {
  const done: Record<string, number> = {};
  const weights = { kill: 1, restart: 1, stop: 2, cut: 2, hole: 2, delay: 1, reset: 3 };
  while (performance.now() < untilMs) {
    const name = random.weighted(weights);
    await faults[name](random.pick(subjects), random);
    done[name] = (done[name] ?? 0) + 1;
    await sleep(random.integer(0, 800));
  }
  return done;
}
