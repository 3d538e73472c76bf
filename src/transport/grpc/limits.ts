/** What calls may hold, and what happens beyond. The limits of connections are in http2/limits.ts. */

/**
 * Bytes of the requests of one connection, as they are after decompression and with their header fields, that no handler is done
 * with. Above: the call that adds to them is REFUSED_STREAM, to be tried anew.
 */
export const requestBytesMax = 256 * 1024 * 1024;

/** What a message that waits for its handler counts besides its bytes: an empty one takes memory too. */
export const messageOverheadBytes = 256;

/**
 * A status text as it is sent; the rest is cut off. Texts repeat what the client has sent, which HPACK lets it send in a few bytes,
 * and nothing but the client's reading limits how many of them wait.
 */
export const statusTextCharactersMax = 2048;

/** Deadlines are kept on time to this: timers that end together are one. */
export const deadlineStepMs = 4;

/** What a timer of Node can wait, 24.8 days. A deadline beyond it is none. */
export const timerMsMax = 2 ** 31 - 1;
