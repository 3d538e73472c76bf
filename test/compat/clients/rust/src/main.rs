//! etcd-client (crates.io) on tonic: `scenarios URL`.

mod faults;
mod report;

use etcd_client::{
    Client, CompactionOptions, Compare, CompareOp, DeleteOptions, GetOptions, LeaseTimeToLiveOptions, PutOptions,
    SortOrder, SortTarget, Txn, TxnOp, TxnOpResponse, WatchOptions,
};
use faults::{cancelled_calls, deadline, restart, restart_under_load};
use report::{equal, events, next, pairs, refusal, revision, scenario, status, Outcome};
use tokio::task::JoinSet;

const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";

async fn put_get_delete(mut client: Client) -> Outcome {
    equal(client.get("a", None).await?.count(), 0, "count")?;
    let first = client.put("a", "1", None).await?;
    equal(first.prev_key().is_none(), true, "no key before the first put")?;
    let second = client.put("a", "2", Some(PutOptions::new().with_prev_key())).await?;
    equal(
        second.prev_key().map(|kv| kv.value()),
        Some("1".as_bytes()),
        "before the second put",
    )?;
    equal(revision!(second), revision!(first) + 1, "revision")?;
    let read = client.get("a", None).await?;
    equal(pairs(read.kvs()), [("a", "2")], "the last")?;
    let kv = &read.kvs()[0];
    let revisions = (kv.create_revision(), kv.mod_revision(), kv.version());
    equal(revisions, (revision!(first), revision!(second), 2), "of the key")?;
    let old = client
        .get("a", Some(GetOptions::new().with_revision(revision!(first))))
        .await?;
    equal(pairs(old.kvs()), [("a", "1")], "at the first revision")?;
    client.put(b"\x00\xff\x80", b"\x80\xff\x00", None).await?;
    equal(
        client.get(b"\x00\xff\x80", None).await?.kvs()[0].value(),
        b"\x80\xff\x00",
        "bytes",
    )?;
    client.put("empty", "", None).await?;
    equal(
        pairs(client.get("empty", None).await?.kvs()),
        [("empty", "")],
        "an empty value",
    )?;
    let deleted = client.delete("a", Some(DeleteOptions::new().with_prev_key())).await?;
    equal(
        (deleted.deleted(), pairs(deleted.prev_kvs())),
        (1, vec![("a", "2")]),
        "deleted",
    )?;
    equal(client.delete("a", None).await?.deleted(), 0, "deleted again")
}

async fn prefix_sort_limit(mut client: Client) -> Outcome {
    for (key, value) in [("p/1", "c"), ("p/2", "a"), ("p/3", "b"), ("q", "d")] {
        client.put(key, value, None).await?;
    }
    let prefix = || GetOptions::new().with_prefix();
    let all = [("p/1", "c"), ("p/2", "a"), ("p/3", "b")];
    equal(pairs(client.get("p/", Some(prefix())).await?.kvs()), all, "by prefix")?;
    let sorted = client
        .get(
            "p/",
            Some(prefix().with_sort(SortTarget::Value, SortOrder::Descend).with_limit(2)),
        )
        .await?;
    equal(pairs(sorted.kvs()), [("p/1", "c"), ("p/3", "b")], "by value")?;
    equal((sorted.more(), sorted.count()), (true, 3), "more than that")?;
    let keys = client
        .get("p/2", Some(GetOptions::new().with_range("q").with_keys_only()))
        .await?;
    equal(pairs(keys.kvs()), [("p/2", ""), ("p/3", "")], "keys only")?;
    let mut stream = client.kv_client().get_stream("p/", Some(prefix())).await?;
    let mut streamed = Vec::new();
    while let Some(mut part) = stream.message().await? {
        streamed.append(&mut part.take_kvs());
    }
    equal(pairs(&streamed), all, "as a stream")?;
    equal(
        client
            .delete("p/", Some(DeleteOptions::new().with_prefix()))
            .await?
            .deleted(),
        3,
        "deleted",
    )?;
    equal(
        client.get("p/", Some(prefix().with_count_only())).await?.count(),
        0,
        "left",
    )
}

async fn one_mebibyte(mut client: Client) -> Outcome {
    let value: Vec<u8> = (0..1024 * 1024).map(|index| (index % 251) as u8).collect();
    client.put("large", value.clone(), None).await?;
    equal(
        client.get("large", None).await?.kvs()[0].value() == value,
        true,
        "the value as it was put",
    )?;
    let before = client.put("large", "", Some(PutOptions::new().with_prev_key())).await?;
    equal(
        before.prev_key().is_some_and(|kv| kv.value() == value),
        true,
        "the value before",
    )
}

