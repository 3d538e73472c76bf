/**
 * The directory: how replicas that share a keyspace find each other. Nothing about the data depends on it: a directory that is
 * late or wrong costs latency only. Backends whose log is shared have one (see backend.ts).
 */

/** One replica. */
export interface DirectoryEntry {
  /** 1 to 64 ASCII characters, new for each process. */
  readonly id: string;
  /** What it tells the others about itself, 1 byte to 64 KiB. Opaque here. */
  readonly data: Uint8Array;
}

export const directoryEntryBytesMax = 64 * 1024;

export interface Directory {
  /**
   * Notes that this replica lives, replacing what it told before, and answers with all who said so in the last `withinMs`
   * (by the clock of the database, so no clocks are compared), itself included, in the order of their ids. Forgets who has not
   * said so for ten times as long.
   */
  beat(entry: DirectoryEntry, withinMs: number): Promise<DirectoryEntry[]>;

  /** Takes a replica out at once. Success also where it is not in. */
  leave(id: string): Promise<void>;

  /**
   * The secret of this keyspace: `candidate` (16 to 64 bytes) if there is none yet, else what was stored first. Who can read
   * the database may be a replica; nobody else knows it. Never printed.
   */
  secret(candidate: Uint8Array): Promise<Uint8Array>;
}
