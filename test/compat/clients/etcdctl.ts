/** What an operator types: the unmodified etcdctl, one process per command. */
import type { Test } from 'tap';
import { etcdctl, findEtcdctl, type Output } from '../../support/etcdctl.ts';
import { Child, eventually } from '../../support/process.ts';
import { fresh, skipped, type Target } from '../suite/target.ts';

export async function etcdctlClient(t: Test, target: Target): Promise<void> {
  const missing = target.missing ?? (findEtcdctl() ? undefined : 'etcdctl is neither in build/bin nor on PATH');
  if (skipped(t, { ...target, missing })) return;
  const server = await fresh(t, target);
  const run = (...args: string[]): Promise<Output> => etcdctl(server, args);
  const prints = async (t: Test, command: string, expected: string | RegExp, stdin = '') => {
    const output = await etcdctl(
      server,
      command.split(' ').map((word) => (word === "''" ? '' : word)),
      stdin,
    );
    t.equal(output.code, 0, `${command} ${output.stderr}`);
    if (typeof expected === 'string') t.equal(output.stdout, expected, command);
    else t.match(output.stdout, expected, command);
  };
  const fails = async (t: Test, command: string, text: string) => {
    const output = await run(...command.split(' '));
    t.not(output.code, 0, command);
    t.match(output.stderr, text, command);
  };

  await t.test('put, get, del', async (t) => {
    await prints(t, 'put a 1', 'OK\n'); // 2
    await prints(t, 'put a 2 --prev-kv', 'OK\na\n1\n'); // 3
    await prints(t, 'put b 1', 'OK\n'); // 4
    await prints(t, 'get a', 'a\n2\n');
    await prints(t, "get '' --prefix --keys-only", 'a\n\nb\n\n');
    await prints(t, 'get a --rev=2 --print-value-only', '1\n');
    await prints(t, "get '' --from-key --order=DESCEND --sort-by=KEY --limit=1", 'b\n1\n');
    await prints(t, "get '' --prefix --count-only -w fields", /"Revision" : 4\n(.*\n)*"Count" : 2\n/);
    await prints(
      t,
      'get a -w json',
      /"kvs":\[\{"key":"YQ==","create_revision":2,"mod_revision":3,"version":2,"value":"Mg=="\}\],"count":1/,
    );
    await prints(t, 'del a --prev-kv', '1\na\n2\n'); // 5
    await prints(t, "del '' --prefix", '1\n'); // 6
    await prints(t, 'del a', '0\n');
    await fails(t, 'get a --rev=99', 'required revision is a future revision');
  });

  await t.test('txn', async (t) => {
    await prints(t, 'put t 1', 'OK\n'); // 7
    await prints(t, 'txn', 'SUCCESS\n\nOK\n\nt\n1\n', 'value("t") = "1"\n\nput k v\nget t\n\nput k w\n\n'); // 8
    await prints(t, 'txn', 'FAILURE\n\nk\nv\n\n1\n', 'mod("t") > "99"\n\nput k w\n\nget k\ndel t\n\n'); // 9
    await prints(t, 'txn', 'SUCCESS\n\nOK\n', 'version("k") = "1"\ncreate("k") = "8"\n\nput k x\n\n\n'); // 10
  });

  await t.test('watch', async (t) => {
    const watch = new Child(findEtcdctl()!, [...server.etcdctlFlags, 'watch', 'w', '--prefix', '--rev=1', '--prev-kv']);
    t.teardown(() => watch.stop());
    await prints(t, 'put w1 1', 'OK\n'); // 11
    await prints(t, 'put w1 2', 'OK\n'); // 12
    await prints(t, 'del w1', '1\n'); // 13
    const expected = 'PUT\nw1\n1\nPUT\nw1\n1\nw1\n2\nDELETE\nw1\n2\nw1\n\n';
    await eventually(async () => {
      if (watch.output.length < expected.length) throw new Error(watch.output);
    }, watch);
    t.equal(watch.output, expected);
  });

  await t.test('lease', async (t) => {
    const { stdout } = await run('lease', 'grant', '100');
    const id = /^lease ([0-9a-f]+) granted with TTL\(100s\)\n$/.exec(stdout)?.[1];
    t.ok(id, stdout);
    await prints(t, 'lease list', `found 1 leases\n${id}\n`);
    await prints(t, `put leased x --lease=${id}`, 'OK\n');
    await prints(
      t,
      `lease timetolive ${id} --keys`,
      new RegExp(`^lease ${id} granted with TTL\\(100s\\), remaining\\(\\d+s\\), attached keys\\(\\[leased\\]\\)`),
    );
    await prints(t, `lease keep-alive ${id} --once`, `lease ${id} keepalived with TTL(100)\n`);
    await prints(t, `lease revoke ${id}`, `lease ${id} revoked\n`);
    await prints(t, 'get leased', '');
    await prints(t, 'lease timetolive 1', 'lease 0000000000000001 already expired\n');
    await fails(t, 'put leased x --lease=1', 'requested lease not found');
  });

  await t.test('compaction, defrag', async (t) => {
    await prints(t, 'compaction 5 --physical', 'compacted revision 5\n');
    await fails(t, 'compaction 5', 'required revision has been compacted');
    await fails(t, 'get a --rev=3', 'required revision has been compacted');
    await prints(t, 'defrag', /^Finished defragmenting etcd member\[.*\]\. took /);
  });

  await t.test('endpoint, member, alarm', async (t) => {
    // A real etcd raises the version of its storage from 3.5.0 in its first seconds.
    const status = await eventually(async () => {
      const [{ Status: now }] = JSON.parse((await run('endpoint', 'status', '-w', 'json')).stdout) as [
        { Status: { version: string; storageVersion: string; dbSizeQuota: number } },
      ];
      if (now.storageVersion !== '3.7.0') throw new Error(`storageVersion is ${now.storageVersion}`);
      return now;
    });
    t.match(status, { version: /^3\.7\./, dbSizeQuota: 2 * 1024 ** 3 });
    await prints(t, 'endpoint status', /, 3\.7\.\d+, /);
    await prints(t, 'endpoint health', /is healthy: successfully committed proposal/);
    await prints(t, 'endpoint hashkv', /^(https:\/\/)?127\.0\.0\.1:\d+, \d+, \d+\n$/);
    await prints(t, 'member list', new RegExp(`^[0-9a-f]+, started, default, .*, ${server.url}, false\\n$`));
    await prints(t, 'alarm list', '');
    const { leader } = await server.client.call('Maintenance/Status');
    await server.client.call('Maintenance/Alarm', { action: 1, memberID: leader, alarm: 1 });
    await prints(t, 'alarm list', new RegExp(`^memberID:${leader} +alarm:NOSPACE *\\n$`));
    await fails(t, 'endpoint health', 'Active Alarm(s): NOSPACE');
    await prints(t, 'alarm disarm', new RegExp(`^memberID:${leader} +alarm:NOSPACE *\\n$`));
    await prints(t, 'alarm list', '');
    await fails(t, 'member remove 1', 'member not found');
  });
}
