/** Several plinths on one keyspace, as processes of their own, behind one address. */
import { eventually } from './process.ts';
import { type PlinthOptions, Server, startPlinth } from './server.ts';
import { TcpProxy } from './tcp-proxy.ts';

/** Each connection to `endpoint` goes to the next replica. */
export class Replicas extends Server {
  readonly all: readonly Server[];
  readonly #balancer: TcpProxy;

  private constructor(all: readonly Server[], balancer: TcpProxy) {
    const [first] = all as [Server];
    super('plinth', balancer.port, first.dataDirectory, () => first.child);
    this.all = all;
    this.memberUrls = all.map(({ url }) => url);
    this.#balancer = balancer;
  }

  static async start(count: number, options: PlinthOptions): Promise<Replicas> {
    const all: Server[] = [];
    for (let i = 0; i < count; i++) all.push(await startPlinth(options));
    const replicas = new Replicas(all, await TcpProxy.start(...all.map(({ endpoint }) => endpoint)));
    for (const replica of all) await replicas.#knownTo(replica);
    return replicas;
  }

  /** A replica serves before it has told the others where it is. */
  async #knownTo({ client, child }: Server): Promise<void> {
    await eventually(async () => {
      const { members } = await client.call('Cluster/MemberList', {});
      const missing = this.memberUrls.filter((url) => !members.some(({ clientURLs }) => clientURLs?.includes(url)));
      if (missing.length > 0) throw new Error(`not among the members: ${missing.join(', ')}`);
    }, child);
  }

  /** One after the other. */
  override async restart(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    for (const replica of this.all) await replica.restart(signal);
    this.child = (this.all[0] as Server).child;
  }

  override async close(): Promise<void> {
    this.client.close();
    this.#balancer.close();
    for (const replica of this.all) await replica.close();
  }
}
