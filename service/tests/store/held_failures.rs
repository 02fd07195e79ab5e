//! Reservations and holds over a store that is away, comes back, or was emptied.

use std::sync::Arc;
use std::time::Duration;

use sluicegate::call::{Decision, Ending};
use sluicegate::limiter::Limiter;
use sluicegate_limits::time::Tokens;
use sluicegate_limits::verdict::Reason;

use crate::process::folder;
use crate::replica::{end, hold, left, replica, reserve, seconds, settle, token};
use crate::valkey::ValkeyServer;
use crate::world::{PATIENCE, run, store};

const LIMITS: &str = "
rate_limits:
  tokens: { match: GET /tokens, key: tenant_id, limit: 100, window: 1h }
  slots: { match: GET /slots, key: tenant_id, algorithm: concurrency, limit: 4, hold: 1m }
";

/// Ends again and again until the store answers, as a caller would.
async fn ended(limiter: &Limiter, token: &str, ending: Ending) -> Decision {
    let asking = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        loop {
            ticks.tick().await;
            let decision = end(limiter, token, ending).await;
            if decision.verdict.reason != Some(Reason::StoreUnavailable) {
                return decision;
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("the store comes back")
}

const SETTLE: Ending = Ending::Settle { actual: Tokens::new(25) };

#[test]
fn a_settlement_without_the_store_is_repeated_when_it_is_back() {
    let folder = folder("held");
    let folder = folder.to_str().expect("a path of letters");
    let keep = ["--appendonly", "yes", "--appendfsync", "always", "--dir", folder];
    let mut server = ValkeyServer::start(&keep);
    run(async {
        let limiter = replica(LIMITS, store(server.port(), PATIENCE), 1, Some(0));
        let token = token(&reserve(&limiter, "/tokens", 60, seconds(60)).await);
        server.kill();
        let away = end(&limiter, &token, SETTLE).await;
        assert_eq!(away.verdict.reason, Some(Reason::StoreUnavailable));
        server.restart();
        let settled = ended(&limiter, &token, SETTLE).await;
        assert!(settled.verdict.allowed, "{:?}", settled.verdict);
        assert_eq!(left(&limiter, "/tokens").await, [75]);
        // The record of it outlives the server too.
        server.kill();
        server.restart();
        assert!(ended(&limiter, &token, SETTLE).await.verdict.allowed);
        assert_eq!(left(&limiter, "/tokens").await, [75]);
    });
}

#[test]
fn a_store_that_lost_what_was_held_books_the_actual_cost_and_extends_nothing() {
    let mut server = ValkeyServer::start(&[]);
    run(async {
        let limiter = replica(LIMITS, store(server.port(), PATIENCE), 1, Some(0));
        let [tokens, more] = [60, 10];
        let reserved = token(&reserve(&limiter, "/tokens", tokens, seconds(60)).await);
        let other = token(&reserve(&limiter, "/tokens", more, seconds(60)).await);
        server.kill();
        server.restart();
        let settled = ended(&limiter, &reserved, SETTLE).await;
        assert!(settled.verdict.allowed, "{:?}", settled.verdict);
        let left: Vec<_> = settled.verdict.limits.iter().map(|l| l.remaining.get()).collect();
        assert_eq!(left, [75], "the actual cost is booked");
        let extended = ended(&limiter, &other, Ending::Extend { lasting: seconds(60) }).await;
        assert_eq!(extended.verdict.reason, Some(Reason::HoldExpired), "nothing is held any more");
    });
}

#[test]
fn without_a_store_the_replica_holds_its_own_share_and_only_it_ends_that() {
    run(async {
        // Nobody listens on port 1.
        let away = || store(1, Duration::from_millis(50));
        let [one, other] = [0, 1].map(|rank| replica(LIMITS, away(), 2, Some(rank)));
        let reserved = reserve(&one, "/tokens", 30, seconds(60)).await;
        assert!(reserved.verdict.degraded);
        let reserved = token(&reserved);
        assert_eq!(left(&one, "/tokens").await, [20]);
        assert!(settle(&other, &reserved, 5).await.verdict.allowed, "not there, and not an error");
        assert_eq!(left(&other, "/tokens").await, [50], "it is nothing to this one");
        assert_eq!(left(&one, "/tokens").await, [20]);
        let settled = settle(&one, &reserved, 5).await;
        assert!(settled.verdict.allowed && settled.verdict.degraded);
        assert!(settle(&one, &reserved, 5).await.verdict.allowed, "a repeat");
        assert_eq!(left(&one, "/tokens").await, [45]);

        let holds =
            [hold(&one, "/slots", seconds(60)).await, hold(&one, "/slots", seconds(60)).await];
        assert!(!hold(&one, "/slots", seconds(60)).await.verdict.allowed, "its share is 2");
        assert!(end(&one, &token(&holds[0]), Ending::Release).await.verdict.allowed);
        assert!(hold(&one, "/slots", seconds(60)).await.verdict.allowed);
    });
}

#[test]
fn what_only_some_limits_can_hold_is_held_nowhere() {
    const MIXED: &str = "
rate_limits:
  here: { key: tenant_id, limit: 100, window: 1h }
  full: { match: GET /full, key: tenant_id, limit: 1, window: 1d, on_store_failure: deny }
";
    run(async {
        let limiter = replica(MIXED, store(1, Duration::from_millis(50)), 1, Some(0));
        let denied = reserve(&limiter, "/full", 1, seconds(60)).await;
        assert_eq!(denied.verdict.reason, Some(Reason::StoreUnavailable));
        assert_eq!(left(&limiter, "/").await, [100]);
    });
}

#[test]
fn a_token_of_another_secret_or_none_is_unknown() {
    run(async {
        let memory = || sluicegate_limits::memory::Memory::new(1_000);
        let store = sluicegate::store::Store::Memory(Arc::new(memory()));
        let limiter = replica(LIMITS, store, 1, Some(0));
        let token = token(&reserve(&limiter, "/tokens", 1, seconds(60)).await);
        assert!(limiter.open(&token).is_ok());
        let mut forged = token.clone().into_bytes();
        forged[30] ^= 1;
        for text in [String::from_utf8(forged).expect("text"), token[1..].to_owned(), String::new()]
        {
            assert!(limiter.open(&text).is_err(), "{text}");
        }
    });
}

#[test]
fn a_store_without_room_to_remember_a_settlement_may_be_asked_again() {
    run(async {
        // Of eight places one owner gets a quarter.
        let memory = Arc::new(sluicegate_limits::memory::Memory::new(8));
        let store = sluicegate::store::Store::Memory(Arc::clone(&memory));
        let limiter = replica(LIMITS, store, 1, Some(0));
        let mut reasons = Vec::new();
        for _ in 0..3 {
            let token = token(&reserve(&limiter, "/tokens", 10, seconds(60)).await);
            reasons.push(settle(&limiter, &token, 1).await.verdict.reason);
        }
        assert_eq!(reasons, [None, None, Some(Reason::Overloaded)]);
        assert_eq!(left(&limiter, "/tokens").await, [88], "it is still held");
    });
}
