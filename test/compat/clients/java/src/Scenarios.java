import static java.nio.charset.StandardCharsets.UTF_8;

import io.etcd.jetcd.ByteSequence;
import io.etcd.jetcd.Client;
import io.etcd.jetcd.KV;
import io.etcd.jetcd.KeyValue;
import io.etcd.jetcd.common.exception.CompactedException;
import io.etcd.jetcd.common.exception.ErrorCode;
import io.etcd.jetcd.common.exception.EtcdException;
import io.etcd.jetcd.kv.GetResponse;
import io.etcd.jetcd.kv.PutResponse;
import io.etcd.jetcd.lease.LeaseKeepAliveResponse;
import io.etcd.jetcd.op.Cmp;
import io.etcd.jetcd.op.CmpTarget;
import io.etcd.jetcd.op.Op;
import io.etcd.jetcd.options.CompactOption;
import io.etcd.jetcd.options.DeleteOption;
import io.etcd.jetcd.options.GetOption;
import io.etcd.jetcd.options.LeaseOption;
import io.etcd.jetcd.options.PutOption;
import io.etcd.jetcd.options.WatchOption;
import io.grpc.Status.Code;
import io.grpc.stub.StreamObserver;
import java.net.URI;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.IntStream;
import java.util.stream.LongStream;

/** jetcd on grpc-java and Netty: {@code Scenarios URL}. */
public final class Scenarios {
    private static final String COMPACTED = "etcdserver: mvcc: required revision has been compacted";

    private final String url;
    private final Controls controls = new Controls();
    private final Client client;
    private final KV kv;

    private Scenarios(String url) {
        this.url = url;
        client = Client.builder().endpoints(url).interceptor(controls).build();
        kv = client.getKVClient();
    }

    private static ByteSequence bytes(String text) {
        return ByteSequence.from(text, UTF_8);
    }

    private CompletableFuture<PutResponse> put(String key, String value) {
        return kv.put(bytes(key), bytes(value));
    }

    private CompletableFuture<GetResponse> range(String key) {
        return kv.get(bytes(key));
    }

    /** {@code key=value} of each. */
    private static List<String> pairs(List<KeyValue> kvs) {
        return kvs.stream().map(kv -> kv.getKey().toString(UTF_8) + "=" + kv.getValue().toString(UTF_8)).toList();
    }

    private List<String> read(String key, GetOption.Builder option) throws Exception {
        return pairs(Report.get(kv.get(bytes(key), option.build())).getKvs());
    }

    private List<String> read(String key) throws Exception {
        return read(key, GetOption.builder());
    }

    private static GetOption.Builder prefix() {
        return GetOption.builder().isPrefix(true);
    }

    private Events watch(String key, WatchOption.Builder option, List<AutoCloseable> open) throws Exception {
        var events = new Events();
        open.add(client.getWatchClient().watch(bytes(key), option.build(), events));
        return events;
    }

    private void putGetDelete() throws Exception {
        Report.equal(read("a"), List.of(), "nothing there");
        var first = Report.get(put("a", "1"));
        Report.equal(first.hasPrevKv(), false, "no key before the first put");
        var second = Report.get(kv.put(bytes("a"), bytes("2"), PutOption.builder().withPrevKV().build()));
        Report.equal(second.getPrevKv().getValue(), bytes("1"), "before the second put");
        long revision = first.getHeader().getRevision();
        Report.equal(second.getHeader().getRevision(), revision + 1, "revision");
        var last = Report.get(range("a")).getKvs().get(0);
        Report.equal(last.getValue(), bytes("2"), "the last");
        var revisions = List.of(last.getCreateRevision(), last.getModRevision(), last.getVersion());
        Report.equal(revisions, List.of(revision, revision + 1, 2L), "of the key");
        Report.equal(read("a", GetOption.builder().withRevision(revision)), List.of("a=1"), "at the first revision");
        var binary = ByteSequence.from(new byte[] {0, -1, -128});
        Report.get(kv.put(binary, binary));
        Report.equal(Report.get(kv.get(binary)).getKvs().get(0).getValue(), binary, "bytes");
        Report.get(put("empty", ""));
        Report.equal(read("empty"), List.of("empty="), "an empty value");
        var deleted = Report.get(kv.delete(bytes("a"), DeleteOption.builder().withPrevKV(true).build()));
        Report.equal(deleted.getDeleted(), 1L, "deleted");
        Report.equal(pairs(deleted.getPrevKvs()), List.of("a=2"), "what was deleted");
        Report.equal(Report.get(kv.delete(bytes("a"))).getDeleted(), 0L, "deleted again");
    }

