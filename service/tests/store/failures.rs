//! What happens when the server, the network or the stored bytes fail.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use sluicegate::store::valkey::ValkeyNode;
use sluicegate::store::{BreakerState, Store, StoreError};

use crate::logged::Logged;
use crate::proxy::Proxy;
use crate::valkey::ValkeyServer;
use crate::world::{
    PATIENCE, answered, command, direct, left, login, passes, run, start, store, take,
};

/// Short enough to wait for, long enough to be kept by a busy machine.
pub(crate) const SHORT: Duration = Duration::from_millis(100);

pub(crate) fn node(store: &Store) -> &ValkeyNode {
    let Store::Valkey(handle) = store else { panic!("a shared store") };
    handle.node()
}

/// The calls made so far, and the checks in them.
pub(crate) fn counts(store: &Store) -> (u64, u64) {
    (node(store).batches(), node(store).batched_checks())
}

#[test]
fn checks_that_wait_go_together_and_each_sees_those_before() {
    let server = ValkeyServer::start(&[]);
    run(async {
        let store = store(server.port(), PATIENCE);
        let all = (0..200).map(|_| store.decide(vec![take(1, 100)].into(), None));
        let outcomes: Vec<_> = join_all(all)
            .await
            .into_iter()
            .map(|answer| {
                let outcome = answer.expect("the store answers").outcome;
                (outcome.allowed, outcome.replies[0].left.get())
            })
            .collect();
        let expected: Vec<_> = (0..200).map(|n| (n < 100, 99_u64.saturating_sub(n))).collect();
        assert_eq!(outcomes, expected);
        assert_eq!(counts(&store), (2, 200), "128 checks, then the rest");
    });
}

#[test]
fn a_debit_whose_answer_was_lost_is_not_sent_again() {
    let server = ValkeyServer::start(&[]);
    let proxy = Proxy::to(server.port());
    run(async {
        // Who may not ask how full the server is makes no call but ours, whose answer is lost.
        let rights = "ACL SETUSER quiet on >pass-word ~* +@all -info";
        command(&mut direct(&server).await, rights).await;
        let store = start(login(proxy.port(), "quiet", "pass-word"));
        for turn in 0..10 {
            let before = left(&store, 1, 100).await;
            proxy.lose_next_answer();
            let answer = passes(&store, 1, 100).await;
            assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{turn}: {answer:?}");
            assert_eq!(left(&store, 1, 100).await, before - 1, "executed once");
        }
        assert_eq!(node(&store).breaker(), BreakerState::Closed);
    });
}

#[test]
fn a_stalled_server_debits_no_backlog_that_nobody_waits_for() {
    let server = ValkeyServer::start(&[]);
    run(async {
        let store = store(server.port(), SHORT);
        answered(&store, take(1, 100)).await;
        server.stop();
        while node(&store).breaker() == BreakerState::Closed {
            let errors = join_all((0..20).map(|_| passes(&store, 1, 100))).await;
            assert!(errors.iter().all(Result::is_err), "{errors:?}");
        }
        assert_eq!(passes(&store, 1, 100).await, Err(StoreError::Breaker));
        server.cont();
        assert_eq!(left(&store, 1, 100).await, 99, "every call of the backlog was late");
        assert_eq!(node(&store).breaker(), BreakerState::Closed);
    });
}

#[test]
fn more_checks_than_may_wait_are_refused_at_once() {
    let server = ValkeyServer::start(&[]);
    run(async {
        let store = store(server.port(), PATIENCE);
        let answers = (0..4_200).filter_map(|_| passes(&store, 1, 10).now_or_never());
        let answers: Vec<_> = answers.collect();
        assert_eq!(answers, vec![Err(StoreError::Overloaded); 4_200 - 4_096]);
    });
}

#[test]
fn a_store_that_came_back_empty_has_another_generation() {
    let mut server = ValkeyServer::start(&[]);
    run(async {
        let store = store(server.port(), PATIENCE);
        let before = answered(&store, take(1, 10)).await;
        let again = answered(&store, take(1, 10)).await;
        assert_eq!(before.generation, again.generation);
        server.kill();
        assert!(passes(&store, 1, 10).await.is_err());
        server.restart();
        let after = answered(&store, take(1, 10)).await;
        assert_eq!(after.outcome.replies[0].left.get(), 9);
        assert!(after.generation > before.generation);
    });
}

