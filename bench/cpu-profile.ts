/** Reads V8's .cpuprofile: what the time went to. */

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

/** What the time went to, in the order in which the tables name it. */
export const kinds = [
  'socket I/O',
  'HTTP/2 framing',
  'gRPC calls',
  'codec',
  'store',
  'database, waiting for the disk included',
  'other parts of plinth',
  'packages',
  'Node',
  'native code',
  'garbage collection',
] as const;
export type Kind = (typeof kinds)[number] | 'idle';

/** Parts of the compiled plinth; the first that fits. */
const folders: readonly (readonly [RegExp, Kind])[] = [
  [/\/(?:dist|src)\/transport\/http2\/socket-(?:reader|writer)/, 'socket I/O'],
  [/\/(?:dist|src)\/transport\/(?:http2|hpack)\//, 'HTTP/2 framing'],
  [/\/(?:dist|src)\/transport\//, 'gRPC calls'],
  [/\/(?:dist|src)\/(?:etcdserver|proto)\//, 'codec'],
  [/\/(?:dist|src)\/(?:mvcc|registry)\//, 'store'],
  [/\/(?:dist|src)\/backends\//, 'database, waiting for the disk included'],
  [/\/(?:dist|src)\//, 'other parts of plinth'],
  [/\/node_modules\//, 'packages'],
  // Reading from sockets and writing to them: what is above and below the system calls.
  [
    /^node:(?:net|tls|_tls_wrap|internal\/(?:stream_base_commons|streams\/\w+|js_stream_socket|timers)|timers|stream)/,
    'socket I/O',
  ],
  [/^node:/, 'Node'],
];

const special: Readonly<Record<string, Kind>> = {
  '(idle)': 'idle',
  '(garbage collector)': 'garbage collection',
  // The event loop and what else runs outside of JavaScript.
  '(program)': 'native code',
};

/** undefined: a built-in or native function, or one that reads and writes files; it works for who calls it. */
function kindOf({ functionName, url }: ProfileNode['callFrame']): Kind | undefined {
  if (url === '') return special[functionName];
  if (url === 'node:fs') return undefined;
  return folders.find(([folder]) => folder.test(url))?.[1];
}

/**
 * Self time in microseconds by what it went to. Native functions (Map.get, writev …) have no file: their time counts for the caller.
 *
 * A stack of node:net → src/transport → src/mvcc/store.js → Map.get counts wholly for the store, one of src/transport → node:net
 * → writev for socket I/O, and one of src/backends → node:fs → writeBuffer for the database.
 */
export function selfTimeByKind(profile: CpuProfile): Map<Kind, number> {
  const byId = new Map(profile.nodes.map((node) => [node.id, node]));
  const kindsById = new Map<number, Kind>();
  const root = profile.nodes[0];
  const sums = new Map<Kind, number>();
  if (!root) return sums;
  const pending: { id: number; caller: Kind }[] = [{ id: root.id, caller: 'Node' }];
  for (let next = pending.pop(); next; next = pending.pop()) {
    const { id, caller } = next;
    const node = byId.get(id)!;
    const kind = kindOf(node.callFrame) ?? caller;
    kindsById.set(id, kind);
    for (const child of node.children ?? []) pending.push({ id: child, caller: kind });
  }
  profile.samples.forEach((id, index) => {
    const kind = kindsById.get(id) ?? 'native code';
    sums.set(kind, (sums.get(kind) ?? 0) + (profile.timeDeltas[index] ?? 0));
  });
  return sums;
}
