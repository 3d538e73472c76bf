/** Reads V8's .cpuprofile: which source folder the time was spent in. */

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string };
  readonly children?: readonly number[];
}

export interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  /** The node that was on top of the stack at each sample. */
  readonly samples: readonly number[];
  /** Microseconds since the sample before. */
  readonly timeDeltas: readonly number[];
}

const plinthFolder =
  /\/(?:dist|src)\/(mvcc|etcdserver|backends\/\w+|backends|registry|proto|observe|transport|server|cli)\//;
const nodePackage = /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//;

/** Where a function comes from: a folder of plinth, a package, Node itself, or undefined where V8 does not say. */
function origin(url: string): string | undefined {
  const folder = plinthFolder.exec(url)?.[1];
  if (folder) return `src/${folder}`;
  const dependency = nodePackage.exec(url)?.[1];
  if (dependency) return dependency;
  if (url.startsWith('node:')) return /^node:(internal\/)?http2/.test(url) ? 'node:http2' : 'node';
  return undefined;
}

export interface Share {
  readonly origin: string;
  readonly microseconds: number;
}

/**
 * Self time by origin, largest first. Built-in and native functions (Map.get, Buffer.copy …) have no file: their time counts
 * for the caller. `(garbage collector)`, `(program)` and `(idle)` stay what they are.
 *
 * A stack of node:net → @grpc/grpc-js → src/mvcc/store.js → Map.get counts wholly for src/mvcc.
 */
export function selfTimeByOrigin(profile: CpuProfile): Share[] {
  const byId = new Map(profile.nodes.map((node) => [node.id, node]));
  const origins = new Map<number, string>();
  const root = profile.nodes[0];
  if (!root) return [];
  const pending: { id: number; caller: string }[] = [{ id: root.id, caller: 'node' }];
  for (let next = pending.pop(); next; next = pending.pop()) {
    const { id, caller } = next;
    const node = byId.get(id)!;
    const { functionName, url } = node.callFrame;
    const special = functionName.startsWith('(') && functionName !== '(root)' && functionName !== '(anonymous)';
    const here = url === '' && special ? functionName : (origin(url) ?? caller);
    origins.set(id, here);
    for (const child of node.children ?? []) pending.push({ id: child, caller: here });
  }
  const sums = new Map<string, number>();
  profile.samples.forEach((id, index) => {
    const name = origins.get(id) ?? '(unknown)';
    sums.set(name, (sums.get(name) ?? 0) + (profile.timeDeltas[index] ?? 0));
  });
  return [...sums]
    .map(([name, microseconds]) => ({ origin: name, microseconds }))
    .sort((a, b) => b.microseconds - a.microseconds);
}
