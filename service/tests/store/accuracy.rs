//! Many callers through two replicas on one limit: never over, and under only by what is unknown.

use std::time::Duration;

use futures_util::future::join_all;
use sluicegate::store::{Store, StoreError};

use crate::valkey::ValkeyServer;
use crate::world::{PATIENCE, answered, left, passes, run, store, take};

const LIMIT: u64 = 2_000;
const CALLERS: usize = 64;
/// Denials after which a caller stops.
const DENIALS: u64 = 3;
/// Calls after which it stops anyway.
const CALLS: u64 = 2_000;

/// What one replica's callers saw.
#[derive(Default)]
struct Seen {
    admitted: u64,
    /// Calls whose debit may or may not have happened.
    unknown: u64,
}

async fn caller(store: &Store) -> Seen {
    let (mut seen, mut denials, mut calls) = (Seen::default(), 0, 0);
    while denials < DENIALS && calls < CALLS {
        calls += 1;
        match passes(store, 1, LIMIT).await {
            Ok(true) => seen.admitted += 1,
            Ok(false) => denials += 1,
            Err(StoreError::Timeout | StoreError::Unavailable(_)) => seen.unknown += 1,
            Err(error) => {
                let unsent = matches!(error, StoreError::Breaker | StoreError::Overloaded);
                assert!(unsent, "{error}");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
    seen
}

/// Hammers one limit from two replicas, each on a thread of its own.
fn hammer(server: &ValkeyServer, timeout: Duration) -> Seen {
    let replica = || {
        run(async {
            let store = store(server.port(), timeout);
            answered(&store, take(2, LIMIT)).await;
            join_all((0..CALLERS).map(|_| caller(&store))).await
        })
    };
    let seen = std::thread::scope(|scope| {
        let replicas = [scope.spawn(replica), scope.spawn(replica)];
        replicas.map(|replica| replica.join().expect("a replica's callers end"))
    });
    seen.into_iter().flatten().fold(Seen::default(), |sum, seen| Seen {
        admitted: sum.admitted + seen.admitted,
        unknown: sum.unknown + seen.unknown,
    })
}

#[test]
fn with_time_enough_exactly_the_limit_is_admitted() {
    let server = ValkeyServer::start(&[]);
    let seen = hammer(&server, PATIENCE);
    assert_eq!((seen.admitted, seen.unknown), (LIMIT, 0));
}

#[test]
fn with_8_ms_never_more_and_less_only_by_what_timed_out() {
    let server = ValkeyServer::start(&[]);
    let seen = hammer(&server, Duration::from_millis(8));
    let left = run(async { left(&store(server.port(), PATIENCE), 1, LIMIT).await });
    let known = seen.admitted + left;
    println!("admitted {}, left {left}, unknown {}", seen.admitted, seen.unknown);
    assert!(known <= LIMIT && LIMIT <= known + seen.unknown, "{known} of {LIMIT}");
}
