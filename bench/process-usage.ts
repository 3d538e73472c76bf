/** What a process has used, as Linux counts it. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';

const microsecondsPerSecond = 1_000_000;
const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/** User and system time of all threads, in microseconds (in steps of a clock tick, usually 10 ms). */
export function cpuMicroseconds(pid: number): number {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The second field is the name in parentheses, which may contain anything: count from the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) * microsecondsPerSecond) / ticksPerSecond;
}

function statusBytes(pid: number, field: string): number {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'));
  if (!match) throw new Error(`no ${field} for process ${pid}`);
  return Number(match[1]) * 1024;
}

export const residentBytes = (pid: number): number => statusBytes(pid, 'VmRSS');

/** The highest `residentBytes` the process ever had. */
export const residentPeakBytes = (pid: number): number => statusBytes(pid, 'VmHWM');
