//! The limiter over a store that is away, was emptied, or holds a counter that cannot be read.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use sluicegate::call::Method;
use sluicegate::limiter::Limiter;
use sluicegate::settings::{Overrides, load};
use sluicegate::store::Store;
use sluicegate_limits::attributes::AttributesBuilder;
use sluicegate_limits::memory::Memory;
use sluicegate_limits::time::Tokens;
use sluicegate_limits::verdict::{Reason, Verdict};

use crate::replica::{call, parts, replica};
use crate::server::settings;
use crate::valkey::ValkeyServer;
use crate::world::{PATIENCE, direct, run, store};

async fn check(limiter: &Limiter, path: &str) -> Verdict {
    limiter.check(call(path, Method::Check)).await.verdict
}

async fn peek(limiter: &Limiter, path: &str) -> Verdict {
    limiter.check(call(path, Method::Peek)).await.verdict
}

/// How many of `calls` pass; each answer is marked as degraded.
async fn degraded_passes(limiter: &Limiter, path: &str, calls: usize) -> usize {
    let mut passed = 0;
    for _ in 0..calls {
        let verdict = check(limiter, path).await;
        assert!(verdict.degraded, "{verdict:?}");
        passed += usize::from(verdict.allowed);
    }
    passed
}

const ONE_OF_EACH: &str = "
rate_limits:
  shared: { match: GET /local, key: tenant_id, limit: 7, window: 1h }
  open: { match: GET /open, key: tenant_id, limit: 7, window: 1h, on_store_failure: allow }
  closed: { match: GET /closed, key: tenant_id, limit: 7, window: 1h, on_store_failure: deny }
  beside: { match: GET /closed, key: tenant_id, limit: 2, window: 1h }
";

#[test]
fn without_a_store_each_limit_answers_as_it_says() {
    run(async {
        // Nobody listens on port 1.
        let away = || store(1, Duration::from_millis(50));
        let replicas = [0, 1].map(|rank| replica(ONE_OF_EACH, away(), 2, Some(rank)));
        let mut shares = 0;
        for replica in &replicas {
            shares += degraded_passes(replica, "/local", 10).await;
            assert_eq!(degraded_passes(replica, "/open", 10).await, 10);
            assert_eq!(degraded_passes(replica, "/closed", 3).await, 0);
        }
        assert_eq!(shares, 7, "the shares sum to the limit");
        let closed = check(&replicas[0], "/closed").await;
        assert_eq!(closed.reason, Some(Reason::StoreUnavailable));
        assert_eq!(closed.limit_name(), Some("closed"));
        let beside = &closed.limits[1];
        assert!(beside.allowed, "what was denied took nothing beside: {beside:?}");

        let alone = replica(ONE_OF_EACH, away(), 2, None);
        assert_eq!(degraded_passes(&alone, "/local", 10).await, 3, "rounded down without a rank");
    });
}

#[test]
fn a_traffic_class_decides_for_limits_that_do_not_say() {
    const LIMITS: &str = "
rate_limits:
  unsaid: { match: GET /unsaid, key: tenant_id, limit: 3, window: 1h }
  said: { match: GET /said, key: tenant_id, limit: 3, window: 1h, on_store_failure: local }
  open: { match: GET /open, key: tenant_id, limit: 3, window: 1h, on_store_failure: allow }
";
    run(async {
        let mut settings = settings();
        let rule = |name| format!("SLUICEGATE__TRAFFIC_CLASSES__{name}__ON_STORE_FAILURE");
        let environment = [(rule("PARTNER"), "deny"), (rule("ADMIN"), "allow")];
        let environment = environment.map(|(name, word)| (name, word.to_owned()));
        let overrides = Overrides { environment: Some(environment.into()), ..Overrides::default() };
        settings.traffic_classes = load(&overrides).unwrap().traffic_classes;
        let store = store(1, Duration::from_millis(50));
        let replica = Limiter::new(parts(LIMITS, &settings), store);
        let passes = async |path, class| {
            let mut call = call(path, Method::Check);
            let mut facts = AttributesBuilder::new();
            for (name, value) in call.attributes.iter().chain([("traffic_class", class)]) {
                facts.set(name, value).unwrap();
            }
            call.attributes = facts.finish();
            let verdict = replica.check(call).await.verdict;
            assert!(verdict.degraded, "{verdict:?}");
            verdict.allowed
        };
        assert!(passes("/unsaid", "east_west").await);
        assert!(!passes("/unsaid", "partner").await);
        for _ in 0..5 {
            assert!(passes("/unsaid", "admin").await);
        }
        assert!(passes("/said", "partner").await, "its own rule is closer");
        assert!(passes("/open", "partner").await);
    });
}

