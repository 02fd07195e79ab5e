//! What the tests of the stores share: handles, asks and patience.

use std::time::{Duration, Instant};

use sluicegate::clock;
use sluicegate::settings::{Secret, StoreUrl, ValkeySettings};
use sluicegate::store::valkey::{ValkeyHandle, ValkeyNode};
use sluicegate::store::{Store, StoreAnswer, StoreError};
use sluicegate_limits::counter::{Op, Terms};
use sluicegate_limits::decide::{Ask, Key};
use sluicegate_limits::time::{Micros, Tokens};

use crate::valkey::ValkeyServer;

/// Long enough for any machine, so that no test waits for it in vain.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(test)
}

pub(crate) fn settings(port: u16, timeout: Duration) -> ValkeySettings {
    let url = StoreUrl { host: "127.0.0.1".into(), port, database: 0 };
    ValkeySettings { url, username: None, password: None, timeout }
}

pub(crate) fn login(port: u16, username: &str, password: &str) -> ValkeySettings {
    let password = Some(Secret::new(password.as_bytes()));
    ValkeySettings { username: Some(username.into()), password, ..settings(port, PATIENCE) }
}

/// A store on the server of this port, on the runtime of the caller.
pub(crate) fn store(port: u16, timeout: Duration) -> Store {
    start(settings(port, timeout))
}

pub(crate) fn start(settings: ValkeySettings) -> Store {
    Store::Valkey(ValkeyHandle::start(ValkeyNode::new(settings)))
}

pub(crate) fn soon() -> Instant {
    clock::instant() + PATIENCE
}

/// A sliding window of an hour, so that no test waits for tokens to come back.
pub(crate) fn hourly(limit: u64) -> Terms {
    Terms::SlidingWindow { limit: Tokens::new(limit), window: Micros::HOUR }
}

/// An ask about the counter of this number.
pub(crate) fn ask(counter: u8, terms: Terms, op: Op, tokens: u64) -> Ask {
    Ask {
        key: Key { partition: counter, hash: [counter; 16] },
        limit_id: counter.into(),
        max_keys: 1_000,
        terms,
        op,
        tokens: Tokens::new(tokens),
        shadow: false,
        horizon: Micros::DAY,
    }
}

pub(crate) fn take(counter: u8, limit: u64) -> Ask {
    ask(counter, hourly(limit), Op::Take, 1)
}

/// What is left of the counter of [`take`].
pub(crate) async fn left(store: &Store, counter: u8, limit: u64) -> u64 {
    let look = ask(counter, hourly(limit), Op::Look, 1);
    answered(store, look).await.outcome.replies[0].left.get()
}

/// Asks until the store answers, as after an outage.
pub(crate) async fn answered(store: &Store, ask: Ask) -> StoreAnswer {
    let until = soon();
    loop {
        match store.decide(vec![ask].into(), None).await {
            Ok(answer) => return answer,
            Err(error) => assert!(clock::instant() < until, "no answer: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Repeats a call until its answer is `good`, as time has to pass at the store.
pub(crate) async fn until<T>(
    mut call: impl AsyncFnMut() -> T,
    mut good: impl FnMut(&T) -> bool,
) -> T {
    let deadline = soon();
    loop {
        let answer = call().await;
        if good(&answer) {
            return answer;
        }
        assert!(clock::instant() < deadline, "the answer does not come");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Takes once and answers whether it passed.
pub(crate) async fn passes(store: &Store, counter: u8, limit: u64) -> Result<bool, StoreError> {
    let answer = store.decide(vec![take(counter, limit)].into(), None).await?;
    Ok(answer.outcome.allowed)
}

/// A connection of the test's own.
pub(crate) async fn direct(server: &ValkeyServer) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(server.url()).expect("reads the address");
    // A busy machine may keep an answer for longer than the client waits by itself.
    let patient = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let connecting = client.get_multiplexed_async_connection_with_config(&patient);
    connecting.await.expect("connects")
}

pub(crate) async fn command(
    connection: &mut redis::aio::MultiplexedConnection,
    words: &str,
) -> redis::Value {
    let mut command = redis::Cmd::new();
    words.split(' ').for_each(|word| {
        command.arg(word);
    });
    command.query_async(connection).await.unwrap_or_else(|error| panic!("{words}: {error}"))
}
