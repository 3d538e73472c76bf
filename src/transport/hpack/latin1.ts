/** Making a string of so few characters here is faster than a call into the runtime. */
const shortStringMax = 8;

/** A string with a character per octet. It is a copy: a short header does not keep a large buffer alive. */
export function latin1(octets: Buffer, start: number, end: number): string {
  if (end - start > shortStringMax) return octets.toString('latin1', start, end);
  let text = '';
  let position = start;
  for (; position + 4 <= end; position += 4) {
    text += String.fromCharCode(octets[position]!, octets[position + 1]!, octets[position + 2]!, octets[position + 3]!);
  }
  for (; position < end; position++) text += String.fromCharCode(octets[position]!);
  return text;
}
