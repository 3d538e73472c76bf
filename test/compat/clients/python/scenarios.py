"""etcd3 (PyPI) on grpcio: `scenarios.py HOST PORT`."""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import etcd3
import grpc
from etcd3 import etcdrpc
from etcd3.events import DeleteEvent, PutEvent
from etcd3.exceptions import ConnectionFailedError, ConnectionTimeoutError, RevisionCompactedError
from report import ask, equal, fails, scenario

host, port = sys.argv[1], int(sys.argv[2])
client = etcd3.client(host, port, timeout=60)


def revision():
    return client.get_response("any").header.revision


def take(events, count):
    return [next(events) for _ in range(count)]


def put_get_delete():
    equal(client.get("a"), (None, None))
    first = client.put("a", "1")
    equal(first.HasField("prev_kv"), False, "prev_kv of the first put")
    second = client.put("a", "2", prev_kv=True)
    equal((second.prev_kv.key, second.prev_kv.value), (b"a", b"1"))
    equal(second.header.revision, first.header.revision + 1)
    value, metadata = client.get("a")
    equal(value, b"2")
    equal((metadata.create_revision, metadata.mod_revision), (first.header.revision, second.header.revision))
    equal(metadata.version, 2)
    old = client.kvstub.Range(etcdrpc.RangeRequest(key=b"a", revision=first.header.revision))
    equal([kv.value for kv in old.kvs], [b"1"], "at the first revision")
    client.put(b"\x00\xff\x80", b"\x80\xff\x00")
    equal(client.get(b"\x00\xff\x80")[0], b"\x80\xff\x00")
    client.put("empty", "")
    equal(client.get("empty")[0], b"")
    deleted = client.delete("a", prev_kv=True, return_response=True)
    equal((deleted.deleted, [kv.value for kv in deleted.prev_kvs]), (1, [b"2"]))
    equal(client.delete("a"), False, "another delete")


def prefix_sort_limit():
    for key, value in (("p/1", "c"), ("p/2", "a"), ("p/3", "b"), ("q", "d")):
        client.put(key, value)
    keys = [metadata.key for _, metadata in client.get_prefix("p/")]
    equal(keys, [b"p/1", b"p/2", b"p/3"])
    values = [value for value, _ in client.get_prefix("p/", sort_order="descend", sort_target="value")]
    equal(values, [b"c", b"b", b"a"])
    keys = [(value, metadata.key) for value, metadata in client.get_range("p/2", "q", keys_only=True)]
    equal(keys, [(b"", b"p/2"), (b"", b"p/3")])
    # The library takes a limit and forgets it; its stub does not.
    limited = client.kvstub.Range(etcdrpc.RangeRequest(key=b"p/", range_end=b"p0", limit=2, sort_order="DESCEND"))
    equal(([kv.key for kv in limited.kvs], limited.more, limited.count), ([b"p/3", b"p/2"], True, 3))
    equal(client.delete_prefix("p/").deleted, 3)
    equal(list(client.get_prefix("p/")), [])


def one_mebibyte():
    value = bytes(range(256)) * 4096
    client.put("large", value)
    equal(client.get("large")[0] == value, True, "the value as it was put")
    equal(client.put("large", "", prev_kv=True).prev_kv.value == value, True, "the value as prev_kv")


def txn():
    on = client.transactions
    create = {
        "compare": [on.create("t") == 0],
        "success": [on.put("t", "1"), on.get("t")],
        "failure": [on.get("t"), on.delete("t")],
    }
    succeeded, responses = client.transaction(**create)
    equal((succeeded, responses[1][0][0]), (True, b"1"))
    succeeded, responses = client.transaction(**create)
    equal((succeeded, responses[0][0][0], responses[1].response_delete_range.deleted), (False, b"1", 1))
    equal(client.put_if_not_exists("t", "2"), True)
    equal(client.put_if_not_exists("t", "3"), False)
    equal(client.replace("t", "3", "4"), False)
    equal(client.replace("t", "2", "4"), True)
    equal(client.transaction([on.version("t") > 1, on.mod("t") < 1], [on.put("t", "5")], [])[0], False)
    equal(client.get("t")[0], b"4")


