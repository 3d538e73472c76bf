/** A header block that cannot be decoded. The table of the connection is lost with it: COMPRESSION_ERROR (RFC 9113, 4.3). */
export class HpackError extends Error {
  override readonly name = 'HpackError';
}
