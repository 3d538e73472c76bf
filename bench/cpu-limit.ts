/**
 * Gives processes a share of a core each, as if each had a small machine of its own: what several replicas are for does not show where
 * they all share two cores. Needs a writable control group for CPU (Linux, root).
 */
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Short, so that a process that has used up its share does not stand still for long. */
const periodUs = 5000;

interface Hierarchy {
  readonly root: string;
  limit(directory: string, quotaUs: number): void;
}

const hierarchies: readonly Hierarchy[] = [
  {
    root: '/sys/fs/cgroup/cpu',
    limit(directory, quotaUs) {
      writeFileSync(path.join(directory, 'cpu.cfs_period_us'), String(periodUs));
      writeFileSync(path.join(directory, 'cpu.cfs_quota_us'), String(quotaUs));
    },
  },
  {
    root: '/sys/fs/cgroup',
    limit: (directory, quotaUs) => writeFileSync(path.join(directory, 'cpu.max'), `${quotaUs} ${periodUs}`),
  },
];

let groups = 0;

/** Returns what removes the limit's group once the process is gone; throws where the system does not allow it. */
export function limitCpu(pid: number, cores: number): () => void {
  const hierarchy = hierarchies.find(({ root }) => existsSync(root));
  if (hierarchy === undefined) throw new Error('this system has no control groups');
  const directory = path.join(hierarchy.root, `plinth-bench-${process.pid}-${groups++}`);
  mkdirSync(directory);
  hierarchy.limit(directory, cores * periodUs);
  writeFileSync(path.join(directory, 'cgroup.procs'), String(pid));
  return () => rmdirSync(directory);
}