async fn txn(mut client: Client) -> Outcome {
    let create = || {
        Txn::new()
            .when([Compare::create_revision("t", CompareOp::Equal, 0)])
            .and_then([TxnOp::put("t", "1", None), TxnOp::get("t", None)])
            .or_else([TxnOp::get("t", None), TxnOp::delete("t", None)])
    };
    let first = client.txn(create()).await?;
    equal(first.succeeded(), true, "the first")?;
    match &first.op_responses()[..] {
        [TxnOpResponse::Put(_), TxnOpResponse::Get(read)] => equal(pairs(read.kvs()), [("t", "1")], "what it put")?,
        other => return Err(format!("not a put and a get: {other:?}").into()),
    }
    let second = client.txn(create()).await?;
    equal(second.succeeded(), false, "the second")?;
    match &second.op_responses()[..] {
        [TxnOpResponse::Get(read), TxnOpResponse::Delete(deleted)] => equal(
            (pairs(read.kvs()), deleted.deleted()),
            (vec![("t", "1")], 1),
            "what was there",
        )?,
        other => return Err(format!("not a get and a delete: {other:?}").into()),
    }
    let both = [
        Compare::version("t", CompareOp::Equal, 0),
        Compare::mod_revision("t", CompareOp::Greater, 0),
    ];
    let nested = Txn::new().when([]).and_then([TxnOp::put("t", "2", None)]);
    let third = client.txn(Txn::new().when(both).or_else([TxnOp::txn(nested)])).await?;
    equal(third.succeeded(), false, "one of two compares")?;
    equal(
        matches!(third.op_responses()[..], [TxnOpResponse::Txn(_)]),
        true,
        "a txn in the txn",
    )?;
    equal(pairs(client.get("t", None).await?.kvs()), [("t", "2")], "what it left")
}

async fn lease(mut client: Client) -> Outcome {
    let granted = client.lease_grant(100, None).await?;
    equal(granted.ttl(), 100, "time to live")?;
    for key in ["l/1", "l/2"] {
        client
            .put(key, "1", Some(PutOptions::new().with_lease(granted.id())))
            .await?;
    }
    equal(
        client.get("l/1", None).await?.kvs()[0].lease(),
        granted.id(),
        "lease of the key",
    )?;
    let with_keys = || Some(LeaseTimeToLiveOptions::new().with_keys());
    let mut told = client
        .lease_time_to_live(granted.id(), with_keys())
        .await?
        .keys()
        .to_vec();
    told.sort();
    equal(told, [b"l/1", b"l/2"], "keys of the lease")?;
    let (mut keeper, mut kept) = client.lease_keep_alive(granted.id()).await?;
    for _ in 0..3 {
        keeper.keep_alive().await?;
        equal(
            kept.message().await?.map(|response| (response.id(), response.ttl())),
            Some((granted.id(), 100)),
            "kept",
        )?;
    }
    client.lease_revoke(granted.id()).await?;
    equal(
        client.get("l/", Some(GetOptions::new().with_prefix())).await?.count(),
        0,
        "keys left",
    )?;
    equal(
        client.lease_time_to_live(granted.id(), with_keys()).await?.ttl(),
        -1,
        "of a revoked lease",
    )?;
    keeper.keep_alive().await?;
    equal(
        kept.message().await?.map(|response| response.ttl()),
        Some(0),
        "keep-alive of a revoked lease",
    )
}

async fn watch(mut client: Client) -> Outcome {
    let start = revision!(client.put("w/1", "1", None).await?);
    client.put("w/1", "2", None).await?;
    client.delete("w/1", None).await?;
    let options = WatchOptions::new()
        .with_prefix()
        .with_start_revision(start)
        .with_prev_key();
    let mut stream = client.watch("w/", Some(options)).await?;
    let created = next(&mut stream).await?;
    equal(created.created(), true, "created")?;
    equal(
        events(&mut stream, 3).await?,
        ["Put w/1 1 -", "Put w/1 2 1", "Delete w/1  2"],
        "the past",
    )?;
    client.put("w/2", "3", None).await?;
    equal(events(&mut stream, 1).await?, ["Put w/2 3 -"], "the present")?;
    stream.request_progress().await?;
    equal(revision!(next(&mut stream).await?) >= start + 3, true, "progress")?;
    stream.cancel(created.watch_id()).await?;
    equal(next(&mut stream).await?.canceled(), true, "cancelled")
}

async fn two_watches(mut client: Client) -> Outcome {
    let mut stream = client.watch("v/1", Some(WatchOptions::new().with_watch_id(1))).await?;
    equal(next(&mut stream).await?.created(), true, "the first watch")?;
    stream
        .watch("v/", Some(WatchOptions::new().with_watch_id(2).with_prefix()))
        .await?;
    equal(next(&mut stream).await?.created(), true, "the second watch")?;
    client.put("v/1", "1", None).await?;
    let mut ids = [next(&mut stream).await?.watch_id(), next(&mut stream).await?.watch_id()];
    ids.sort();
    equal(ids, [1, 2], "both see it")?;
    client.put("v/2", "2", None).await?;
    let other = next(&mut stream).await?;
    equal((other.watch_id(), other.events().len()), (2, 1), "one sees it")?;
    stream.cancel(2).await?;
    let cancelled = next(&mut stream).await?;
    equal((cancelled.watch_id(), cancelled.canceled()), (2, true), "cancelled")?;
    client.put("v/1", "3", None).await?;
    let last = next(&mut stream).await?;
    equal(
        (last.watch_id(), last.events().len()),
        (1, 1),
        "what the other gets after a cancel",
    )
}

