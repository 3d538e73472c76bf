import t from 'tap';
import { Metrics, type StoreSample } from '../../../src/observe/metrics.ts';

const options = { etcdVersion: '3.7.3', plinthVersion: '0.1.0', backend: 'memory' };

const sample: StoreSample = {
  memberId: '8e9e05c52164694d',
  revision: 7,
  compactedRevision: 3,
  keys: 2,
  puts: 5,
  deletes: 1,
  leasesGranted: 4,
  leasesRevoked: 3,
  leasesRenewed: 2,
  watchStreams: 1,
  watchers: 9,
  slowWatchers: 1,
  eventsSent: 12,
  pendingWrites: 6,
  cachedValueBytes: 1000,
  quotaBytes: 2147483648,
  slot: 8,
  staleSeconds: 0.05,
  forwardedWrites: 11,
  executedWrites: 13,
  doubtedWrites: 1,
  replicasLinked: 2,
  replicasFollowing: 3,
  batchesReceived: 21,
  batchesNotPushed: 0,
  databaseBytes: 40960,
  databaseBytesInUse: undefined,
};

function lines(text: string): Set<string> {
  return new Set(text.split('\n'));
}

t.test('series of a method exist at zero and then count, with the labels of go-grpc-prometheus', async (t) => {
  const metrics = new Metrics(options);
  const counters = metrics.method('/etcdserverpb.Watch/Watch', 'bidi');
  const labels = 'grpc_type="bidi_stream",grpc_service="etcdserverpb.Watch",grpc_method="Watch"';
  const zero = lines(await metrics.text());
  t.ok(zero.has(`grpc_server_started_total{${labels}} 0`));
  for (const code of ['OK', 'Canceled', 'Unavailable', 'Unauthenticated']) {
    t.ok(zero.has(`grpc_server_handled_total{${labels},grpc_code="${code}"} 0`), code);
  }
  counters.started = 3;
  counters.handled[14] = 2;
  counters.messagesReceived = 4;
  counters.messagesSent = 5;
  counters.bytesReceived = 100;
  counters.bytesSent = 200;
  await metrics.text();
  const text = lines(await metrics.text());
  t.ok(text.has(`grpc_server_started_total{${labels}} 3`));
  t.ok(text.has(`grpc_server_handled_total{${labels},grpc_code="Unavailable"} 2`));
  t.ok(text.has(`grpc_server_msg_received_total{${labels}} 4`));
  t.ok(text.has(`grpc_server_msg_sent_total{${labels}} 5`));
  t.ok(text.has('etcd_network_client_grpc_received_bytes_total 100'));
  t.ok(text.has('etcd_network_client_grpc_sent_bytes_total 200'));
});

t.test('the store is asked at each scrape; what it does not know is left out', async (t) => {
  const metrics = new Metrics(options);
  t.notMatch(await metrics.text(), /\netcd_debugging_mvcc_keys_total \d/, 'not before it is there');
  let current = sample;
  metrics.readStore(async () => current);
  const text = lines(await metrics.text());
  for (const line of [
    'etcd_server_has_leader 1',
    'etcd_server_id{server_id="8e9e05c52164694d"} 1',
    'etcd_server_version{server_version="3.7.3"} 1',
    'etcd_cluster_version{cluster_version="3.7"} 1',
    'etcd_mvcc_db_total_size_in_bytes 40960',
    'etcd_server_quota_backend_bytes 2147483648',
    'etcd_debugging_mvcc_current_revision 7',
    'etcd_debugging_mvcc_compact_revision 3',
    'etcd_debugging_mvcc_keys_total 2',
    'etcd_debugging_mvcc_watcher_total 9',
    'etcd_mvcc_put_total 5',
    'etcd_debugging_lease_granted_total 4',
    'plinth_build_info{version="0.1.0",backend="memory"} 1',
  ]) {
    t.ok(text.has(line), line);
  }
  t.notMatch([...text].join('\n'), /\netcd_mvcc_db_total_size_in_use_in_bytes \d/);
  current = { ...sample, keys: 10, puts: 6, databaseBytesInUse: 1 };
  const next = lines(await metrics.text());
  t.ok(next.has('etcd_debugging_mvcc_keys_total 10'));
  t.ok(next.has('etcd_mvcc_put_total 6'));
  t.ok(next.has('etcd_mvcc_db_total_size_in_use_in_bytes 1'));
});

t.test('a store that fails to answer costs its own series only', async (t) => {
  const metrics = new Metrics(options);
  metrics.readStore(() => Promise.reject(new Error('no database')));
  const text = await metrics.text();
  t.match(text, /\netcd_server_has_leader 1\n/);
  t.notMatch(text, /\netcd_debugging_mvcc_keys_total \d/);
});

t.test('commits, compactions, health checks', async (t) => {
  const metrics = new Metrics(options);
  metrics.committed(3, 1000, 4);
  metrics.committed(1, 500, 2000);
  metrics.compacted(20, 150);
  metrics.appendTrouble('conflict');
  metrics.healthAnswered(true);
  metrics.healthAnswered(false);
  metrics.checkAnswered('readyz', 'linearizable_read', false);
  const text = lines(await metrics.text());
  for (const line of [
    'etcd_disk_backend_commit_duration_seconds_bucket{le="0.004"} 1',
    'etcd_disk_backend_commit_duration_seconds_count 2',
    'plinth_committed_requests_total 4',
    'plinth_committed_bytes_total 1500',
    'etcd_debugging_mvcc_db_compaction_keys_total 20',
    'plinth_append_troubles_total{kind="conflict"} 1',
    'etcd_server_health_success 1',
    'etcd_server_health_failures 1',
    'etcd_server_healthcheck{type="readyz",name="linearizable_read"} 0',
    'etcd_server_healthchecks_total{type="readyz",name="linearizable_read",status="error"} 1',
  ]) {
    t.ok(text.has(line), line);
  }
});

t.test('every commit is counted once, however many there were since the last scrape', async (t) => {
  const metrics = new Metrics(options);
  for (let commit = 0; commit < 1000; commit++) metrics.committed(2, 100, 3);
  const count = 'etcd_disk_backend_commit_duration_seconds_count';
  t.ok(lines(await metrics.text()).has(`${count} 1000`));
  metrics.committed(2, 100, 3);
  const text = lines(await metrics.text());
  t.ok(text.has(`${count} 1001`));
  t.ok(text.has('plinth_batch_requests_bucket{le="1"} 0'));
  t.ok(text.has('plinth_batch_requests_bucket{le="2"} 1001'));
  t.ok(text.has('plinth_batch_bytes_sum 100100'));
});

t.test('nothing of raft, its log or its peers is made up', async (t) => {
  const metrics = new Metrics(options);
  metrics.readStore(async () => sample);
  t.notMatch(await metrics.text(), /wal_|_peer_|proposals_(committed|applied|failed)|snapshot|heartbeat/);
});