#[test]
fn an_emptied_store_is_noticed_and_limits_return_after_a_window() {
    const LIMITS: &str = "
rate_limits:
  short: { match: GET /short, limit: 1000, window: 200ms }
  long: { match: GET /long, limit: 1000, window: 1d }
";
    run(async {
        let server = ValkeyServer::start(&[]);
        let replica = replica(LIMITS, store(server.port(), PATIENCE), 1, Some(0));
        assert!(!check(&replica, "/short").await.degraded);
        assert!(!check(&replica, "/long").await.degraded);

        let mut admin = direct(&server).await;
        let _: () = redis::cmd("FLUSHALL").query_async(&mut admin).await.unwrap();
        assert!(check(&replica, "/short").await.degraded, "also the one that finds it empty");
        assert!(check(&replica, "/long").await.degraded);
        let until = sluicegate::clock::instant() + PATIENCE;
        while check(&replica, "/short").await.degraded {
            assert!(sluicegate::clock::instant() < until, "the short limit stays on its share");
        }
        assert!(check(&replica, "/long").await.degraded, "a day is longer than an hour");
    });
}

#[test]
fn checks_on_their_way_to_an_emptied_store_pass_no_more_than_the_share() {
    const LIMITS: &str = "
rate_limits:
  hour: { limit: 10, window: 1h }
  beside: { match: GET /both, limit: 1000, window: 200ms }
";
    run(async {
        for path in ["/one", "/both"] {
            let server = ValkeyServer::start(&[]);
            let replica = replica(LIMITS, store(server.port(), PATIENCE), 2, Some(0));
            let burst = || join_all((0..30).map(|_| check(&replica, path)));
            let passed = |all: &[Verdict]| all.iter().filter(|verdict| verdict.allowed).count();
            assert_eq!(passed(&burst().await), 10, "{path}");

            let mut admin = direct(&server).await;
            let _: () = redis::cmd("FLUSHALL").query_async(&mut admin).await.unwrap();
            let after = burst().await;
            assert_eq!(passed(&after), 5, "{path}");
            assert!(after.iter().all(|verdict| verdict.degraded), "{path}");
        }
    });
}

#[test]
fn one_unreadable_counter_leaves_the_others_on_the_store_all_or_nothing() {
    const LIMITS: &str = "
rate_limits:
  spoilt: { algorithm: token_bucket, limit: 100, window: 1d }
  sound: { limit: 3, window: 1d }
";
    run(async {
        let server = ValkeyServer::start(&[]);
        let replica = replica(LIMITS, store(server.port(), PATIENCE), 1, Some(0));
        assert!(check(&replica, "/").await.allowed);

        let mut admin = direct(&server).await;
        let keys: Vec<Vec<u8>> =
            redis::cmd("KEYS").arg("sg{*").query_async(&mut admin).await.unwrap();
        assert_eq!(keys.len(), 2);
        for key in keys {
            let bytes: Vec<u8> = redis::cmd("GET").arg(&key).query_async(&mut admin).await.unwrap();
            if bytes[0] == 0x11 {
                let _: () =
                    redis::cmd("SET").arg(&key).arg("junk").query_async(&mut admin).await.unwrap();
            }
        }
        let left = |verdict: &Verdict| {
            let of = |at: usize| (verdict.limits[at].remaining.get(), verdict.limits[at].degraded);
            (verdict.allowed, of(0), of(1))
        };
        // The bucket is counted here from now on, from its beginning.
        assert_eq!(left(&check(&replica, "/").await), (true, (99, true), (1, false)));
        assert_eq!(left(&check(&replica, "/").await), (true, (98, true), (0, false)));
        for _ in 0..3 {
            assert_eq!(left(&check(&replica, "/").await), (false, (98, true), (0, false)));
        }
    });
}

#[test]
fn a_peek_answers_what_a_check_would_and_takes_nothing() {
    const LIMITS: &str = "
rate_limits:
  default: { key: tenant_id, limit: 50, window: 1h }
  few: { match: GET /few, key: tenant_id, limit: 1, window: 1h }
  bucket: { algorithm: token_bucket, limit: 40, window: 1h, cost: 3 }
  aligned: { algorithm: fixed_window, limit: 45, window: 1d, cost: 2 }
  trial: { limit: 1, window: 1h, cost: 2, mode: shadow }
  open: { limit: 30, window: 1h, on_store_failure: allow }
  closed: { match: GET /closed, limit: 30, window: 1h, on_store_failure: deny }
";
    let told = |verdict: &Verdict| {
        let each = verdict.limits.iter().map(|l| (l.allowed, l.remaining.get(), l.degraded));
        let limits: Vec<_> = each.collect();
        (verdict.allowed, verdict.reason, verdict.binding, verdict.remaining(), limits)
    };
    run(async {
        let server = ValkeyServer::start(&[]);
        let counted = replica(LIMITS, store(server.port(), PATIENCE), 1, Some(0));
        let memory = Store::Memory(Arc::new(Memory::new(1_000)));
        let memory = replica(LIMITS, memory, 1, Some(0));
        // Nobody listens on port 1.
        let degraded = replica(LIMITS, store(1, Duration::from_millis(50)), 1, Some(0));
        for limiter in [counted, memory, degraded] {
            let first = peek(&limiter, "/few").await;
            assert_eq!((first.allowed, first.limit_name()), (true, Some("few")), "{first:?}");
            assert_eq!(first.remaining().map(Tokens::get), Some(0), "{first:?}");
            for path in ["/few", "/few", "/closed", "/other"] {
                let peeked = peek(&limiter, path).await;
                assert_eq!(told(&peek(&limiter, path).await), told(&peeked));
                assert_eq!(told(&check(&limiter, path).await), told(&peeked), "{path}");
            }
        }
    });
}