def lease():
    granted = client.lease(100)
    equal(granted.ttl, 100)
    client.put("l/1", "1", lease=granted)
    client.put("l/2", "2", lease=granted)
    equal(client.get("l/1")[1].lease_id, granted.id)
    equal((granted.granted_ttl, sorted(granted.keys)), (100, [b"l/1", b"l/2"]))
    equal(1 <= granted.remaining_ttl <= 100, True, "time that remains")
    equal([response.TTL for response in granted.refresh()], [100])
    granted.revoke()
    equal(list(client.get_prefix("l/")), [])
    equal(granted.remaining_ttl, -1, "time that remains for a revoked lease")
    equal([response.TTL for response in granted.refresh()], [0], "keep-alive of a revoked lease")


def watch():
    start = client.put("w/1", "1").header.revision
    client.put("w/1", "2")
    client.delete("w/1")
    events, cancel = client.watch_prefix("w/", start_revision=start, prev_kv=True)
    past = take(events, 3)
    equal([type(event) for event in past], [PutEvent, PutEvent, DeleteEvent])
    equal([(event.key, event.value) for event in past], [(b"w/1", b"1"), (b"w/1", b"2"), (b"w/1", b"")])
    equal([event.prev_value for event in past], [b"", b"1", b"2"])
    equal([event.mod_revision for event in past], [start, start + 1, start + 2])
    client.put("w/2", "3")
    equal(next(events).value, b"3")
    cancel()
    client.put("w/2", "4")
    equal(list(events), [], "events after the cancel")


def two_watches():
    one, cancel_one = client.watch("v/1")
    two, cancel_two = client.watch_prefix("v/")
    client.put("v/1", "1")
    client.put("v/2", "2")
    equal([event.value for event in take(two, 2)], [b"1", b"2"])
    equal(next(one).value, b"1")
    cancel_two()
    client.put("v/1", "3")
    equal(next(one).value, b"3", "what the other watch gets after a cancel")
    cancel_one()
    equal(list(two), [])


def thousand_puts():
    events, cancel = client.watch("m")
    with ThreadPoolExecutor(1) as pool:
        seen = pool.submit(take, events, 1000)
        for count in range(1000):
            client.put("m", str(count))
        found = seen.result()
    equal([int(event.value) for event in found], list(range(1000)))
    first = found[0].mod_revision
    equal([event.mod_revision for event in found], list(range(first, first + 1000)))
    cancel()


def concurrent_puts():
    before = revision()
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda count: client.put(f"c/{count:03}", str(count)), range(200)))
    equal(sorted(answer.header.revision for answer in answers), list(range(before + 1, before + 201)))
    equal([int(value) for value, _ in client.get_prefix("c/")], list(range(200)))


def compaction():
    old = client.put("k", "1").header.revision
    last = client.put("k", "2").header.revision
    client.compact(last, physical=True)
    compacted = "etcdserver: mvcc: required revision has been compacted"
    request = etcdrpc.RangeRequest(key=b"k", revision=old)
    equal(fails(lambda: client.kvstub.Range(request), grpc.RpcError, compacted).code(), grpc.StatusCode.OUT_OF_RANGE)
    fails(lambda: client.compact(last), grpc.RpcError, compacted)
    events, _ = client.watch("k", start_revision=old)
    equal(fails(lambda: next(events), RevisionCompactedError).compacted_revision, last)
    equal(client.get("k")[0], b"2")


def errors():
    empty = fails(lambda: client.put("", "1"), grpc.RpcError, "etcdserver: key is not provided")
    equal(empty.code(), grpc.StatusCode.INVALID_ARGUMENT)
    leaseless = fails(lambda: client.put("e", "1", lease=7), grpc.RpcError, "etcdserver: requested lease not found")
    equal(leaseless.code(), grpc.StatusCode.NOT_FOUND)
    fails(lambda: client.revoke_lease(7), grpc.RpcError, "etcdserver: requested lease not found")
    future = etcdrpc.RangeRequest(key=b"e", revision=1 << 40)
    text = "etcdserver: mvcc: required revision is a future revision"
    equal(fails(lambda: client.kvstub.Range(future), grpc.RpcError, text).code(), grpc.StatusCode.OUT_OF_RANGE)


