/** What the outside suites of HTTP/2 and gRPC judge: a transport that serves methods on a port of its own. */
import type { ChannelCredentials } from '@grpc/grpc-js';
import type { Test } from 'tap';
import type { GrpcTransport } from '../../../src/transport/grpc-server.ts';
import { responder } from '../../../src/transport/http/routes.ts';
import type { Methods } from '../../../src/transport/rpc.ts';
import { withoutOpenssl } from '../../support/certificates.ts';
import { startOn } from '../../unit/transport/grpc-support.ts';
import { Bursts } from './bursts.ts';

export interface Transport {
  readonly name: string;
  /** Clients come by TLS, with certificates made for the test. */
  readonly tls: boolean;
  /** Why it cannot be judged here, or false. */
  readonly missing: string | false;
  /** Serves on 127.0.0.1 until the test is over. */
  start(t: Test, methods: Methods): Promise<Served>;
  /** undefined: h2spec does not judge it. */
  readonly http2: Http2Expectations | undefined;
}

export interface Served {
  readonly port: number;
  /** With which clients of ours reach it. */
  readonly credentials: ChannelCredentials;
  /** What handlers threw that is no RpcError. */
  readonly internalErrors: readonly unknown[];
}

/** Tests of h2spec by name, `http2/6.7: Sends a PING frame`: exactly these fail, and exactly these are skipped. */
export interface Http2Expectations {
  readonly failed: readonly string[];
  readonly skipped: readonly string[];
  /** Its answers race with h2spec's frames; put together, they arrive before it answers. See bursts.ts. */
  readonly inBursts?: boolean;
}

const miB = 1024 * 1024;

/** Few, because h2spec opens one more than these at once and counts on none being answered meanwhile. */
const concurrentStreamsMax = 100;

function startTransport(name: GrpcTransport, tls: boolean): Transport['start'] {
  return async (t, methods) => {
    const { url, credentials, internalErrors } = await startOn(name, tls)(t, Object.fromEntries(methods), {
      receivedMessageBytesMax: 4 * miB,
      streamBufferedBytesMax: miB,
      concurrentStreamsMax,
      // As in the server: what h2spec asks for is no gRPC.
      http: responder(new Map(), (_path, error) => {
        throw error;
      }),
    });
    return { port: Number(url.slice(url.lastIndexOf(':') + 1)), credentials, internalErrors };
  };
}

const plinth: Transport = {
  name: 'plinth',
  tls: false,
  missing: false,
  start: startTransport('plinth', false),
  http2: { failed: [], skipped: [] },
};

/**
 * grpc-js on Node's HTTP/2. It refuses h2spec's GET without a body, and h2spec takes the size of that body to see flow
 * control work: where nothing comes it skips, or fails for want of a DATA frame. The others are what nghttp2 does (1.61, of Node 20).
 */
const grpcJs: Transport = {
  name: 'grpc-js',
  tls: false,
  missing: false,
  start: startTransport('grpc-js', false),
  http2: {
    failed: [
      'generic/2: Sends a WINDOW_UPDATE frame on half-closed (remote) stream',
      'generic/2: Sends a PRIORITY frame on half-closed (remote) stream',
      'http2/5.1: closed: Sends a DATA frame after sending RST_STREAM frame',
      'http2/5.1: closed: Sends a HEADERS frame after sending RST_STREAM frame',
      'http2/5.1: closed: Sends a DATA frame',
      'http2/5.1: closed: Sends a HEADERS frame',
      'http2/5.1.1: Sends stream identifier that is numerically smaller than previous',
      'http2/6.7: Sends a PING frame with ACK',
      'http2/6.9.1: Sends multiple WINDOW_UPDATE frames increasing the flow control window to above 2^31-1',
    ],
    skipped: [
      'http2/6.5.3: Sends multiple values of SETTINGS_INITIAL_WINDOW_SIZE',
      'http2/6.9.1: Sends SETTINGS frame to set the initial window size to 1 and sends HEADERS frame',
      'http2/6.9.2: Changes SETTINGS_INITIAL_WINDOW_SIZE after sending HEADERS frame',
      'http2/6.9.2: Sends a SETTINGS frame for window size to be negative',
    ],
    inBursts: true,
  },
};

/** The same by TLS. What holds frames together for h2spec cannot look into it, so only what needs no such help is judged by h2spec. */
function byTls(transport: Transport, name: GrpcTransport): Transport {
  return {
    name: `${name}, TLS`,
    tls: true,
    missing: withoutOpenssl(),
    start: startTransport(name, true),
    http2: transport.http2?.inBursts ? undefined : transport.http2,
  };
}

export const transports: readonly Transport[] = [plinth, byTls(plinth, 'plinth'), grpcJs, byTls(grpcJs, 'grpc-js')];

/** `port`, or one before it where what a client sends in several writes arrives as one. */
export async function portFor(t: Test, transport: Transport, port: number): Promise<number> {
  if (!transport.http2?.inBursts) return port;
  const bursts = await Bursts.start(port);
  t.teardown(() => bursts.close());
  return bursts.port;
}