    private void prefixSortLimit() throws Exception {
        for (var pair : List.of("p/1=c", "p/2=a", "p/3=b", "q=d")) Report.get(put(pair.split("=")[0], pair.split("=")[1]));
        Report.equal(read("p/", prefix()), List.of("p/1=c", "p/2=a", "p/3=b"), "by prefix");
        var byValue = prefix().withSortField(GetOption.SortTarget.VALUE).withSortOrder(GetOption.SortOrder.DESCEND);
        var sorted = Report.get(kv.get(bytes("p/"), byValue.withLimit(2).build()));
        Report.equal(pairs(sorted.getKvs()), List.of("p/1=c", "p/3=b"), "by value");
        Report.equal(List.of(sorted.isMore(), sorted.getCount()), List.of(true, 3L), "more than that");
        var keys = GetOption.builder().withRange(bytes("q")).withKeysOnly(true);
        Report.equal(read("p/2", keys), List.of("p/2=", "p/3="), "keys only");
        var all = DeleteOption.builder().isPrefix(true).build();
        Report.equal(Report.get(kv.delete(bytes("p/"), all)).getDeleted(), 3L, "deleted");
        Report.equal(Report.get(kv.get(bytes("p/"), prefix().withCountOnly(true).build())).getCount(), 0L, "left");
    }

    private void oneMebibyte() throws Exception {
        var content = new byte[1024 * 1024];
        for (int index = 0; index < content.length; index++) content[index] = (byte) (index % 251);
        var value = ByteSequence.from(content);
        Report.get(kv.put(bytes("large"), value));
        var found = Report.get(range("large")).getKvs().get(0).getValue().getBytes();
        Report.equal(Arrays.equals(found, content), true, "the value as it was put");
        var before = Report.get(kv.put(bytes("large"), ByteSequence.EMPTY, PutOption.builder().withPrevKV().build()));
        Report.equal(before.getPrevKv().getValue().equals(value), true, "the value before");
    }

    private void txn() throws Exception {
        var key = bytes("t");
        var get = Op.get(key, GetOption.DEFAULT);
        var absent = new Cmp(key, Cmp.Op.EQUAL, CmpTarget.createRevision(0));
        var one = Op.put(key, bytes("1"), PutOption.DEFAULT);
        var delete = Op.delete(key, DeleteOption.DEFAULT);
        var first = Report.get(kv.txn().If(absent).Then(one, get).Else(get, delete).commit());
        Report.equal(first.isSucceeded(), true, "the first");
        Report.equal(first.getPutResponses().size(), 1, "puts");
        Report.equal(pairs(first.getGetResponses().get(0).getKvs()), List.of("t=1"), "what it put");
        var second = Report.get(kv.txn().If(absent).Then(one, get).Else(get, delete).commit());
        Report.equal(second.isSucceeded(), false, "the second");
        Report.equal(pairs(second.getGetResponses().get(0).getKvs()), List.of("t=1"), "what was there");
        Report.equal(second.getDeleteResponses().get(0).getDeleted(), 1L, "deleted");
        var present = new Cmp(key, Cmp.Op.GREATER, CmpTarget.modRevision(0));
        var nested = Op.txn(new Cmp[0], new Op[] {Op.put(key, bytes("2"), PutOption.DEFAULT)}, new Op[0]);
        var third = Report.get(kv.txn().If(absent, present).Else(nested).commit());
        Report.equal(third.isSucceeded(), false, "one of two compares");
        Report.equal(third.getTxnResponses().size(), 1, "a txn in the txn");
        var same = new Cmp(key, Cmp.Op.EQUAL, CmpTarget.value(bytes("2")));
        Report.equal(Report.get(kv.txn().If(same).commit()).isSucceeded(), true, "what it left");
    }

