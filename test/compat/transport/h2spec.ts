/** Runs h2spec, the conformance suite of HTTP/2 and HPACK, on a server, and reads its report. */
import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { Child, findExecutable, temporaryDirectory } from '../../support/process.ts';

export interface H2specOptions {
  readonly port: number;
  /** Over TLS, whatever certificate the server has. */
  readonly tls?: boolean;
}

/** Names of tests, `http2/6.7: Sends a PING frame`, in the order of the run. */
export interface H2specResult {
  readonly passed: readonly string[];
  readonly failed: readonly string[];
  readonly skipped: readonly string[];
  /** What it printed about failures: what it expected, and what it saw. */
  readonly explanation: string;
}

/** How long h2spec waits for a reaction; the failures that it waits for in vain cost as much. */
const reactionTimeoutSeconds = 3;

export function findH2spec(): string | undefined {
  return findExecutable('h2spec');
}

/** All its tests: generic, http2 and hpack. Throws if it did not get as far as a report. */
export async function h2spec(options: H2specOptions): Promise<H2specResult> {
  const directory = temporaryDirectory('h2spec');
  try {
    const report = path.join(directory, 'report.xml');
    const flags = ['-h', '127.0.0.1', '-p', String(options.port), '-o', String(reactionTimeoutSeconds), '-j', report];
    if (options.tls) flags.push('-t', '-k');
    const child = new Child(findH2spec() ?? 'h2spec', flags, { directory });
    const { code, signal } = await child.exited;
    // 1: some tests failed.
    if (code !== 0 && code !== 1) throw new Error(`h2spec ended with ${code ?? signal}:\n${child.output}`);
    const explanation = child.output.replaceAll('\0', '').split('Failures:')[1] ?? '';
    return { ...parseReport(readReport(report, child.output)), explanation };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function readReport(file: string, output: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(`h2spec wrote no report:\n${output}`, { cause: error });
  }
}

/**
 * Of JUnit's format only what h2spec writes, and it writes frames into it as they are: it may be no XML at all.
 *
 *     <testsuite name="6.7. PING" package="http2/6.7" id="6.7" tests="4" skipped="0" failures="0" errors="1">
 *       <testcase package="http2/6.7" classname="Sends a PING frame" time="0.0006"></testcase>
 *       <testcase package="http2/6.7" classname="Sends a PING frame with ACK" time="0.0011">
 *         <error>PING Frame (length:8, flags:0x01, stream_id:0, opaque_data:h2spec␀␀)
 *     Connection closed</error>
 *       </testcase>
 */
export function parseReport(text: string): Omit<H2specResult, 'explanation'> {
  const [passed, failed, skipped]: string[][] = [[], [], []];
  for (const [, section, description, content] of text.matchAll(testcase)) {
    const name = `${section}: ${unescaped(description!)}`;
    const kind = /^\s*<(skipped|failure|error)>/.exec(content!)?.[1];
    (kind === undefined ? passed : kind === 'skipped' ? skipped : failed)!.push(name);
  }
  const announced = [...text.matchAll(/<testsuite [^>]* tests="(\d+)"/g)].reduce(
    (sum, suite) => sum + Number(suite[1]),
    0,
  );
  const found = passed!.length + failed!.length + skipped!.length;
  if (found === 0 || found !== announced) throw new Error(`${found} tests in a report of ${announced}`);
  return { passed: passed!, failed: failed!, skipped: skipped! };
}

const testcase = /<testcase package="([^"]*)" classname="([^"]*)"[^>]*>(.*?)<\/testcase>/gs;

/** What Go's encoding/xml makes of an attribute. */
function unescaped(text: string): string {
  const named: Record<string, string> = { '&lt;': '<', '&gt;': '>', '&amp;': '&' };
  return text.replace(/&(?:#(\d+)|lt|gt|amp);/g, (entity, code: string | undefined) =>
    code === undefined ? named[entity]! : String.fromCodePoint(Number(code)),
  );
}
