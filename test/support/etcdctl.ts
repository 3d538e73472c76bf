import { execFile } from 'node:child_process';
import { findExecutable } from './process.ts';
import type { Server } from './server.ts';

export interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export function findEtcdctl(): string | undefined {
  return findExecutable('etcdctl');
}

/** Runs `etcdctl` on a server and never throws for an exit code. */
export function etcdctl(
  { etcdctlFlags }: Pick<Server, 'etcdctlFlags'>,
  args: readonly string[],
  stdin = '',
): Promise<Output> {
  const command = findEtcdctl();
  if (!command) throw new Error('etcdctl is neither in build/bin nor on PATH');
  return new Promise((resolve, reject) => {
    const child = execFile(command, [...etcdctlFlags, ...args], { timeout: 60_000 }, (error, stdout, stderr) => {
      if (error && typeof error.code !== 'number') reject(error);
      else resolve({ code: error ? Number(error.code) : 0, stdout, stderr });
    });
    // Most commands do not read it, and may be over by now.
    child.stdin?.on('error', () => {});
    child.stdin?.end(stdin);
  });
}
