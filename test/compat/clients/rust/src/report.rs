//! How a program tells the test beside it what it found, and asks it to do something to the server. See ../../programs.ts.

use std::error::Error;
use std::fmt::Debug;
use std::future::Future;
use std::io;

use etcd_client::{Error as ClientError, KeyValue, WatchResponse, WatchStream};

pub type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// `Code` of the gRPC that the client stands on, as its name: the client does not export the type.
pub type Refusal = (String, String);

pub async fn scenario(name: &str, run: impl Future<Output = Outcome>) {
    match run.await {
        Ok(()) => println!("ok {name}"),
        Err(error) => println!("not ok {name}: {}", error.to_string().replace('\n', " ")),
    }
}

/// `pause`, `resume` or `restart` the server. Returns when that is done.
pub fn ask(action: &str) -> Outcome {
    println!("do {action}");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    equal(answer.as_str(), "done\n", "the test's answer")
}

/// The revision in the header of a response.
macro_rules! revision {
    ($response:expr) => {
        $response.header().ok_or("no header")?.revision()
    };
}
pub(crate) use revision;

pub fn equal<T: Debug + PartialEq<U>, U: Debug>(found: T, wanted: U, what: &str) -> Outcome {
    if found == wanted {
        return Ok(());
    }
    Err(format!("{what}: {found:.200?} instead of {wanted:.200?}").into())
}

/// Code and text of the status that a call must end with.
pub fn refusal<T: Debug>(result: Result<T, ClientError>) -> Result<Refusal, Box<dyn Error + Send + Sync>> {
    match result {
        Err(ClientError::GRpcStatus(status)) => Ok((format!("{:?}", status.code()), status.message().to_string())),
        other => Err(format!("no status but {other:.200?}").into()),
    }
}

/// It was the connection, and not the server, that failed the call: it may or may not have been carried out. Of a connection that
/// ends, the client makes Unavailable, Cancelled or Internal, just as it learns of it.
pub fn disconnected(error: &ClientError) -> bool {
    let ClientError::GRpcStatus(status) = error else {
        return false;
    };
    format!("{:?}", status.code()) == "Unavailable" || status.source().is_some()
}

pub fn status(code: &str, text: &str) -> Refusal {
    (code.to_string(), text.to_string())
}

pub fn pairs(kvs: &[KeyValue]) -> Vec<(&str, &str)> {
    let text = std::str::from_utf8;
    kvs.iter()
        .map(|kv| (text(kv.key()).unwrap_or("?"), text(kv.value()).unwrap_or("?")))
        .collect()
}

pub async fn next(stream: &mut WatchStream) -> Result<WatchResponse, Box<dyn Error + Send + Sync>> {
    stream.message().await?.ok_or_else(|| "the stream has ended".into())
}

/// An event, in a form that reads well: `PUT key value before`.
pub async fn events(stream: &mut WatchStream, count: usize) -> Result<Vec<String>, Box<dyn Error + Send + Sync>> {
    let mut found = Vec::new();
    while found.len() < count {
        for event in next(stream).await?.events() {
            let kv = event.kv().ok_or("an event without a key")?;
            let before = event.prev_kv().map_or("-", |kv| kv.value_str().unwrap_or("?"));
            found.push(format!(
                "{:?} {} {} {before}",
                event.event_type(),
                kv.key_str()?,
                kv.value_str()?
            ));
        }
    }
    Ok(found)
}