    private void lease() throws Exception {
        var leases = client.getLeaseClient();
        var granted = Report.get(leases.grant(100));
        long id = granted.getID();
        Report.equal(granted.getTTL(), 100L, "time to live");
        var with = PutOption.builder().withLeaseId(id).build();
        for (var key : List.of("l/1", "l/2")) Report.get(kv.put(bytes(key), bytes("1"), with));
        Report.equal(Report.get(range("l/1")).getKvs().get(0).getLease(), id, "lease of the key");
        var withKeys = LeaseOption.builder().withAttachedKeys().build();
        var told = Report.get(leases.timeToLive(id, withKeys));
        Report.equal(told.getGrantedTTL(), 100L, "granted time");
        Report.equal(told.getKeys().stream().map(Object::toString).sorted().toList(), List.of("l/1", "l/2"), "its keys");
        Report.equal(Report.get(leases.keepAliveOnce(id)).getTTL(), 100L, "kept alive once");
        Report.get(leases.revoke(id));
        Report.equal(read("l/", prefix()), List.of(), "keys left");
        Report.equal(Report.get(leases.timeToLive(id, withKeys)).getTTL(), -1L, "of a revoked lease");
        Report.fails(leases.keepAliveOnce(id), Code.NOT_FOUND, "etcdserver: requested lease not found");

        // Kept alive by a stream, every third of its time: for longer than it would live by itself.
        long kept = Report.get(leases.grant(2)).getID();
        Report.get(kv.put(bytes("kept"), bytes("1"), PutOption.builder().withLeaseId(kept).build()));
        BlockingQueue<Object> answers = new LinkedBlockingQueue<>();
        var keeper = leases.keepAlive(kept, new StreamObserver<LeaseKeepAliveResponse>() {
            @Override
            public void onNext(LeaseKeepAliveResponse response) {
                answers.add(response.getTTL());
            }

            @Override
            public void onError(Throwable error) {
                answers.add(error);
            }

            @Override
            public void onCompleted() {
                answers.add("completed");
            }
        });
        for (int count = 0; count < 5; count++) Report.equal(answers.poll(60, TimeUnit.SECONDS), 2L, "kept alive");
        Report.equal(read("kept"), List.of("kept=1"), "the key of it");
        keeper.close();
        Report.get(leases.revoke(kept));
    }

    private void watch() throws Exception {
        var open = new ArrayList<AutoCloseable>();
        long start = Report.get(put("w/1", "1")).getHeader().getRevision();
        Report.get(put("w/1", "2"));
        Report.get(kv.delete(bytes("w/1")));
        var events = watch("w/", WatchOption.builder().isPrefix(true).withRevision(start).withPrevKV(true), open);
        var past = List.of("PUT w/1 1 -", "PUT w/1 2 1", "DELETE w/1  2");
        Report.equal(events.next(3), past, "the past");
        Report.get(put("w/2", "3"));
        Report.equal(events.next(), "PUT w/2 3 -", "the present");
        open.get(0).close();
        Report.get(put("w/2", "4"));
        Report.equal(events.next(), "completed", "after the cancel");
    }

    /** On two streams: the library opens one for each. */
    private void twoWatches() throws Exception {
        var open = new ArrayList<AutoCloseable>();
        var one = watch("v/1", WatchOption.builder().withRevision(1), open);
        var two = watch("v/", WatchOption.builder().withRevision(1).isPrefix(true), open);
        Report.get(put("v/1", "1"));
        Report.get(put("v/2", "2"));
        Report.equal(two.next(2), List.of("PUT v/1 1 -", "PUT v/2 2 -"), "the watch of both");
        Report.equal(one.next(), "PUT v/1 1 -", "the watch of one");
        open.get(1).close();
        Report.equal(two.next(), "completed", "after the cancel");
        Report.get(put("v/1", "3"));
        Report.equal(one.next(), "PUT v/1 3 -", "what the other gets after a cancel");
        open.get(0).close();
    }

    private void thousandPuts() throws Exception {
        var open = new ArrayList<AutoCloseable>();
        var events = watch("m", WatchOption.builder().withRevision(1), open);
        for (int count = 0; count < 1000; count++) Report.get(put("m", String.valueOf(count)));
        var wanted = IntStream.range(0, 1000).mapToObj(count -> "PUT m " + count + " -").toList();
        Report.equal(events.next(1000).equals(wanted), true, "all of them, in order");
        open.get(0).close();
    }

