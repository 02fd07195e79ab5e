//! Callers that stop waiting before the store has had its time: nothing passes for that, and it
//! says nothing about the store.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use sluicegate::call::{Call, Ending, Method};
use sluicegate::clock;
use sluicegate::limiter::Limiter;
use sluicegate::store::{BreakerState, Store, StoreError};
use sluicegate_limits::memory::Memory;
use sluicegate_limits::time::Tokens;
use sluicegate_limits::verdict::{Reason, Verdict};

use crate::failures::{SHORT, counts, node};
use crate::proxy::Proxy;
use crate::replica::{call, call_of, left as left_of, replica, reserve, seconds, settle, token};
use crate::valkey::ValkeyServer;
use crate::world::{PATIENCE, answered, left, passes, run, store, take};

/// Less than the store has, and long enough that something is sent.
const HASTE: Duration = Duration::from_millis(30);

const LIMITS: &str = "
rate_limits:
  open: { match: GET /open, key: tenant_id, limit: 60, window: 1h, on_store_failure: allow }
  wide: { match: GET /wide, key: tenant_id, limit: 9999, window: 1h, on_store_failure: allow }
  few: { match: GET /few, key: tenant_id, limit: 5, window: 1h, on_store_failure: allow }
  shared: { match: GET /local, key: tenant_id, limit: 60, window: 1h }
  closed: { match: GET /closed, key: tenant_id, limit: 60, window: 1h, on_store_failure: deny }
";
const PATHS: [&str; 3] = ["/open", "/local", "/closed"];

async fn hasty(limiter: &Limiter, call: Call, within: Duration) -> Verdict {
    let deadline = Some(clock::instant() + within);
    limiter.check(Call { deadline, ..call }).await.verdict
}

/// How many of eight requests of another tenant pass a limit of five.
async fn passed_by_another(limiter: &Limiter) -> usize {
    let mut passed = 0;
    for _ in 0..8 {
        let verdict = limiter.check(call_of("globex", "/few", Method::Check)).await.verdict;
        assert!(!verdict.degraded, "{verdict:?}");
        passed += usize::from(verdict.allowed);
    }
    passed
}

#[test]
fn who_states_no_time_to_wait_passes_nothing_and_takes_the_store_from_nobody() {
    let server = ValkeyServer::start(&[]);
    run(async {
        let store = store(server.port(), PATIENCE);
        let limiter = replica(LIMITS, store.clone(), 1, Some(0));
        for within in [Duration::from_millis(2), Duration::from_nanos(1), Duration::ZERO] {
            for number in 0..200 {
                let path = PATHS[number % PATHS.len()];
                let verdict = hasty(&limiter, call(path, Method::Check), within).await;
                assert_eq!(verdict.reason, Some(Reason::Overloaded), "{path}");
            }
        }
        assert_eq!(counts(&store), (0, 0), "the store was not asked");
        assert_eq!(node(&store).breaker(), BreakerState::Closed);
        assert_eq!(passed_by_another(&limiter).await, 5);
    });
}

#[test]
fn with_the_embedded_store_only_a_deadline_that_is_past_ends_a_request() {
    run(async {
        let memory = Store::Memory(Arc::new(Memory::new(1_000)));
        let limiter = replica(LIMITS, memory, 1, Some(0));
        let expired = hasty(&limiter, call("/open", Method::Check), Duration::ZERO).await;
        assert_eq!(expired.reason, Some(Reason::Overloaded));
        let patient = hasty(&limiter, call("/open", Method::Check), PATIENCE).await;
        assert!(patient.allowed && patient.remaining() == Some(Tokens::new(59)), "{patient:?}");
    });
}

#[test]
fn a_store_slower_than_its_callers_but_not_than_its_time_is_used_on() {
    let server = ValkeyServer::start(&[]);
    let proxy = Proxy::to(server.port());
    run(async {
        let store = store(proxy.port(), PATIENCE);
        let limiter = replica(LIMITS, store.clone(), 1, Some(0));
        let token = token(&reserve(&limiter, "/local", 10, seconds(60)).await);
        assert_eq!(left_of(&limiter, "/open").await, [60]);
        proxy.keep_answers();
        for path in PATHS.into_iter().cycle().take(20) {
            let verdict = hasty(&limiter, call(path, Method::Check), HASTE).await;
            assert_eq!(verdict.reason, Some(Reason::Overloaded), "{path}");
        }
        let reservation = limiter.open(&token).expect("a token of ours");
        let deadline = Some(clock::instant() + HASTE);
        let ending = Ending::Settle { actual: Tokens::new(1) };
        let settling = Call { deadline, ..call("/", Method::Check) };
        let settled = limiter.end(settling, &reservation, ending).await;
        assert_eq!(settled.verdict.reason, Some(Reason::Overloaded));
        assert_eq!(node(&store).breaker(), BreakerState::Closed);
        proxy.let_answers_through();
        let left = left_of(&limiter, "/open").await;
        assert!([[59], [60]].contains(&[left[0]]), "only the first was on its way: {left:?}");
        assert!(settle(&limiter, &token, 1).await.verdict.allowed, "it may be asked again");
        assert_eq!(left_of(&limiter, "/local").await, [59]);
        assert_eq!(passed_by_another(&limiter).await, 5);
        assert_eq!(node(&store).breaker(), BreakerState::Closed);
    });
}