def deadline():
    client.put("d", "1")
    client.timeout = 0.5
    ask("pause")
    try:
        for _ in range(3):
            fails(lambda: client.get("d"), ConnectionTimeoutError)
    finally:
        ask("resume")
        client.timeout = 60
    equal(client.get("d")[0], b"1", "on the same connection")


def cancelled_calls():
    client.put("x", b"x" * 100_000)
    request = etcdrpc.RangeRequest(key=b"x")
    calls = []
    for count in range(400):
        calls.append(client.kvstub.Range.future(request))
        # Some before they are sent, some while they are answered, some after.
        if count % 3 == 0:
            calls.pop().cancel()
        elif count % 3 == 1:
            client.get("a")
            calls.pop().cancel()
    for call in calls:
        call.cancel()
    for call in calls:
        equal(call.cancelled() or len(call.result().kvs) == 1, True, "a call ends as cancelled or with its answer")
    ask("pause")
    unanswered = [client.kvstub.Range.future(request) for _ in range(100)]
    for call in unanswered:
        call.cancel()
    ask("resume")
    equal({call.code() for call in unanswered}, {grpc.StatusCode.CANCELLED})
    equal(len(client.get("x")[0]), 100_000)
    equal(client.put("x", "").header.revision, revision())


def status_members():
    status = client.status()
    equal(status.version.startswith("3.7."), True, "a version of 3.7")
    members = list(client.members)
    equal([member.client_urls for member in members], [[f"http://{host}:{port}"]])
    equal((status.leader.id, status.leader.name), (members[0].id, "default"))


def restart():
    before = client.put("r", "1").header.revision
    events, _ = client.watch("r")
    client.put("r", "2")
    equal(next(events).value, b"2")
    ask("restart")
    # The library leaves it to the caller to make a new watch.
    fails(lambda: next(events), ConnectionFailedError)
    for _ in range(600):
        try:
            after, metadata = client.get("r")
            break
        except ConnectionFailedError:
            time.sleep(0.1)
    equal((after, metadata.create_revision), (b"2", before))
    events, cancel = client.watch("r", start_revision=before)
    client.put("r", "3")
    equal([event.value for event in take(events, 3)], [b"1", b"2", b"3"])
    cancel()


def restart_under_load():
    acknowledged = []
    enough = threading.Event()

    def put(worker):
        count = 0
        while not enough.is_set():
            key = f"u/{worker}/{count}"
            try:
                client.put(key, "1")
                acknowledged.append(key)
            except ConnectionFailedError:
                time.sleep(0.01)
            count += 1

    def wait_for(count):
        for _ in range(6000):
            if len(acknowledged) >= count:
                return
            time.sleep(0.01)
        raise AssertionError(f"{len(acknowledged)} puts instead of {count}")

    with ThreadPoolExecutor(16) as pool:
        workers = [pool.submit(put, worker) for worker in range(16)]
        try:
            wait_for(100)
            ask("restart")
            wait_for(len(acknowledged) + 100)
        finally:
            enough.set()
    for worker in workers:
        worker.result()
    found = {metadata.key.decode() for _, metadata in client.get_prefix("u/", keys_only=True)}
    equal(set(acknowledged) - found, set(), "puts that were acknowledged and are lost")


scenario("put, get, delete", put_get_delete)
scenario("prefix, sort, limit", prefix_sort_limit)
scenario("a value of 1 MiB", one_mebibyte)
scenario("txn", txn)
scenario("lease", lease)
scenario("watch", watch)
scenario("two watches", two_watches)
scenario("a watch of 1,000 puts", thousand_puts)
scenario("200 concurrent puts", concurrent_puts)
scenario("compaction", compaction)
scenario("errors", errors)
scenario("deadline", deadline)
scenario("500 cancelled calls", cancelled_calls)
scenario("status, members", status_members)
scenario("restart", restart)
scenario("a restart under load", restart_under_load)
