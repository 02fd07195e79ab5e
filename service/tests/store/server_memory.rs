//! The server's memory: what is told of it before it is full.

use sluicegate::metrics::Metrics;

use crate::failures::node;
use crate::logged::Logged;
use crate::valkey::ValkeyServer;
use crate::world::{PATIENCE, command, direct, passes, run, store, until};

const NEARLY_FULL: &str = "the store's memory is nearly full";
const ROOM: &str = "the store has room";

/// The bytes in use, as the server says.
async fn used(direct: &mut redis::aio::MultiplexedConnection) -> u64 {
    let info: String = redis::cmd("INFO").arg("memory").query_async(direct).await.unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    line.expect("the server says it").trim().parse().unwrap()
}

#[test]
fn a_store_that_fills_up_is_told_while_it_still_takes_everything() {
    let server = ValkeyServer::start(&["--maxmemory", "64mb", "--maxmemory-policy", "noeviction"]);
    let (logged, _guard) = Logged::start();
    run(async {
        let store = store(server.port(), PATIENCE);
        assert_eq!(passes(&store, 1, 1_000_000).await, Ok(true));
        let mut direct = direct(&server).await;
        let max = 64 * 1_024 * 1_024;
        let [seen, most] = node(&store).memory_bytes();
        assert!(seen > 0 && seen < max / 2, "{seen}");
        assert_eq!((most, logged.count(NEARLY_FULL)), (max, 0));
        // Two turns: it is told each time that it fills up.
        for turn in 1..=2 {
            let missing = max * 85 / 100 - used(&mut direct).await;
            command(&mut direct, &format!("SETRANGE filler {missing} x")).await;
            let told = async || {
                let passed = passes(&store, 1, 1_000_000).await;
                assert_eq!(passed, Ok(true), "it is told before it refuses");
                logged.count(NEARLY_FULL)
            };
            until(told, |count| *count == turn).await;
            let [seen, _] = node(&store).memory_bytes();
            assert!(seen >= max * 8 / 10, "{seen}");
            command(&mut direct, "DEL filler").await;
            let told = async || {
                assert_eq!(passes(&store, 1, 1_000_000).await, Ok(true));
                logged.count(ROOM)
            };
            until(told, |count| *count == turn).await;
        }
        let metrics = Metrics::new(1);
        metrics.store.shared(node(&store));
        let text = metrics.scrape();
        assert!(text.contains(&format!("sluicegate_store_memory_max_bytes {max}\n")), "{text}");
        let [seen, _] = node(&store).memory_bytes();
        assert!(text.contains(&format!("sluicegate_store_memory_used_bytes {seen}\n")), "{text}");
    });
}

#[test]
fn what_keeps_the_bound_from_being_one_is_told_once() {
    let server = ValkeyServer::start(&["--maxmemory-policy", "allkeys-lru"]);
    let (logged, _guard) = Logged::start();
    run(async {
        for _ in 0..2 {
            let store = store(server.port(), PATIENCE);
            for _ in 0..3 {
                assert_eq!(passes(&store, 1, 100).await, Ok(true));
            }
        }
        // Two processes, as it seems.
        assert_eq!(logged.count("the store has no maxmemory"), 2);
        assert_eq!(logged.count("set maxmemory-policy noeviction"), 2);
    });
}
