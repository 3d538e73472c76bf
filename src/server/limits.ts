/**
 * The limits of the process that are not flags, with their units and what happens at each. Limits of parts that stand for
 * themselves are with those parts: slots and batches in registry/, group commit, caches and watchers in mvcc/.
 */
import { batchBytesMaxLeast } from '../registry/log.ts';

const kiB = 1024;
const miB = 1024 * kiB;

/** --max-request-bytes: a request becomes one batch at least, with some bytes around it. Above: refused at start. */
export const maxRequestBytesMax = batchBytesMaxLeast - miB;

/** Added to --max-request-bytes for the gRPC message around a request. Above: RESOURCE_EXHAUSTED. etcd's number. */
export const grpcOverheadBytes = 512 * kiB;

/** Messages queued for one stream (watch, lease keep-alive, RangeStream). Above: its handler waits for the client. */
export const streamBufferedBytesMax = miB;

/** Unary replies that one connection has not read. Above: its next calls are not started until it reads. */
export const connectionBufferedBytesMax = 64 * miB;

/** What a client may send ahead of the server's reading, per call. Above: HTTP/2 flow control stops the client. */
export const streamWindowBytes = miB;

/** The same per connection. */
export const connectionWindowBytes = 8 * miB;

/**
 * Calls that one connection may cancel at once, and per second (Go clients cancel each call that times out). Above: the
 * connection is closed. Node 20 has no setting for it and closes after 1000 and 33 per second.
 */
export const cancelledCallsBurst = 10_000;
export const cancelledCallsPerSecond = 1000;

/** Time for a new connection to say what it speaks. Then: closed. */
export const detectionTimeoutMs = 10_000;

/** Time for a TLS handshake, before the time above begins. Then: closed. */
export const handshakeTimeoutMs = 10_000;

/** Failed TLS handshakes, and connections closed for violations, that are told of at level warn, at once and per second. Above: debug. */
export const toldRejectionsBurst = 10;
export const toldRejectionsPerSecond = 1;

/** Time for the head of an HTTP/1.1 request, and for all of it. Then: 408, closed. */
export const httpHeadersTimeoutMs = 10_000;
export const httpRequestTimeoutMs = 30_000;

/** An HTTP/1.1 connection without a request for this long is closed. */
export const httpIdleTimeoutMs = 75_000;

/** How long a health check waits for the read that it makes. Then: it failed. etcd's request timeout. */
export const healthCheckTimeoutMs = 7_000;

/** --quota-backend-bytes=0. etcd's number. */
export const quotaBytesDefault = 2 * 1024 * miB;

/** --watch-progress-notify-interval: more often would only cost. Below: refused at start. */
export const progressNotifyIntervalMsMin = 100;

/** Longer durations of timers are refused at start. */
export { timerMsMax } from '../transport/grpc/limits.ts';

/** After the grace time for calls: for closing the storage. Then: the process ends with code 1. */
export const storageCloseTimeoutMs = 5_000;
