/** ResponseHeader: who answers, and at which revision. Cluster and member are encoded once per store. */
import { etcdserverpb } from '../proto/generated/etcd.js';
import { long } from '../proto/int64.ts';
import { lengthDelimitedSize, varintSize, type Writer } from '../proto/wire.ts';

/**
 * There are no elections here, hence one term for all time: that of an etcd whose only member elected itself once. Clients
 * want it to be more than 0 and never to fall.
 */
export const raftTerm = 2;

export interface Identity {
  /** Unsigned, 64 bits. */
  readonly clusterId: bigint;
  /** Unsigned, 64 bits. */
  readonly memberId: bigint;
}

/** Writes the field `header: 1` of a response. */
export interface HeaderField {
  size(revision: number): number;
  write(to: Writer, revision: number): void;
}

const headerTag = 0x0a;
const revisionTag = 0x18;

class ResponseHeader implements HeaderField {
  readonly #before: Uint8Array;
  readonly #after: Uint8Array;

  constructor({ clusterId, memberId }: Identity) {
    const { ResponseHeader: type } = etcdserverpb;
    this.#before = type.encode({ clusterId: long(clusterId), memberId: long(memberId) }).finish();
    this.#after = type.encode({ raftTerm }).finish();
  }

  size(revision: number): number {
    return lengthDelimitedSize(this.#length(revision));
  }

  write(to: Writer, revision: number): void {
    to.header(headerTag, this.#length(revision));
    to.raw(this.#before);
    to.varintField(revisionTag, revision);
    to.raw(this.#after);
  }

  #length(revision: number): number {
    return this.#before.length + revisionLength(revision) + this.#after.length;
  }
}

/** The header of an operation inside a Txn. */
export const revisionHeader: HeaderField = {
  size: (revision) => lengthDelimitedSize(revisionLength(revision)),
  write(to, revision) {
    to.header(headerTag, revisionLength(revision));
    to.varintField(revisionTag, revision);
  },
};

/** The header of a Txn inside a Txn: it is there, and empty. */
export const emptyHeader: HeaderField = {
  size: () => 2,
  write: (to) => to.header(headerTag, 0),
};

function revisionLength(revision: number): number {
  return revision === 0 ? 0 : 1 + varintSize(revision);
}

const known = new WeakMap<Identity, HeaderField>();

/** The header of this store's responses. */
export function headerField(identity: Identity): HeaderField {
  let field = known.get(identity);
  if (field === undefined) {
    field = new ResponseHeader(identity);
    known.set(identity, field);
  }
  return field;
}

/** The same for generated messages. `revision` undefined: left out, as the Cluster service does. */
export function headerMessage(
  { clusterId, memberId }: Identity,
  revision?: number,
): etcdserverpb.ResponseHeader.$Properties {
  const message = { clusterId: long(clusterId), memberId: long(memberId), raftTerm };
  return revision === undefined ? message : { ...message, revision };
}
