/** Runs bench/loadgen and reads the line it prints. */
import { spawn } from 'node:child_process';
import { requireExecutable } from './servers.ts';

/** See bench/loadgen/report.go. Which rates are there depends on the operation. */
export interface LoadReport {
  readonly requests: number;
  readonly rps?: number;
  readonly puts_per_s?: number;
  readonly events_per_s?: number;
  readonly lost?: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  /** From the answer to a put to its event, for puts at a rate. */
  readonly lag_p50_ms?: number;
  readonly lag_p99_ms?: number;
  readonly errs: number;
  readonly lastErr: string;
}

export function loadgen(endpoint: string, args: readonly string[]): Promise<LoadReport> {
  const child = spawn(requireExecutable('loadgen'), [`-endpoints=${endpoint}`, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(JSON.parse(output) as LoadReport);
      else reject(new Error(`loadgen ${args.join(' ')} ended with ${code}`));
    });
  });
}
