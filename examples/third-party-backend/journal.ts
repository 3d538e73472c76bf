/**
 * The file: lines are added and synced to disk before anybody is told, one addition after the other. The lock is an abstract
 * Unix socket, which the kernel frees with the process; it only keeps out processes of the same network namespace.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type FileHandle, open, readFile, rename } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { dirname } from 'node:path';
import { BackendError } from 'plinth';
import type { Line } from './state.ts';

export class Journal {
  readonly #path: string;
  readonly #lock: Server;
  #file: FileHandle;
  #bytes: number;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;
  /** What is at the end of the file is not known any more. */
  #broken = false;

  private constructor(path: string, lock: Server, file: FileHandle, bytes: number) {
    this.#path = path;
    this.#lock = lock;
    this.#file = file;
    this.#bytes = bytes;
  }

  static async open(path: string, apply: (line: Line) => void): Promise<Journal> {
    const lock = await lockFor(path);
    try {
      const file = await open(path, 'a', 0o600);
      const content = await readFile(path);
      // A line without its end was cut off by a crash, before anybody was told of it.
      const end = content.lastIndexOf('\n') + 1;
      await file.truncate(end);
      for (const line of content.subarray(0, end).toString().split('\n').slice(0, -1)) apply(JSON.parse(line));
      const journal = new Journal(path, lock, file, end);
      await journal.#syncDirectory();
      return journal;
    } catch (error) {
      lock.close();
      throw error;
    }
  }

  /** `work` runs alone, after everything that was asked for before. */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new BackendError('failed', 'jsonl: the storage is closed');
    if (this.#broken) throw new BackendError('failed', `jsonl: ${this.#path} could not be repaired: restart`);
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return await result;
  }

  /** Only within `alone`. */
  async add(lines: readonly Line[]): Promise<void> {
    const text = Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    try {
      await this.#file.appendFile(text);
      await this.#file.datasync();
      this.#bytes += text.byteLength;
    } catch (error) {
      await this.#takeBack(error as Error);
    }
  }

  async #takeBack(cause: Error): Promise<never> {
    let outcome: 'failed' | 'unknown' = 'failed';
    await this.#file.truncate(this.#bytes).catch(() => {
      outcome = 'unknown';
      this.#broken = true;
    });
    throw new BackendError(outcome, `jsonl: ${cause.message} (${this.#path}: check the disk and its free space)`, {
      cause,
    });
  }

  /** The file anew, with these lines only. A crash leaves the old file or the new one. Only within `alone`. */
  async replace(lines: readonly Line[]): Promise<void> {
    const temporary = `${this.#path}.new`;
    try {
      const file = await open(temporary, 'a', 0o600);
      await file.truncate(0);
      for (const line of lines) await file.appendFile(`${JSON.stringify(line)}\n`);
      await file.sync();
      const { size } = await file.stat();
      await rename(temporary, this.#path);
      await this.#file.close();
      this.#file = file;
      this.#bytes = size;
      await this.#syncDirectory();
    } catch (error) {
      const { message } = error as Error;
      throw new BackendError('failed', `jsonl: ${message} (${temporary}: check the disk)`, { cause: error });
    }
  }

  size(): Promise<number> {
    return this.alone(async () => this.#bytes);
  }

  async #syncDirectory(): Promise<void> {
    const directory = await open(dirname(this.#path));
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#last;
    await this.#file.close();
    this.#lock.close();
  }
}

async function lockFor(path: string): Promise<Server> {
  const name = createHash('sha256').update(path).digest('hex');
  const server = createServer((socket) => socket.destroy());
  server.listen(`\0plinth-jsonl-${name}`);
  try {
    await once(server, 'listening');
  } catch {
    throw new Error(`${path} is in use by another process: stop it, or choose another --data-dir`);
  }
  return server;
}
