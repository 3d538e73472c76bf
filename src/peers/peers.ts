/**
 * The other replicas of a keyspace: found through the directory of the database, linked with each other both ways. Everything here
 * only saves time: without any link each replica follows the log and writes for itself.
 */
import { randomBytes } from 'node:crypto';
import type { Link, Peers } from '../mvcc/forwarder.ts';
import type { Store } from '../mvcc/store.ts';
import type { Directory, DirectoryEntry } from '../registry/directory.ts';
import type { StreamMethod } from '../transport/rpc.ts';
import { Acceptor } from './acceptor.ts';
import { Dialer } from './dialer.ts';
import { directoryBeatMs, directoryLiveMs } from './limits.ts';

/** A replica, as MemberList names it. */
export interface Member {
  readonly id: bigint;
  readonly name: string;
  readonly clientUrls: readonly string[];
}

export interface PeersOptions {
  readonly directory: Directory;
  readonly name: string;
  /** False: replicas are listed, but not linked. */
  readonly links: boolean;
  /** PEM: by whom the certificates of replicas with https URLs must be signed; undefined: by whom Node trusts. */
  readonly authorities?: Buffer | undefined;
  /** The largest message that the transport takes. */
  readonly messageBytesMax: number;
  warn(message: string): void;
}

interface Known {
  readonly member: Member;
  readonly dialer: Dialer | undefined;
}

export class ReplicaPeers implements Peers {
  readonly #store: Store;
  readonly #options: PeersOptions;
  readonly #acceptor: Acceptor;
  readonly #known = new Map<string, Known>();
  #secret: Uint8Array | undefined;
  #clientUrls: readonly string[] = [];
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> | undefined;
  #reachable = true;
  #closed = false;
  /** Batches that other replicas told this one of. */
  received = 0;

  constructor(store: Store, options: PeersOptions) {
    this.#store = store;
    this.#options = options;
    this.#acceptor = new Acceptor({
      self: store.replicaId,
      messageBytesMax: options.messageBytesMax,
      secret: () => this.#secret,
      performer: (from) => store.forwarder.performer(from),
      onLinked: (id, data) => this.#learn({ id, data }),
    });
    if (options.links) store.forwarder.peers = this;
  }

  /** To be served at `linkPath`. */
  get method(): StreamMethod {
    return this.#acceptor.method;
  }

  get counts() {
    const linked = [...this.#known.values()].filter(({ dialer }) => dialer?.linked).length;
    return { linked, followers: this.#acceptor.followers, received: this.received, dropped: this.#acceptor.dropped };
  }

  /** Once clients can connect at these URLs. Resolves when the other replicas are known, or the database did not answer. */
  async start(clientUrls: readonly string[]): Promise<void> {
    this.#clientUrls = clientUrls;
    this.#timer = setInterval(() => void this.#beat(), directoryBeatMs);
    this.#timer.unref();
    await this.#beat();
  }

  /** The live replicas with this one, ordered by id: as the directory says after the question. */
  async members(): Promise<Member[]> {
    await this.#nextBeat();
    const members = [this.#self(), ...[...this.#known.values()].map(({ member }) => member)];
    return members.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** The member that writes now: this one, if that is not known. */
  leader(): bigint {
    const writer = this.#known.get(this.#store.lastWriter);
    return writer?.member.id ?? this.#store.memberId;
  }

  #self(): Member {
    return { id: this.#store.memberId, name: this.#options.name, clientUrls: this.#clientUrls };
  }

  #entry(): Uint8Array {
    const { id, name, clientUrls } = this.#self();
    return Buffer.from(JSON.stringify({ id: id.toString(16), name, clientUrls }));
  }

  /** A beat that begins from now on; all who ask during one share the one after it. */
  async #nextBeat(): Promise<void> {
    await this.#beating;
    await this.#beat();
  }

  #beat(): Promise<void> {
    this.#beating ??= this.#tellDirectory().finally(() => {
      this.#beating = undefined;
    });
    return this.#beating;
  }

  async #tellDirectory(): Promise<void> {
    const { directory, warn } = this.#options;
    const { replicaId } = this.#store;
    try {
      this.#secret ??= await directory.secret(randomBytes(32));
      const live = await directory.beat({ id: replicaId, data: this.#entry() }, directoryLiveMs);
      if (this.#closed) return;
      this.#reachable = true;
      for (const entry of live) this.#learn(entry);
      const ids = new Set(live.map(({ id }) => id));
      for (const [id, { dialer }] of this.#known) if (!ids.has(id) && !dialer?.linked) this.#forget(id);
    } catch (error) {
      // Once, not at every beat.
      if (this.#reachable) warn(`cannot tell the other replicas that this one lives: ${(error as Error).message}`);
      this.#reachable = false;
    }
  }

  #learn({ id, data }: DirectoryEntry): void {
    if (this.#closed || id === this.#store.replicaId) return;
    // Who was asked for members while it started has told of itself without URLs. Once there, they stay what they are.
    if ((this.#known.get(id)?.member.clientUrls.length ?? 0) > 0) return;
    const member = memberOf(data);
    if (member === undefined) return;
    const dialer = this.#options.links && member.clientUrls.length > 0 ? this.#dial(id, member) : undefined;
    this.#known.set(id, { member, dialer });
  }

  #dial(to: string, { name, clientUrls }: Member): Dialer {
    const { forwarder, replicaId } = this.#store;
    return new Dialer({
      from: replicaId,
      to,
      urls: clientUrls,
      authorities: this.#options.authorities,
      secret: this.#secret as Uint8Array,
      entry: () => this.#entry(),
      onPush: (slot, id, data) => {
        this.received++;
        this.#store.pushed(slot, id, data);
      },
      onAnswer: (sequence, answer) => forwarder.answered(sequence, answer),
      onLost: () => forwarder.lost(to),
      warn: (message) => this.#options.warn(`${message} (${name}): its writes are found by asking the database`),
    });
  }

  #forget(id: string): void {
    this.#known.get(id)?.dialer?.close();
    this.#known.delete(id);
  }

  link(replicaId: string): Link | undefined {
    const dialer = this.#known.get(replicaId)?.dialer;
    return dialer?.alive ? dialer : undefined;
  }

  push(slot: number, id: string, data: Uint8Array): void {
    this.#acceptor.push(slot, id, data);
  }

  /** Leaves the directory and ends the links. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    for (const id of this.#known.keys()) this.#forget(id);
    await this.#beating;
    await this.#options.directory.leave(this.#store.replicaId).catch(() => {});
  }
}

/** undefined: written by a plinth that tells other things of itself. */
function memberOf(data: Uint8Array): Member | undefined {
  try {
    const { id, name, clientUrls } = JSON.parse(Buffer.from(data).toString());
    if (typeof name !== 'string' || !Array.isArray(clientUrls)) return undefined;
    return { id: BigInt(`0x${id}`), name, clientUrls: clientUrls.filter((url) => typeof url === 'string') };
  } catch {
    return undefined;
  }
}
