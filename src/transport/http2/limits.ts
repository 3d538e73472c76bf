/** What one connection may do, and what happens beyond. Attacks that these answer: test/fault/http2-attacks.test.ts. */

const kiB = 1024;

/** A request's header fields, each with its name, value and 32 bytes (RFC 9113, 6.5.2). Above: the call is refused. */
export const headerListBytesMax = 64 * kiB;
/** The same before HPACK is undone, over all CONTINUATION frames. Above: ENHANCE_YOUR_CALM. */
export const headerBlockBytesMax = 64 * kiB;
/** CONTINUATION frames of one header block. Above: ENHANCE_YOUR_CALM. */
export const continuationFramesMax = 16;
/** SETTINGS_HEADER_TABLE_SIZE: its default. A larger value of a client's encoder is a COMPRESSION_ERROR. */
export const headerTableBytes = 4 * kiB;

/**
 * Frames that bring nothing (PING with no answer of a call before it, SETTINGS, PRIORITY, GOAWAY, unknown types, DATA without a byte or in
 * crumbs, what comes for streams that were reset) that a client may send at once, and per second. Above: ENHANCE_YOUR_CALM.
 */
export const idleFramesBurst = 10_000;
export const idleFramesPerSecond = 1000;
/** A changed initial window is carried over to each open stream: so many streams count as one idle frame more. */
export const streamsPerIdleFrame = 100;
/** DATA that is smaller than this, and neither a message nor the end of one, counts as an idle frame. */
export const crumbBytesMax = 256;

/** With so much of what is no message unread by the client, the connection is not read until the client has read. */
export const unreadBytesMax = 1024 * kiB;

/**
 * A DATA frame of this side, whatever larger ones the client allows (up to 16 MiB): a client that reads slowly is looked after between
 * frames, and the streams of a connection take turns by frames.
 */
export const sentFrameBytesMax = 64 * kiB;

/** A message of so many bytes, with what stands before it, is copied into the output and not queued, if it may go at once. */
export const sentNowBytesMax = 4 * kiB;

/** Streams that are over, of which it is remembered how: frames that were under way then are no violation. */
export const closedStreamsKept = 256;

/** From the preface to the client's first SETTINGS frame, which follows it at once (3.4). Then: SETTINGS_TIMEOUT. */
export const settingsTimeoutMs = 10_000;

/** After the last frame of this side: time for the client to close. Then: cut. */
export const closingTimeoutMs = 1000;

/** Pings sooner than allowed before the connection is closed, and how often is allowed where no call is open: grpc-go's numbers. */
export const pingStrikesMax = 2;
export const pingIntervalWithoutCallsMs = 2 * 60 * 60 * 1000;
