/**
 * A real kube-apiserver on a server started here, driven by kubectl and by HTTP: etcd (the control) and plinth on any
 * backend, also as two replicas (test/support/targets.ts has all names).
 *
 *     node --import tsx test/compat/e2e/run.ts [etcd] [sqlite] [spanner-replicas] …
 *
 * Needs kube-apiserver, etcd (`make peers`) and kubectl. The last line says `N passed, N failed, N skipped`.
 */
import assert from 'node:assert/strict';
import { startTarget } from '../../support/targets.ts';
import { printTotals, type Totals } from '../../support/totals.ts';
import { ApiServer } from './apiserver.ts';
import { checks } from './checks.ts';

/** The apiserver compacts what is two of these old. Secrets are listed from the server itself, not from the watch cache. */
const apiServerFlags = ['--etcd-compaction-interval=5s', '--watch-cache-sizes=secrets#0'];

const totals: Totals = { passed: 0, failed: 0, skipped: 0 };

const logLinesShown = 25;
const logColumnsShown = 400;

/** The end of a log, where the reason is. */
function tail(text: string): string {
  const lines = text.split('\n').slice(-logLinesShown);
  return lines.map((line) => line.slice(0, logColumnsShown)).join('\n');
}

async function end2end(target: string): Promise<void> {
  const server = await startTarget(target);
  // All replicas, where there are several: the apiserver itself goes from one to the other.
  const urls = target === 'etcd3' ? [server.url] : server.memberUrls;
  const api = await ApiServer.start(urls.join(','), apiServerFlags);
  let failed = false;
  try {
    for (const check of checks) {
      const reason = check.skip?.(server);
      if (reason !== undefined) {
        // No test of this target: there is nothing that could be looked at.
        console.log(`left out ${target}: ${check.name} (${reason})`);
        continue;
      }
      const began = performance.now();
      try {
        for (const child of [server.child, api.child]) assert.ok(child.running, `${child.process.spawnfile} has ended`);
        await check.run({ server, api });
        totals.passed++;
        console.log(`ok ${target}: ${check.name} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
      } catch (error) {
        failed = true;
        totals.failed++;
        console.log(`not ok ${target}: ${check.name}\n${(error as Error).message}`);
      }
    }
    if (failed) console.log(`the apiserver's log ends with:\n${tail(api.child.output)}`);
    if (failed) console.log(`the log of ${server.name} ends with:\n${tail(server.child.output)}`);
  } finally {
    await api.close();
    await server.close();
  }
}

const chosen = process.argv.slice(2);
for (const target of chosen.length > 0 ? chosen : ['etcd', 'sqlite']) await end2end(target);
printTotals(totals);
// All is closed; what a library may still hold must not keep the next suite waiting.
process.exit();