    private void concurrentPuts() throws Exception {
        long before = Report.get(range("c")).getHeader().getRevision();
        var calls = IntStream.range(0, 200).mapToObj(count -> put("c/%03d".formatted(count), "" + count)).toList();
        var revisions = new ArrayList<Long>();
        for (var call : calls) revisions.add(Report.get(call).getHeader().getRevision());
        revisions.sort(null);
        Report.equal(revisions, LongStream.rangeClosed(before + 1, before + 200).boxed().toList(), "revisions");
        var wanted = IntStream.range(0, 200).mapToObj(count -> "c/%03d=%d".formatted(count, count)).toList();
        Report.equal(read("c/", prefix()), wanted, "values");
    }

    private void compaction() throws Exception {
        long old = Report.get(put("k", "1")).getHeader().getRevision();
        long last = Report.get(put("k", "2")).getHeader().getRevision();
        Report.get(kv.compact(last, CompactOption.builder().withCompactPhysical(true).build()));
        var past = GetOption.builder().withRevision(old).build();
        Report.fails(kv.get(bytes("k"), past), Code.OUT_OF_RANGE, COMPACTED);
        Report.fails(kv.compact(last), Code.OUT_OF_RANGE, COMPACTED);
        var events = watch("k", WatchOption.builder().withRevision(old), new ArrayList<>());
        var told = events.next();
        if (!(told instanceof CompactedException)) throw new AssertionError("the watch: " + told);
        Report.equal(((CompactedException) told).getCompactedRevision(), last, "a watch");
        Report.equal(read("k"), List.of("k=2"), "the last");
    }

