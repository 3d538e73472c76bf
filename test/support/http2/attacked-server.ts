/** A server to be attacked: a process of its own, so that its memory is its own and what it holds can be asked for. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import type { Test } from 'tap';
import { repositoryRoot } from '../process.ts';
import { FrameClient } from './client.ts';
import { requestBlock, unaryCall } from './frames.ts';

export type Command = 'usage' | 'forgetPeak' | 'open' | 'stop';

export interface Usage {
  /** Heap and buffers after a garbage collection, and the most there was at any time, with garbage. */
  readonly heldBytes: number;
  readonly peakBytes: number;
  /** Processor time so far. */
  readonly cpuMs: number;
  readonly activeCalls: number;
  readonly sockets: number;
  /** Handlers: those that began, run, and ran at once. */
  readonly started: number;
  readonly running: number;
  readonly runningMost: number;
  readonly internalErrors: readonly string[];
}

export const miB = 1024 * 1024;
/** What a garbage collector and a compiler leave behind, whatever came. */
const leftBytesMax = 8 * miB;

export class AttackedServer {
  readonly #child: ChildProcess;
  port = 0;
  #before: Usage | undefined;

  private constructor() {
    this.#child = fork(path.join(repositoryRoot, 'test/support/http2/server-child.ts'), {
      execArgv: ['--expose-gc', '--import', 'tsx'],
    });
  }

  static async start(t: Pick<Test, 'teardown'>): Promise<AttackedServer> {
    const server = new AttackedServer();
    t.teardown(() => server.#child.kill('SIGKILL'));
    const [{ port }] = (await once(server.#child, 'message')) as [{ port: number }];
    server.port = port;
    // What the first calls leave behind is not held against an attack.
    for (let call = 0; call < 20; call++) await server.serves();
    return server;
  }

  async #ask(command: Command): Promise<unknown> {
    const answer = once(this.#child, 'message');
    this.#child.send(command);
    return (await answer)[0];
  }

  usage(): Promise<Usage> {
    return this.#ask('usage') as Promise<Usage>;
  }

  /** Lets all handlers of Slow end that run now. */
  async openGate(): Promise<void> {
    await this.#ask('open');
  }

  /** Resolves when no connection is left. */
  async stop(): Promise<void> {
    await this.#ask('stop');
  }

  /** What follows is measured against this moment. */
  async begin(): Promise<void> {
    await this.#ask('forgetPeak');
    this.#before = await this.usage();
  }

  /** Growth since `begin`: what is held now, and the most that was used. */
  async growth(): Promise<{ heldBytes: number; peakBytes: number; cpuMs: number }> {
    const before = this.#before!;
    const now = await this.usage();
    return {
      heldBytes: now.heldBytes - before.heldBytes,
      peakBytes: now.peakBytes - before.heldBytes,
      cpuMs: now.cpuMs - before.cpuMs,
    };
  }

  /** A well-behaved client on a connection of its own is answered. */
  async serves(): Promise<boolean> {
    const client = await FrameClient.connect(this.port);
    client.send(unaryCall(1, requestBlock('/attacked/Echo'), Buffer.from('hello')));
    const { fields, bodyBytes } = await client.answer(1);
    await client.end();
    return fields['grpc-status'] === '0' && bodyBytes === 10;
  }

  /** The attackers go: the server closes their connections, ends their calls and gives back what they made it hold. */
  async isFreeOf(t: Test, ...attackers: readonly FrameClient[]): Promise<void> {
    for (const attacker of attackers) await attacker.end();
    await this.openGate();
    let usage = await this.usage();
    for (let turn = 0; turn < turnsMax && !isFree(usage); turn++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      usage = await this.usage();
    }
    t.match(usage, { sockets: 0, activeCalls: 0, running: 0, internalErrors: [] }, 'nothing is left behind');
    const { heldBytes } = await this.growth();
    t.ok(heldBytes < leftBytesMax, `${inMiB(heldBytes)} MiB more than before are in use afterwards`);
    t.ok(await this.serves(), 'served afterwards');
  }
}

/** 20 ms each. */
const turnsMax = 500;

function isFree({ sockets, activeCalls, running }: Usage): boolean {
  return sockets === 0 && activeCalls === 0 && running === 0;
}

export function inMiB(bytes: number): string {
  return (bytes / miB).toFixed(1);
}
