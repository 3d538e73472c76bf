/** The grpc-timeout of a request: at most eight digits and a unit (gRPC over HTTP/2). */

const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** Milliseconds, a fraction for short ones; undefined: malformed. `100m` → 100 */
export function parseTimeout(text: string): number | undefined {
  if (!/^\d{1,8}[HMSmun]$/.test(text)) return undefined;
  return Number(text.slice(0, -1)) * unitMs[text.at(-1)!]!;
}
