import { execFile } from 'node:child_process';
import { findExecutable } from './process.ts';

export interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export function findEtcdctl(): string | undefined {
  return findExecutable('etcdctl');
}

/** Runs `etcdctl` against `endpoint` (`host:port`) and never throws for an exit code. */
export function etcdctl(endpoint: string, args: readonly string[], stdin = ''): Promise<Output> {
  const command = findEtcdctl();
  if (!command) throw new Error('etcdctl is neither in build/bin nor on PATH');
  return new Promise((resolve, reject) => {
    const child = execFile(
      command,
      [`--endpoints=${endpoint}`, ...args],
      { timeout: 60_000 },
      (error, stdout, stderr) => {
        if (error && typeof error.code !== 'number') reject(error);
        else resolve({ code: error ? Number(error.code) : 0, stdout, stderr });
      },
    );
    child.stdin?.end(stdin);
  });
}