#[test]
fn a_store_that_wrote_everything_keeps_its_generation_and_counters() {
    static DIRS: AtomicU32 = AtomicU32::new(0);
    let name = format!("valkey-{}-{}", std::process::id(), DIRS.fetch_add(1, Relaxed));
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&dir).expect("makes a directory");
    let path = dir.to_str().expect("a path of letters");
    let mut server =
        ValkeyServer::start(&["--appendonly", "yes", "--appendfsync", "always", "--dir", path]);
    run(async {
        let store = store(server.port(), PATIENCE);
        let before = answered(&store, take(1, 10)).await;
        server.kill();
        server.restart();
        let after = answered(&store, take(1, 10)).await;
        assert_eq!(after.generation, before.generation);
        assert_eq!(after.outcome.replies[0].left.get(), 8);
    });
    drop(server);
    std::fs::remove_dir_all(dir).expect("removes the directory");
}

#[test]
fn a_forgotten_script_is_loaded_again() {
    let server = ValkeyServer::start(&[]);
    run(async {
        let store = store(server.port(), PATIENCE);
        assert_eq!(passes(&store, 1, 10).await, Ok(true));
        command(&mut direct(&server).await, "SCRIPT FLUSH").await;
        assert_eq!(passes(&store, 1, 10).await, Ok(true));
        assert_eq!(left(&store, 1, 10).await, 8);
    });
}

#[test]
fn a_full_store_refuses_before_any_write_and_stays_in_use() {
    let server = ValkeyServer::start(&["--maxmemory-policy", "noeviction"]);
    let (logged, _guard) = Logged::start();
    run(async {
        let store = store(server.port(), PATIENCE);
        assert_eq!(passes(&store, 1, 100).await, Ok(true));
        let mut direct = direct(&server).await;
        command(&mut direct, "CONFIG SET maxmemory 1").await;
        for _ in 0..10 {
            let answer = passes(&store, 1, 100).await;
            assert!(matches!(answer, Err(StoreError::Refused(_))), "{answer:?}");
        }
        assert_eq!(node(&store).breaker(), BreakerState::Closed);
        command(&mut direct, "CONFIG SET maxmemory 0").await;
        assert_eq!(left(&store, 1, 100).await, 99);
        for words in ["limits answer by on_store_failure", "the store takes calls again"] {
            assert_eq!(logged.count(words), 1, "{words}");
        }
        let why =
            "EVALSHA: OOM command not allowed when used memory > 'maxmemory'.; see the store's";
        assert_eq!(logged.count(why), 1, "why, in the server's own words");
    });
}

#[test]
fn bytes_that_are_no_counter_are_reported_and_kept() {
    let server = ValkeyServer::start(&[]);
    run(async {
        let store = store(server.port(), PATIENCE);
        let key = sluicegate::store::valkey::packing::counter_key(&take(2, 1).key);
        let mut direct = direct(&server).await;
        let set = redis::cmd("SET").arg(&key).arg("spoilt").to_owned();
        let _: redis::Value = set.query_async(&mut direct).await.expect("writes");
        let answer = store.decide(vec![take(1, 10), take(2, 10)].into(), None).await;
        assert_eq!(answer, Err(StoreError::BadState { ask: 1 }));
        assert_eq!(left(&store, 1, 10).await, 10);
        let kept: String =
            redis::cmd("GET").arg(&key).query_async(&mut direct).await.expect("reads");
        assert_eq!(kept, "spoilt");
    });
}

#[test]
fn an_unreachable_server_opens_the_breaker_which_closes_by_itself() {
    let mut server = ValkeyServer::start(&[]);
    server.kill();
    let (logged, _guard) = Logged::start();
    run(async {
        let store = store(server.port(), PATIENCE);
        for _ in 0..5 {
            let answer = passes(&store, 1, 10).await;
            assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
        }
        assert_eq!(logged.count("connecting: Connection refused"), 1, "why it is left alone");
        assert_eq!(passes(&store, 1, 10).await, Err(StoreError::Breaker));
        server.restart();
        assert!(answered(&store, take(1, 10)).await.outcome.allowed);
    });
}
