//! Calls that are cut short, and a server that restarts.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, GetOptions, WatchOptions};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::report::{ask, disconnected, equal, events, next, pairs, refusal, revision, status, Outcome};

pub async fn deadline(mut client: Client, url: &str) -> Outcome {
    client.put("d", "1", None).await?;
    let options = ConnectOptions::new().with_timeout(Duration::from_millis(500));
    let mut hurried = Client::connect([url], Some(options)).await?;
    equal(pairs(hurried.get("d", None).await?.kvs()), [("d", "1")], "before")?;
    ask("pause")?;
    let mut refusals = Vec::new();
    for _ in 0..3 {
        refusals.push(refusal(hurried.get("d", None).await));
    }
    // The other way: a call that is dropped after some time.
    let dropped = timeout(Duration::from_millis(500), client.get("d", None)).await;
    ask("resume")?;
    for found in refusals {
        equal(found?, status("Cancelled", "Timeout expired"), "what the client says")?;
    }
    equal(dropped.is_err(), true, "no answer in time")?;
    equal(
        pairs(client.get("d", None).await?.kvs()),
        [("d", "1")],
        "on the same connection",
    )?;
    for _ in 0..600 {
        if let Ok(read) = hurried.get("d", None).await {
            return equal(pairs(read.kvs()), [("d", "1")], "on the connection with the deadline");
        }
    }
    Err("no answer on the connection with the deadline".into())
}

pub async fn cancelled_calls(mut client: Client) -> Outcome {
    client.put("x", "x".repeat(100_000), None).await?;
    let mut calls = JoinSet::new();
    for count in 0..400 {
        let mut client = client.clone();
        let call = calls.spawn(async move { client.get("x", None).await });
        // Some before they are sent, some while they are answered, some after.
        match count % 3 {
            0 => call.abort(),
            1 => {
                sleep(Duration::from_micros(100 * count)).await;
                call.abort();
            }
            _ => {}
        }
    }
    calls.abort_all();
    while let Some(ended) = calls.join_next().await {
        match ended {
            Ok(response) => equal(response?.count(), 1, "count")?,
            Err(error) => equal(error.is_cancelled(), true, "cancelled")?,
        }
    }
    ask("pause")?;
    for _ in 0..100 {
        let mut client = client.clone();
        calls.spawn(async move { client.get("x", None).await });
    }
    sleep(Duration::from_millis(100)).await;
    calls.abort_all();
    let mut cancelled = 0;
    while let Some(ended) = calls.join_next().await {
        cancelled += i32::from(ended.is_err_and(|error| error.is_cancelled()));
    }
    ask("resume")?;
    equal(cancelled, 100, "cancelled while no answer came")?;
    equal(client.get("x", None).await?.kvs()[0].value().len(), 100_000, "length")?;
    let put = revision!(client.put("x", "", None).await?);
    equal(revision!(client.get("x", None).await?), put, "revision")
}

pub async fn restart(mut client: Client) -> Outcome {
    let before = revision!(client.put("r", "1", None).await?);
    let mut stream = client.watch("r", None).await?;
    equal(next(&mut stream).await?.created(), true, "created")?;
    client.put("r", "2", None).await?;
    equal(events(&mut stream, 1).await?, ["Put r 2 -"], "before")?;
    ask("restart")?;
    // The library leaves it to the caller to make a new watch.
    equal(
        matches!(stream.message().await, Err(_) | Ok(None)),
        true,
        "the watch has ended",
    )?;
    let mut read = client.get("r", None).await;
    for _ in 0..600 {
        if read.is_ok() {
            break;
        }
        sleep(Duration::from_millis(100)).await;
        read = client.get("r", None).await;
    }
    equal(read?.kvs()[0].create_revision(), before, "create revision")?;
    let mut stream = client
        .watch("r", Some(WatchOptions::new().with_start_revision(before)))
        .await?;
    client.put("r", "3", None).await?;
    equal(
        events(&mut stream, 3).await?,
        ["Put r 1 -", "Put r 2 -", "Put r 3 -"],
        "all of it",
    )
}

pub async fn restart_under_load(mut client: Client) -> Outcome {
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let enough = Arc::new(AtomicBool::new(false));
    let mut workers = JoinSet::new();
    for worker in 0..16 {
        let (mut client, acknowledged, enough) = (client.clone(), acknowledged.clone(), enough.clone());
        workers.spawn(async move {
            for count in 0.. {
                if enough.load(Ordering::Relaxed) {
                    break;
                }
                let key = format!("u/{worker}/{count}");
                match client.put(key.as_str(), "1", None).await {
                    Ok(_) => acknowledged.lock().map_err(|error| error.to_string())?.push(key),
                    Err(error) if disconnected(&error) => sleep(Duration::from_millis(10)).await,
                    Err(error) => return Err(format!("{error:?}")),
                }
            }
            Ok(())
        });
    }
    let count = || acknowledged.lock().map_or(0, |keys| keys.len());
    wait_for(&count, 100).await?;
    ask("restart")?;
    let answered = wait_for(&count, count() + 100).await;
    enough.store(true, Ordering::Relaxed);
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    answered?;
    let read = client
        .get("u/", Some(GetOptions::new().with_prefix().with_keys_only()))
        .await?;
    let found: HashSet<&str> = pairs(read.kvs()).into_iter().map(|(key, _)| key).collect();
    let all = acknowledged.lock().map_err(|error| error.to_string())?;
    let lost: Vec<_> = all.iter().filter(|key| !found.contains(key.as_str())).collect();
    equal(
        lost.is_empty(),
        true,
        &format!("puts that were acknowledged and are lost: {lost:?}"),
    )
}

async fn wait_for(count: &impl Fn() -> usize, wanted: usize) -> Outcome {
    for _ in 0..6000 {
        if count() >= wanted {
            return Ok(());
        }
        sleep(Duration::from_millis(10)).await;
    }
    Err(format!("{} puts instead of {wanted}", count()).into())
}