    private void errors() throws Exception {
        Report.fails(put("", "1"), Code.INVALID_ARGUMENT, "etcdserver: key is not provided");
        var notFound = "etcdserver: requested lease not found";
        var leased = kv.put(bytes("e"), bytes("1"), PutOption.builder().withLeaseId(7).build());
        Report.fails(leased, Code.NOT_FOUND, notFound);
        Report.fails(client.getLeaseClient().revoke(7), Code.NOT_FOUND, notFound);
        var future = kv.get(bytes("e"), GetOption.builder().withRevision(1L << 40).build());
        Report.fails(future, Code.OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision");
    }

    private void deadline() throws Exception {
        Report.get(put("d", "1"));
        controls.deadlineMs = 500;
        Report.ask("pause");
        var codes = new ArrayList<Code>();
        try {
            for (int count = 0; count < 3; count++) codes.add(Report.failure(range("d")).getCode());
        } finally {
            Report.ask("resume");
            controls.deadlineMs = 0;
        }
        var exceeded = Code.DEADLINE_EXCEEDED;
        Report.equal(codes, List.of(exceeded, exceeded, exceeded), "codes");
        Report.equal(read("d"), List.of("d=1"), "on the same connection");
    }

    private void cancelledCalls() throws Exception {
        Report.get(put("x", "x".repeat(100_000)));
        controls.keepsCalls = true;
        var answers = new ArrayList<CompletableFuture<GetResponse>>();
        for (int count = 0; count < 400; count++) {
            answers.add(range("x"));
            // Some before they are sent, some while they are answered, some after.
            if (count % 3 == 1) read("a");
            var call = controls.calls.poll();
            if (call != null && count % 3 != 2) call.cancel("by the test", null);
        }
        for (var answer : answers) {
            try {
                Report.equal(Report.get(answer).getCount(), 1L, "count");
            } catch (ExecutionException error) {
                Report.equal(Report.failure(answer).getCode(), Code.CANCELLED, "code");
            }
        }
        controls.calls.clear();
        Report.ask("pause");
        var unanswered = IntStream.range(0, 100).mapToObj(count -> range("x")).toList();
        waitFor(controls.calls, 100);
        for (var call : controls.calls) call.cancel("by the test", null);
        Report.ask("resume");
        for (var answer : unanswered) Report.fails(answer, Code.CANCELLED, "by the test");
        controls.keepsCalls = false;
        Report.equal(Report.get(range("x")).getKvs().get(0).getValue().size(), 100_000, "size");
        long revision = Report.get(put("x", "")).getHeader().getRevision();
        Report.equal(Report.get(range("x")).getHeader().getRevision(), revision, "revision");
    }

    private void statusMembers() throws Exception {
        var status = Report.get(client.getMaintenanceClient().statusMember(url));
        Report.equal(status.getVersion().startsWith("3.7."), true, "a version of 3.7");
        var members = Report.get(client.getClusterClient().listMember()).getMembers();
        Report.equal(members.stream().map(member -> member.getName()).toList(), List.of("default"), "members");
        Report.equal(members.get(0).getClientURIs(), List.of(URI.create(url)), "where it is");
        Report.equal(members.get(0).getId(), status.getLeader(), "leader");
    }

    private void restart() throws Exception {
        var open = new ArrayList<AutoCloseable>();
        long before = Report.get(put("r", "1")).getHeader().getRevision();
        var events = watch("r", WatchOption.builder().withRevision(before), open);
        Report.equal(events.next(), "PUT r 1 -", "the watch before");
        Report.ask("restart");
        Report.equal(read("r"), List.of("r=1"), "what was put before");
        Report.get(put("r", "2"));
        // The watch tells of every connection that it loses, and goes on where it was.
        Object next = events.next();
        while (next instanceof EtcdException lost && lost.getErrorCode() == ErrorCode.UNAVAILABLE) next = events.next();
        Report.equal(next, "PUT r 2 -", "the watch after");
        open.get(0).close();
    }

    private void restartUnderLoad() throws Exception {
        var acknowledged = new ConcurrentLinkedQueue<String>();
        var enough = new AtomicBoolean();
        var pool = Executors.newFixedThreadPool(16);
        var workers = new ArrayList<Future<?>>();
        for (int index = 0; index < 16; index++) {
            int worker = index;
            workers.add(pool.submit(() -> {
                for (int count = 0; !enough.get(); count++) {
                    var key = "u/%d/%d".formatted(worker, count);
                    var put = put(key, "1");
                    try {
                        Report.get(put);
                        acknowledged.add(key);
                    } catch (ExecutionException error) {
                        Report.equal(Report.failure(put).getCode(), Code.UNAVAILABLE, "the code of: " + error);
                        Thread.sleep(10);
                    }
                }
                return null;
            }));
        }
        try {
            waitFor(acknowledged, 100);
            Report.ask("restart");
            waitFor(acknowledged, acknowledged.size() + 100);
        } finally {
            enough.set(true);
            pool.shutdown();
        }
        for (var worker : workers) worker.get();
        var lost = new HashSet<>(acknowledged);
        read("u/", prefix().withKeysOnly(true)).forEach(pair -> lost.remove(pair.substring(0, pair.length() - 1)));
        Report.equal(lost, Set.of(), "puts that were acknowledged and are lost");
    }

    private static void waitFor(Collection<?> calls, int count) throws InterruptedException {
        for (int tries = 0; calls.size() < count; tries++) {
            if (tries == 6000) throw new AssertionError(calls.size() + " calls instead of " + count);
            Thread.sleep(10);
        }
    }

    private void all() {
        Report.scenario("put, get, delete", this::putGetDelete);
        Report.scenario("prefix, sort, limit", this::prefixSortLimit);
        Report.scenario("a value of 1 MiB", this::oneMebibyte);
        Report.scenario("txn", this::txn);
        Report.scenario("lease", this::lease);
        Report.scenario("watch", this::watch);
        Report.scenario("two watches", this::twoWatches);
        Report.scenario("a watch of 1,000 puts", this::thousandPuts);
        Report.scenario("200 concurrent puts", this::concurrentPuts);
        Report.scenario("compaction", this::compaction);
        Report.scenario("errors", this::errors);
        Report.scenario("deadline", this::deadline);
        Report.scenario("500 cancelled calls", this::cancelledCalls);
        Report.scenario("status, members", this::statusMembers);
        Report.scenario("restart", this::restart);
        Report.scenario("a restart under load", this::restartUnderLoad);
        client.close();
    }

    public static void main(String[] args) {
        new Scenarios(args[0]).all();
    }
}
