/** A watching client for tests: says when it takes more, keeps what it gets. */
import type { EventBlock } from '../../../src/mvcc/event-block.ts';
import type { Store } from '../../../src/mvcc/store.ts';
import type { Watcher, WatchFilter, WatchSink } from '../../../src/mvcc/watcher.ts';
import { etcdserverpb } from '../../../src/proto/generated/etcd.js';

const text = (bytes: Uint8Array | null | undefined): string => Buffer.from(bytes ?? []).toString('latin1');

/** `put k=v @7 (before)`, `delete k @8`. */
function describe(block: EventBlock): string[] {
  return etcdserverpb.WatchResponse.decode(block.bytes).events.map(({ type, kv, prevKv }) => {
    const what = type === 1 ? `delete ${text(kv?.key)}` : `put ${text(kv?.key)}=${text(kv?.value)}`;
    return `${what} @${Number(kv?.modRevision)}${prevKv ? ` (${text(prevKv.value)})` : ''}`;
  });
}

export class TestSink implements WatchSink {
  writable = true;
  readonly blocks: EventBlock[] = [];
  readonly received: string[] = [];
  readonly headers: number[] = [];
  compactedAt: number | undefined;
  readonly #drained: (() => void)[] = [];

  drained(): Promise<void> {
    return new Promise((resolve) => this.#drained.push(resolve));
  }

  pause(): void {
    this.writable = false;
  }

  resume(): void {
    this.writable = true;
    for (const resolve of this.#drained.splice(0)) resolve();
  }

  events(_watcher: Watcher, block: EventBlock, revision: number): void {
    if (!this.writable) throw new Error('events for a client that takes none');
    this.blocks.push(block);
    this.received.push(...describe(block));
    this.headers.push(revision);
  }

  compacted(_watcher: Watcher, revision: number): void {
    this.compactedAt = revision;
  }
}

export const everything: WatchFilter = { key: '\0', rangeEnd: '\0', noPut: false, noDelete: false, prevKv: false };

/** Watches everything, or what `filter` says, from `startRevision` on; 0: from now on. */
export function watch(store: Store, sink: TestSink, startRevision = 0, filter: Partial<WatchFilter> = {}): Watcher {
  return store.hub.watch(1n, { ...everything, ...filter }, startRevision, sink);
}