#[test]
fn what_the_script_finds_late_for_its_caller_debits_nothing_and_is_an_answer() {
    let server = ValkeyServer::start(&[]);
    run(async {
        let store = store(server.port(), PATIENCE);
        answered(&store, take(1, 100)).await;
        server.stop();
        for _ in 0..10 {
            let deadline = Some(clock::instant() + HASTE);
            let answer = store.decide(vec![take(1, 100)].into(), deadline).await;
            assert_eq!(answer, Err(StoreError::Deadline));
        }
        server.cont();
        assert_eq!(left(&store, 1, 100).await, 99, "the call under way was late");
        assert_eq!(node(&store).breaker(), BreakerState::Closed);
    });
}

#[test]
fn a_store_that_does_not_answer_in_its_time_is_left_alone_however_short_its_callers_wait() {
    let server = ValkeyServer::start(&[]);
    run(async {
        let store = store(server.port(), SHORT);
        answered(&store, take(1, 100)).await;
        server.stop();
        let until = clock::instant() + PATIENCE;
        while node(&store).breaker() == BreakerState::Closed {
            assert!(clock::instant() < until, "nobody notices that the store does not answer");
            let deadline = Some(clock::instant() + HASTE);
            let answer = store.decide(vec![take(1, 100)].into(), deadline).await;
            let ended = matches!(answer, Err(StoreError::Deadline | StoreError::Breaker));
            assert!(ended, "{answer:?}");
        }
        server.cont();
        assert_eq!(left(&store, 1, 100).await, 99, "what nobody waited for took nothing");
    });
}

#[test]
fn what_waits_too_long_behind_others_is_denied_while_the_store_answers() {
    // Ten calls of 128 checks in the time that each check waits, for 2,560 of them.
    const TIMEOUT: Duration = Duration::from_secs(2);
    const SLOW: Duration = Duration::from_millis(200);
    let server = ValkeyServer::start(&[]);
    let proxy = Proxy::to(server.port());
    run(async {
        let store = store(proxy.port(), TIMEOUT);
        assert_eq!(passes(&store, 9, 10).await, Ok(true));
        let limiter = replica(LIMITS, store.clone(), 1, Some(0));
        proxy.slow_down(SLOW);
        let all = (0..2_560).map(|_| limiter.check(call("/wide", Method::Check)));
        let verdicts: Vec<_> = join_all(all).await.into_iter().map(|d| d.verdict).collect();
        let count = |is: fn(&Verdict) -> bool| verdicts.iter().filter(|v| is(v)).count();
        let backed = count(|verdict| verdict.allowed && !verdict.degraded);
        let by_rule = count(|verdict| verdict.degraded);
        let overloaded = count(|verdict| verdict.reason == Some(Reason::Overloaded));
        assert_eq!(backed + by_rule + overloaded, 2_560);
        assert!(backed >= 128 && overloaded >= 1_024, "{backed}, {by_rule}, {overloaded}");
        // Nothing that never left this process answers by its rule.
        let sent = usize::try_from(node(&store).batched_checks()).unwrap() - 1;
        assert!(backed + by_rule <= sent, "{backed} and {by_rule} of {sent}");
        assert_eq!(node(&store).breaker(), BreakerState::Closed);
    });
}

#[test]
fn what_finds_no_place_to_wait_is_denied_whatever_its_limits_say() {
    let server = ValkeyServer::start(&[]);
    run(async {
        let limiter = replica(LIMITS, store(server.port(), PATIENCE), 1, Some(0));
        let at_once = || limiter.check(call("/open", Method::Check)).now_or_never();
        let reasons: Vec<_> = (0..4_200).filter_map(|_| at_once()).collect();
        assert_eq!(reasons.len(), 4_200 - 4_096);
        let overloaded = Some(Reason::Overloaded);
        assert!(reasons.iter().all(|decision| decision.verdict.reason == overloaded));
    });
}
