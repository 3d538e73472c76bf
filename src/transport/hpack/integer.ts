/**
 * Integers (RFC 7541, 5.1): what fits the prefix is in the prefix; otherwise the prefix is all ones and octets with seven
 * bits each follow, the lowest first. 1337 with a prefix of 5 bits: 31, then 1306 = 26 + 10 * 128, so 0x1f 0x9a 0x0a.
 */

/** Nothing in a header block is larger. */
export const integerMax = 2 ** 28;

/** So many octets may follow the prefix: the four that `integerMax` needs, and one of padding. */
export const continuationBytesMax = 5;

/** Writes `value` with `flags` in the bits above the prefix, and returns the position behind it. */
export function encodeInteger(
  value: number,
  flags: number,
  prefixMax: number,
  target: Uint8Array,
  start: number,
): number {
  let position = start;
  if (value < prefixMax) {
    target[position++] = flags | value;
    return position;
  }
  target[position++] = flags | prefixMax;
  let rest = value - prefixMax;
  for (; rest >= 0x80; rest >>>= 7) target[position++] = 0x80 | (rest & 0x7f);
  target[position++] = rest;
  return position;
}
