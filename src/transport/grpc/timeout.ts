/** The grpc-timeout of a request: at most eight digits and a unit (gRPC over HTTP/2). */

const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

const digitsMax = 8;

/** Milliseconds, a fraction for short ones; undefined: malformed. `100m` → 100 */
export function parseTimeout(text: string): number | undefined {
  const digits = text.length - 1;
  if (digits < 1 || digits > digitsMax) return undefined;
  let count = 0;
  for (let i = 0; i < digits; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return undefined;
    count = 10 * count + digit;
  }
  const unit = unitMs[text[digits]!];
  return unit === undefined ? undefined : count * unit;
}
