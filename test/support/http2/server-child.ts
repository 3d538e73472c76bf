/** The gRPC transport in a process of its own, with the limits that plinth has, told what to do by messages. See attacked-server.ts. */
import { MethodCounters } from '../../../src/observe/method-counters.ts';
import {
  cancelledCallsBurst,
  cancelledCallsPerSecond,
  connectionBufferedBytesMax,
  connectionWindowBytes,
  grpcOverheadBytes,
  streamBufferedBytesMax,
  streamWindowBytes,
} from '../../../src/server/limits.ts';
import { PlinthGrpcServer } from '../../../src/transport/grpc/server.ts';
import { Listener } from '../../../src/transport/listener.ts';
import { Code, type Method, RpcError, type ServerStream } from '../../../src/transport/rpc.ts';
import type { Command, Usage } from './attacked-server.ts';
import { word } from './frames.ts';

/** The defaults of the flags. */
const concurrentStreamsMax = 10_000;
const requestBytesMax = 1.5 * 1024 * 1024;
const detectionTimeoutMs = 1000;

const counts = { started: 0, running: 0, runningMost: 0 };
let gate = newGate();
let peakBytes = 0;
const internalErrors: string[] = [];

function newGate(): { readonly passed: Promise<void>; readonly open: () => void } {
  let open = (): void => {};
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open };
}

async function counted<T>(work: () => Promise<T>): Promise<T> {
  counts.started++;
  counts.runningMost = Math.max(counts.runningMost, ++counts.running);
  try {
    return await work();
  } finally {
    counts.running--;
  }
}

async function nextLength(stream: ServerStream): Promise<number | undefined> {
  return (await stream.read())?.length;
}

const methods = new Map<string, Method>([
  ['/attacked/Echo', { kind: 'unary', handle: (request) => request }],
  /** Goes on after its call was cancelled, until the gate is opened. */
  ['/attacked/Slow', { kind: 'unary', handle: (request) => counted(() => gate.passed.then(() => request)) }],
  /** As many bytes as the request says. */
  [
    '/attacked/Large',
    {
      kind: 'unary',
      handle: (request) => {
        counts.started++;
        return Buffer.alloc(Buffer.from(request).readUInt32BE());
      },
    },
  ],
  [
    '/attacked/Stream',
    {
      kind: 'bidi',
      handle: (stream) =>
        counted(async () => {
          for (let next = await stream.read(); next; next = await stream.read()) {
            if (!stream.write(next)) await stream.drained();
          }
        }),
    },
  ],
  /** Answers each message with four bytes, and keeps none. */
  [
    '/attacked/Lengths',
    {
      kind: 'bidi',
      handle: (stream) =>
        counted(async () => {
          for (let length = await nextLength(stream); length; length = await nextLength(stream))
            stream.write(word(length));
        }),
    },
  ],
  /** Reads nothing. */
  [
    '/attacked/Deaf',
    {
      kind: 'bidi',
      handle: (_stream, { signal }) =>
        counted(() => new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))),
    },
  ],
]);

const server = new PlinthGrpcServer(methods, {
  receivedMessageBytesMax: requestBytesMax + grpcOverheadBytes,
  streamBufferedBytesMax,
  connectionBufferedBytesMax,
  concurrentStreamsMax,
  streamWindowBytes,
  connectionWindowBytes,
  keepaliveIntervalMs: 7_200_000,
  keepaliveTimeoutMs: 20_000,
  connectionIdleMsMax: 0,
  connectionAgeMsMax: 0,
  connectionAgeGraceMs: 0,
  pingIntervalMsMin: 5000,
  cancelledCallsBurst,
  cancelledCallsPerSecond,
  counters: () => new MethodCounters(),
  onInternalError: (place, error) => internalErrors.push(`${place}: ${(error as Error).stack}`),
});
const listener = new Listener({
  grpc: (socket) => server.serve(socket),
  http: (socket) => socket.destroy(),
  detectionTimeoutMs,
  onError: (error) => internalErrors.push(String(error)),
});

/** Arrays and buffers are `external`; what the garbage collector has not come to is in it. */
function usedBytes(): number {
  const { heapUsed, external } = process.memoryUsage();
  peakBytes = Math.max(peakBytes, heapUsed + external);
  return heapUsed + external;
}
setInterval(usedBytes, 2);

const commands: Record<Command, () => void> = {
  usage: () => {
    usedBytes();
    // Buffers are freed beside the collection that finds them, so what the first found is counted after the second.
    gc!();
    gc!();
    const usage: Usage = {
      heldBytes: usedBytes(),
      peakBytes,
      cpuMs: Object.values(process.cpuUsage()).reduce((sum, us) => sum + us / 1000, 0),
      activeCalls: server.activeCalls,
      sockets: process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length,
      ...counts,
      internalErrors,
    };
    process.send!(usage);
  },
  forgetPeak: () => {
    gc!();
    peakBytes = 0;
    counts.runningMost = counts.running;
    process.send!({});
  },
  open: () => {
    gate.open();
    gate = newGate();
    process.send!({});
  },
  stop: () => {
    listener.close();
    void server.stop(new RpcError(Code.UNAVAILABLE, 'over'), 60_000).then(() => process.send!({}));
  },
};
process.on('message', (command: Command) => commands[command]());
process.on('disconnect', () => process.exit());

const address = await listener.listen({ kind: 'tcp', host: '127.0.0.1', port: 0, tls: false });
process.send!({ port: address.kind === 'tcp' ? address.port : 0 });
