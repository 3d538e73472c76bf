/** Replicas on one memory log that forward to each other over a network in the hands of the test, on a clock that it moves. */
import type { Test } from 'tap';
import type { Committer } from '../../../src/mvcc/committer.ts';
import { type ForwardAnswer, Forwarder, type ForwardRequest } from '../../../src/mvcc/forwarder.ts';
import { decodeKeyValue } from '../../../src/mvcc/key-value.ts';
import { decodeBatch } from '../../../src/mvcc/records.ts';
import type { Replica } from '../../../src/mvcc/replica.ts';
import type { Backend } from '../../../src/registry/backend.ts';
import { type Clock, openReplica } from './replica.ts';
import { put } from './requests.ts';
import { openStorage, type TestStorage, turns } from './storage.ts';

/** Asks the other replica, and answers with what it answered; nobody else hears of it. */
export type Ask = () => Promise<ForwardAnswer>;

/** What one replica sends to the others. */
export interface Wire {
  /** Replicas that cannot be reached. */
  readonly down: Set<string>;
  /** False: `forward` says so. */
  takes: boolean;
  /** Everything sent, in order. */
  readonly sent: { readonly to: string; readonly request: ForwardRequest }[];
  /** In place of asking and handing over the answer. Requests that begin an epoch are not given to it. */
  deliver: ((ask: Ask, request: ForwardRequest, to: string) => void) | undefined;
  /** The same, for those that begin an epoch. */
  deliverEpoch: ((ask: Ask, request: ForwardRequest, to: string) => void) | undefined;
}

export interface Node {
  /** 16 times the same digit. */
  readonly id: string;
  readonly storage: TestStorage;
  readonly replica: Replica;
  readonly committer: Committer;
  readonly forwarder: Forwarder;
  readonly wire: Wire;
}

export interface Cluster {
  readonly clock: Clock;
  readonly nodes: readonly Node[];
}

/** As what has gone over a socket. */
const copied = <T>(value: T): T => structuredClone(value);

/** Replicas that are connected with each other; named a, b, c … and so are their ids. */
export async function cluster(t: Test, count: number): Promise<Cluster> {
  const clock: Clock = { now: 1_000_000 };
  const nodes: Node[] = [];
  let backend: Backend | undefined;
  for (let i = 0; i < count; i++) {
    const id = 'abcdef'.charAt(i).repeat(16);
    const storage = await openStorage(backend === undefined ? {} : { backend });
    backend = storage.backend;
    const yields = (): boolean => forwarder.yields();
    const { replica, committer } = await openReplica(t, storage, clock, id, { yields });
    const forwarder: Forwarder = new Forwarder(replica, committer, { replicaId: id, now: () => clock.now });
    const wire: Wire = { down: new Set(), takes: true, sent: [], deliver: undefined, deliverEpoch: undefined };
    forwarder.peers = { push() {}, link: (to) => linkOf(nodes, { id, forwarder, wire }, to) };
    nodes.push({ id, storage, replica, committer, forwarder, wire });
    replica.onApplied = (_revisions, rebuilt) => {
      if (rebuilt) forwarder.rebuilt();
    };
    t.teardown(() => forwarder.close());
  }
  return { clock, nodes };
}

function linkOf(nodes: readonly Node[], { id, forwarder, wire }: Pick<Node, 'id' | 'forwarder' | 'wire'>, to: string) {
  const target = nodes.find((node) => node.id === to);
  if (target === undefined || wire.down.has(to)) return undefined;
  return {
    forward(request: ForwardRequest): boolean {
      if (!wire.takes) return false;
      wire.sent.push({ to, request });
      const sent = copied(request);
      const ask: Ask = async () => {
        await turns(1);
        const answer = await new Promise<ForwardAnswer>((resolve) => target.forwarder.performer(id)(sent, resolve));
        await turns(1);
        return copied(answer);
      };
      const deliver = request.command.kind === 'epoch' ? wire.deliverEpoch : wire.deliver;
      if (deliver) deliver(ask, request, to);
      else void ask().then((answer) => forwarder.answered(request.sequence, answer));
      return true;
    },
  };
}

/** Two replicas; the first one has just written, so that the second one asks it: `warm=1@2` is in the log. */
export async function writerAndOther(t: Test): Promise<{ clock: Clock; writer: Node; other: Node }> {
  const { clock, nodes } = await cluster(t, 2);
  const [writer, other] = nodes as [Node, Node];
  await warm(writer, other);
  return { clock, writer, other };
}

/** Has `writer` write, and the others know. */
export async function warm(writer: Node, ...others: readonly Node[]): Promise<void> {
  await writer.forwarder.execute(put('warm', '1'));
  for (const { replica } of others) await replica.catchUp();
}

/** The network between two breaks: neither reaches the other from now on, and what they were asked for is in doubt. */
export function cut(one: Node, other: Node): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.wire.down.add(to.id);
    from.forwarder.lost(to.id);
  }
}

/** What the log says, as short texts: `k=v@2`, `-k@3`, `forwarded b 1`, `epoch b 1`, `leaseGrant` … */
export async function written({ storage }: Pick<Node, 'storage'>): Promise<string[]> {
  const batches = await storage.log.read(0, { batches: 100_000, bytes: 1e9 });
  return batches.flatMap(({ data }) =>
    decodeBatch(data).records.flatMap((record) => {
      if (record.kind === 'forwarded') return [`forwarded ${short(record.replica)} ${record.sequence}`];
      if (record.kind === 'epoch') return [`epoch ${short(record.replica)} ${record.epoch}`];
      if (record.kind !== 'revision') return [record.kind];
      return record.changes.map(({ version }) => {
        const bytes = (version.segment.bytes as Buffer).subarray(version.offset, version.offset + version.length);
        const { key, value, modRevision } = decodeKeyValue(bytes);
        return version.deleted ? `-${key}@${modRevision}` : `${key}=${Buffer.from(value).toString()}@${modRevision}`;
      });
    }),
  );
}

const short = (replica: bigint): string => replica.toString(16).charAt(0);

/** `key=value@revision` of an encoded KeyValue. */
export function textOf(bytes: Uint8Array | undefined): string | undefined {
  if (bytes === undefined) return undefined;
  const { key, value, modRevision } = decodeKeyValue(Buffer.from(bytes));
  return `${key}=${Buffer.from(value).toString()}@${modRevision}`;
}

export async function failure(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    (value) => ({ resolved: value }),
    (error: unknown) => error,
  );
}
