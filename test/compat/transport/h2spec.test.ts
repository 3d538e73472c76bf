import t from 'tap';
import { isMissing } from '../../support/demand.ts';
import { findH2spec, h2spec, parseReport } from './h2spec.ts';
import { portFor, transports } from './target.ts';

/** Those of h2spec 2.2.1. Fewer: it did not run them all. */
const testCount = 145;

t.setTimeout(590_000);

t.test("h2spec's report is read as it is", async (t) => {
  const report = `<testsuites>
  <testsuite name="6.7. PING" package="http2/6.7" id="6.7" tests="4" skipped="1" failures="0" errors="1">
    <testcase package="http2/6.7" classname="Sends &#34;1 &lt; 2 &amp; 3&#34;" time="0.0006"></testcase>
    <testcase package="http2/6.7" classname="Sends a PING frame with ACK" time="0.0011">
      <error>PING Frame (opaque_data:h2spec\0\0<skipped>)\nConnection closed</error>
    </testcase>
    <testcase package="http2/6.7" classname="Fails" time="0.0011">
      <failure>no</failure>
    </testcase>
    <testcase package="http2/6.7" classname="Waits" time="0.0000">
      <skipped></skipped>
    </testcase>
  </testsuite>
</testsuites>`;
  t.strictSame(parseReport(report), {
    passed: ['http2/6.7: Sends "1 < 2 & 3"'],
    failed: ['http2/6.7: Sends a PING frame with ACK', 'http2/6.7: Fails'],
    skipped: ['http2/6.7: Waits'],
  });
  t.throws(() => parseReport(report.replace('tests="4"', 'tests="5"')), /4 tests in a report of 5/);
  t.throws(() => parseReport('<testsuites></testsuites>'), /0 tests/);
});

for (const transport of transports) {
  const { http2 } = transport;
  if (http2 === undefined) continue;
  await t.test(`h2spec: ${transport.name}`, async (t) => {
    if (isMissing(t, findH2spec() === undefined && 'h2spec is neither in build/bin nor on PATH')) return;
    if (isMissing(t, transport.missing)) return;
    const { port, internalErrors } = await transport.start(t, new Map());
    const result = await h2spec({ port: await portFor(t, transport, port), tls: transport.tls });
    const { failed, skipped } = http2;
    t.equal(result.passed.length + result.failed.length + result.skipped.length, testCount, 'all tests ran');
    const same = t.strictSame([...result.failed].sort(), [...failed].sort(), `${failed.length} failed, as expected`);
    if (!same) t.comment(result.explanation);
    t.strictSame([...result.skipped].sort(), [...skipped].sort(), `${skipped.length} were skipped, as expected`);
    t.strictSame(internalErrors, []);
  });
}