async fn thousand_puts(mut client: Client) -> Outcome {
    let mut stream = client.watch("m", None).await?;
    equal(next(&mut stream).await?.created(), true, "created")?;
    let seen = tokio::spawn(async move { events(&mut stream, 1000).await });
    for count in 0..1000 {
        client.put("m", count.to_string(), None).await?;
    }
    let wanted: Vec<String> = (0..1000).map(|count| format!("Put m {count} -")).collect();
    equal(seen.await?? == wanted, true, "all of them, in order")
}

async fn concurrent_puts(mut client: Client) -> Outcome {
    let before = revision!(client.get("c", None).await?);
    let mut calls = JoinSet::new();
    for count in 0..200 {
        let mut client = client.clone();
        calls.spawn(async move { client.put(format!("c/{count:03}"), count.to_string(), None).await });
    }
    let mut revisions = Vec::new();
    while let Some(response) = calls.join_next().await {
        revisions.push(revision!(response??));
    }
    revisions.sort();
    equal(revisions, (before + 1..before + 201).collect::<Vec<i64>>(), "revisions")?;
    let read = client.get("c/", Some(GetOptions::new().with_prefix())).await?;
    let values: Vec<String> = pairs(read.kvs()).iter().map(|(_, value)| value.to_string()).collect();
    equal(
        values,
        (0..200).map(|count| count.to_string()).collect::<Vec<String>>(),
        "values",
    )
}

async fn compaction(mut client: Client) -> Outcome {
    let old = revision!(client.put("k", "1", None).await?);
    let last = revision!(client.put("k", "2", None).await?);
    client
        .compact(last, Some(CompactionOptions::new().with_physical()))
        .await?;
    let read = client.get("k", Some(GetOptions::new().with_revision(old))).await;
    equal(refusal(read)?, status("OutOfRange", COMPACTED), "a read")?;
    equal(
        refusal(client.compact(last, None).await)?,
        status("OutOfRange", COMPACTED),
        "a compaction",
    )?;
    let mut stream = client
        .watch("k", Some(WatchOptions::new().with_start_revision(old)))
        .await?;
    equal(next(&mut stream).await?.created(), true, "created")?;
    let cancelled = next(&mut stream).await?;
    equal(
        (cancelled.canceled(), cancelled.compact_revision()),
        (true, last),
        "a watch",
    )?;
    equal(pairs(client.get("k", None).await?.kvs()), [("k", "2")], "the last")
}

async fn errors(mut client: Client) -> Outcome {
    let empty = refusal(client.put("", "1", None).await)?;
    equal(
        empty,
        status("InvalidArgument", "etcdserver: key is not provided"),
        "an empty key",
    )?;
    let not_found = || status("NotFound", "etcdserver: requested lease not found");
    let put = client.put("e", "1", Some(PutOptions::new().with_lease(7))).await;
    equal(refusal(put)?, not_found(), "a put with it")?;
    equal(refusal(client.lease_revoke(7).await)?, not_found(), "its revocation")?;
    let future = refusal(client.get("e", Some(GetOptions::new().with_revision(1 << 40))).await)?;
    equal(
        future,
        status("OutOfRange", "etcdserver: mvcc: required revision is a future revision"),
        "the future",
    )
}

async fn status_members(mut client: Client, url: &str) -> Outcome {
    let status = client.status().await?;
    equal(status.version().starts_with("3.7."), true, "a version of 3.7")?;
    equal(status.storage_version(), "3.7.0", "storage version")?;
    let list = client.member_list().await?;
    let members: Vec<_> = list
        .members()
        .iter()
        .map(|member| (member.name(), member.client_urls()))
        .collect();
    equal(members, [("default", &[url.to_string()][..])], "members")?;
    equal(list.members()[0].id(), status.leader(), "leader")
}

#[tokio::main]
async fn main() -> Outcome {
    let url = std::env::args().nth(1).ok_or("which server?")?;
    let client = Client::connect([&url], None).await?;
    let c = || client.clone();
    scenario("put, get, delete", put_get_delete(c())).await;
    scenario("prefix, sort, limit", prefix_sort_limit(c())).await;
    scenario("a value of 1 MiB", one_mebibyte(c())).await;
    scenario("txn", txn(c())).await;
    scenario("lease", lease(c())).await;
    scenario("watch", watch(c())).await;
    scenario("two watches", two_watches(c())).await;
    scenario("a watch of 1,000 puts", thousand_puts(c())).await;
    scenario("200 concurrent puts", concurrent_puts(c())).await;
    scenario("compaction", compaction(c())).await;
    scenario("errors", errors(c())).await;
    scenario("deadline", deadline(c(), &url)).await;
    scenario("500 cancelled calls", cancelled_calls(c())).await;
    scenario("status, members", status_members(c(), &url)).await;
    scenario("restart", restart(c())).await;
    scenario("a restart under load", restart_under_load(c())).await;
    Ok(())
}
