/** What a backend is to plinth: a name, its flags, a check of its options, and a way to open its storage. */
import type { Directory } from './directory.ts';
import type { Flag, Options } from './flag.ts';
import type { Image } from './image.ts';
import type { Log } from './log.ts';

/** An opened keyspace. */
export interface Storage {
  readonly log: Log;
  readonly image: Image;
  /** Where the log can be shared; an exclusive one has no other replicas to find. */
  readonly directory?: Directory | undefined;
  /** Ends all calls under way, frees locks and connections. Idempotent. */
  close(): Promise<void>;
}

/** What every backend is told, whatever its own flags are. */
export interface BuildContext {
  /** The directory for local files (--data-dir). Only backends that keep files create it. */
  readonly dataDir: string;
  /** Keyspaces in one database are fully isolated from each other. 1 to 64 characters of [A-Za-z0-9._-]. */
  readonly keyspace: string;
  /** Something an operator should know, not fatal. */
  warn(message: string): void;
}

/** What every kind of backend says of itself. */
export interface BackendInfo {
  /** As in --storage-backend=<name>; its flags begin with `<name>-`. */
  readonly name: string;
  readonly flags: readonly Flag[];
  /** All problems of these options, each a sentence naming the flag; an empty list: fine. Does no I/O. */
  validate(options: Options): string[];
}

/** A backend that stores a log and an image; relay.ts has the other kind. */
export interface Backend extends BackendInfo {
  /**
   * Opens (and creates, idempotently) the storage: within 30 s, or an Error whose message names the endpoint and says what
   * to check.
   */
  build(options: Options, context: BuildContext): Promise<Storage>;
}
