/**
 * Random operations as plain data. Few keys, few leases and revisions near the interesting ones, so that things collide:
 * compacted and future revisions, duplicate keys, missing leases.
 */

import { Random } from '../../support/random.ts';
import type { RequestMessage } from '../../support/wire.ts';
import { type History, randomTxn } from './transactions.ts';

export type UnaryMethod =
  | 'KV/Range'
  | 'KV/Put'
  | 'KV/DeleteRange'
  | 'KV/Txn'
  | 'KV/Compact'
  | 'Lease/LeaseGrant'
  | 'Lease/LeaseRevoke'
  | 'Lease/LeaseTimeToLive'
  | 'Lease/LeaseLeases'
  | 'Maintenance/Defragment';

export type Operation =
  | { readonly kind: 'call'; readonly method: UnaryMethod; readonly request: RequestMessage }
  | { readonly kind: 'range-stream'; readonly request: RequestMessage }
  | { readonly kind: 'keep-alive'; readonly request: RequestMessage }
  | { readonly kind: 'watch'; readonly stream: number; readonly request: RequestMessage }
  | { readonly kind: 'close-watches'; readonly stream: number }
  | { readonly kind: 'settle' };

/** etcd sorts up to 12 elements stably and more of them not: with the sentinel this stays below. */
export const keys = ['\0', 'a', 'a\0', 'ab', 'b', 'c', 'd', 'e', '\xfe', '\xff'] as const;
const rangeEnds = ['', '', '', '\0', '\0', 'a', 'b', 'c', 'd', 'e', 'ab', 'b\0', '\xff', '\xff\xff'] as const;
const values = ['', 'v', 'w', 'x', 'vv', '\0', '\xff'] as const;
const leases = [1, 2, 3, 4, -1, 2n ** 62n] as const;
export const watchStreams = 3;

const weights = {
  put: 24,
  deleteRange: 6,
  range: 14,
  rangeStream: 4,
  txn: 18,
  compact: 1.5,
  leaseGrant: 3,
  leaseRevoke: 2,
  leaseTimeToLive: 2,
  leaseLeases: 1,
  keepAlive: 1,
  watchCreate: 8,
  watchCancel: 3,
  closeWatches: 0.7,
  defragment: 0.3,
  settle: 2,
};

/** What is asked depends on the seed and on the revisions that the reference has answered so far. */
export class Operations {
  readonly #random: Random;
  readonly #history: History;

  constructor(seed: number, history: History) {
    this.#random = new Random(seed);
    this.#history = history;
  }

  next(): Operation {
    const random = this.#random;
    switch (random.weighted(weights)) {
      case 'put':
        return call('KV/Put', randomPut(random));
      case 'deleteRange':
        return call('KV/DeleteRange', randomDelete(random));
      case 'range':
        return call('KV/Range', randomRange(random, this.#history));
      case 'rangeStream':
        return { kind: 'range-stream', request: this.#rangeStream() };
      case 'txn':
        return call('KV/Txn', randomTxn(random, this.#history));
      case 'compact':
        return call('KV/Compact', { revision: this.#compactRevision(), physical: random.chance(0.5) });
      case 'leaseGrant':
        return call('Lease/LeaseGrant', {
          ID: random.pick(leases),
          TTL: random.pick([1000, 2000, 9_000_000_000, 9_000_000_001]),
        });
      case 'leaseRevoke':
        return call('Lease/LeaseRevoke', { ID: random.pick(leases) });
      case 'leaseTimeToLive':
        return call('Lease/LeaseTimeToLive', { ID: random.pick(leases), keys: random.chance(0.7) });
      case 'leaseLeases':
        return call('Lease/LeaseLeases', {});
      case 'keepAlive':
        return { kind: 'keep-alive', request: { ID: random.pick(leases) } };
      case 'watchCreate':
        return this.#watchCreate();
      case 'watchCancel':
        return {
          kind: 'watch',
          stream: this.#stream(),
          request: { cancelRequest: { watchId: random.integer(-2, 12) } },
        };
      case 'closeWatches':
        return { kind: 'close-watches', stream: this.#stream() };
      case 'defragment':
        return call('Maintenance/Defragment', {});
      case 'settle':
        return { kind: 'settle' };
    }
  }

  #stream(): number {
    return this.#random.integer(0, watchStreams - 1);
  }

  /** Not -1, which stands for the whole stream. */
  #watchId(): number {
    return this.#random.chance(0.1) ? -2 : this.#random.integer(0, 12);
  }

  #compactRevision(): number {
    const { head, compacted } = this.#history;
    if (this.#random.chance(0.2)) return this.#random.pick([-1, 0, compacted, compacted - 1, head + 1, head]);
    // Leaves some history to read and to watch.
    return this.#random.integer(compacted, Math.ceil((compacted + head) / 2));
  }

  /** etcd's stream counts and pages wrongly for a sort target without an order, so that is left out. */
  #rangeStream(): RequestMessage {
    const request = randomRange(this.#random, this.#history);
    return request.sortOrder === undefined ? { ...request, sortTarget: undefined } : request;
  }

  #watchCreate(): Operation {
    const random = this.#random;
    const { head, compacted } = this.#history;
    const startRevision = random.weighted({ now: 5, past: 5, compacted: 1, future: 1, negative: 0.3 });
    const createRequest = {
      key: random.chance(0.05) ? '' : random.pick(keys),
      rangeEnd: random.pick(rangeEnds),
      startRevision: {
        now: 0,
        past: random.integer(Math.max(1, compacted), head + 1),
        compacted: random.integer(1, Math.max(1, compacted + 1)),
        future: head + random.integer(1, 4),
        negative: -random.integer(1, 2),
      }[startRevision],
      prevKv: random.chance(0.5),
      filters: random.chance(0.25) ? random.pick([[0], [1], [0, 1], [5]]) : undefined,
      fragment: random.chance(0.2),
      watchId: random.chance(0.3) ? this.#watchId() : undefined,
    };
    return { kind: 'watch', stream: this.#stream(), request: { createRequest } };
  }
}

function call(method: UnaryMethod, request: RequestMessage): Operation {
  return { kind: 'call', method, request };
}

export function randomKey(random: Random): string {
  return random.chance(0.01) ? '' : random.pick(keys);
}

export function randomPut(random: Random): RequestMessage {
  const ignoreValue = random.chance(0.08);
  const ignoreLease = random.chance(0.08);
  return {
    key: randomKey(random),
    value: ignoreValue && random.chance(0.9) ? undefined : random.pick(values),
    lease: random.chance(0.3) && !(ignoreLease && random.chance(0.9)) ? random.pick(leases) : undefined,
    prevKv: random.chance(0.4),
    ignoreValue,
    ignoreLease,
  };
}

export function randomDelete(random: Random): RequestMessage {
  return { key: randomKey(random), rangeEnd: random.pick(rangeEnds), prevKv: random.chance(0.5) };
}

export function randomRange(random: Random, history: History): RequestMessage {
  const { head, compacted } = history;
  const maybe = <T>(probability: number, value: () => T): T | undefined =>
    random.chance(probability) ? value() : undefined;
  const revision = () => random.integer(0, head + 1);
  return {
    key: randomKey(random),
    rangeEnd: random.pick(rangeEnds),
    limit: maybe(0.4, () => random.pick([-1, 1, 1, 2, 3, 5, 10, 11, 1000])),
    revision: maybe(0.4, () =>
      random.chance(0.2) ? random.pick([-1, head + 1, head + 2, compacted - 1, compacted]) : revision(),
    ),
    sortOrder: maybe(0.3, () => random.pick([1, 1, 2, 2, 2, random.chance(0.1) ? 3 : 2])),
    sortTarget: maybe(0.3, () => random.pick([0, 1, 2, 3, 4, random.chance(0.1) ? 7 : 4])),
    serializable: maybe(0.2, () => true),
    keysOnly: maybe(0.2, () => true),
    countOnly: maybe(0.1, () => true),
    minModRevision: maybe(0.08, revision),
    maxModRevision: maybe(0.08, revision),
    minCreateRevision: maybe(0.08, revision),
    maxCreateRevision: maybe(0.08, revision),
  };
}
