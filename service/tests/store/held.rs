//! Reservations and holds over two replicas: one list of behaviours, run on every store.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use sluicegate::call::{Decision, Ending};
use sluicegate::limiter::Limiter;
use sluicegate::reservation::Seal;
use sluicegate::settings::Secret;
use sluicegate::store::Store;
use sluicegate_limits::counter::Wait;
use sluicegate_limits::memory::Memory;
use sluicegate_limits::time::{Micros, Tokens};
use sluicegate_limits::verdict::Reason;

use crate::replica::{end, hold, left, parts, policy, replica, reserve, seconds, settle, token};
use crate::server::settings;
use crate::valkey::ValkeyServer;
use crate::world::{PATIENCE, run, store};

/// Each behaviour has a path of its own, and so counters of its own.
const LIMITS: &str = r#"
rate_limits:
  elsewhere: { match: "GET /elsewhere", key: tenant_id, limit: 100, window: 1h }
  once: { match: "GET /once", key: tenant_id, limit: 1000, window: 1h }
  many: { match: "GET /many", key: tenant_id, limit: 100000, window: 1h }
  all_wide: { match: "GET /all", key: tenant_id, limit: 100, window: 1h }
  all_bucket: { match: "GET /all", key: tenant_id, algorithm: token_bucket, limit: 50, window: 1d }
  all_day: { match: "GET /all", key: tenant_id, algorithm: fixed_window, limit: 60, window: 1d }
  all_slots: { match: "GET /all", key: tenant_id, algorithm: concurrency, limit: 40, hold: 1m }
  all_own: { match: "GET /all", key: tenant_id, limit: 9, window: 1h, cost: 3 }
  all_trial: { match: "GET /all", key: tenant_id, limit: 5, window: 1h, mode: shadow }
  expires: { match: "GET /expires", key: tenant_id, limit: 100, window: 1h, hold: 1s }
  expires_slots: { match: "GET /expires", algorithm: concurrency, limit: 6, hold: 1s }
  longer: { match: "GET /longer", key: tenant_id, limit: 100, window: 1h }
  cancelled: { match: "GET /cancelled", key: tenant_id, limit: 100, window: 1h }
  over: { match: "GET /over", key: tenant_id, limit: 100, window: 1h }
  slots: { match: "GET /slots", key: tenant_id, algorithm: concurrency, limit: 4, hold: 1m }
  taken: { match: "GET /slots", key: tenant_id, limit: 100, window: 1h }
  crash: { match: "GET /crash", key: tenant_id, algorithm: concurrency, limit: 1, hold: 1s }
"#;

/// Runs the list on two replicas of one store.
async fn list(replicas: [Limiter; 2]) {
    let [one, other] = &replicas;
    what_one_replica_reserved_the_other_settles(one, other).await;
    a_repeat_answers_the_same_and_books_nothing(one, other).await;
    of_64_settlements_at_once_one_is_booked(one, other).await;
    several_limits_are_reserved_all_or_nothing(one, other).await;
    an_end_books_in_full_and_only_more_is_owed_then(one, other).await;
    an_extension_moves_the_end_and_the_token_stays(one, other).await;
    a_cancelled_reservation_gives_everything_back(one, other).await;
    what_it_did_cost_above_the_estimate_is_told_and_booked(one, other).await;
    the_fifth_of_four_slots_waits_for_the_first_to_end(one, other).await;
    a_slot_whose_holder_is_gone_is_free_at_its_end(one, other).await;
}

#[test]
fn memory_reserves() {
    run(async {
        let memory = Arc::new(Memory::new(1_000));
        let one = || replica(LIMITS, Store::Memory(Arc::clone(&memory)), 2, Some(0));
        list([one(), one()]).await;
    });
}

#[test]
fn valkey_reserves() {
    let server = ValkeyServer::start(&[]);
    run(async {
        let one = |rank| replica(LIMITS, store(server.port(), PATIENCE), 2, Some(rank));
        list([one(0), one(1)]).await;
    });
}

/// What a settlement tells, without what names the answer itself.
fn told(decision: &Decision) -> (bool, Option<Reason>, Vec<u64>, u64) {
    let left = decision.verdict.limits.iter().map(|limit| limit.remaining.get()).collect();
    let overrun = decision.grant.as_ref().map_or(0, |grant| grant.overrun.get());
    (decision.verdict.allowed, decision.verdict.reason, left, overrun)
}

/// Asks again and again until the answer is there; the end of patience is a failure.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let asking = async {
        loop {
            ticks.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("no {what} in time"))
}

async fn what_one_replica_reserved_the_other_settles(one: &Limiter, other: &Limiter) {
    let reserved = reserve(one, "/elsewhere", 60, seconds(60)).await;
    assert_eq!(reserved.verdict.remaining(), Some(Tokens::new(40)));
    assert!(!reserve(other, "/elsewhere", 41, seconds(60)).await.verdict.allowed);
    let settled = settle(other, &token(&reserved), 25).await;
    assert_eq!(told(&settled), (true, None, vec![75], 0));
    assert_eq!(left(one, "/elsewhere").await, [75]);
}

async fn a_repeat_answers_the_same_and_books_nothing(one: &Limiter, other: &Limiter) {
    let token = token(&reserve(one, "/once", 100, seconds(60)).await);
    let first = settle(one, &token, 30).await;
    assert_eq!(told(&first), (true, None, vec![970], 0));
    assert!(reserve(one, "/once", 7, seconds(60)).await.verdict.allowed);
    for limiter in [one, other, one] {
        assert_eq!(told(&settle(limiter, &token, 30).await), told(&first));
    }
    let released = end(other, &token, Ending::Release).await;
    assert!(released.verdict.allowed, "it has ended, which is what was asked for");
    let extended = end(other, &token, Ending::Extend { lasting: seconds(60) }).await;
    assert_eq!(extended.verdict.reason, Some(Reason::HoldExpired));
    assert_eq!(left(one, "/once").await, [963]);
}

async fn of_64_settlements_at_once_one_is_booked(one: &Limiter, other: &Limiter) {
    let token = token(&reserve(one, "/many", 1_000, seconds(60)).await);
    let all = (0..64).map(|n| settle(if n % 2 == 0 { one } else { other }, &token, 1_500));
    let all = join_all(all).await;
    assert!(all.iter().all(|decision| told(decision) == told(&all[0])));
    assert_eq!(told(&all[0]), (true, None, vec![98_500], 500));
    assert_eq!(left(other, "/many").await, [98_500]);
}

async fn several_limits_are_reserved_all_or_nothing(one: &Limiter, other: &Limiter) {
    // In the order of the file. The limit with a cost of its own counts that, so that what it has
    // left is seen after a further request.
    let fresh = [100, 50, 60, 40, 6, 5];
    assert_eq!(left(one, "/all").await, fresh);
    let denied = reserve(one, "/all", 45, seconds(60)).await;
    assert_eq!((denied.verdict.allowed, denied.verdict.limit_name()), (false, Some("all_slots")));
    assert!(denied.grant.is_none());
    assert_eq!(left(one, "/all").await, fresh, "what is denied holds nothing anywhere");
    let reserved = reserve(one, "/all", 30, seconds(60)).await;
    assert_eq!(left(other, "/all").await, [70, 20, 30, 10, 3, 5]);
    let settled = settle(other, &token(&reserved), 12).await;
    assert_eq!(told(&settled), (true, None, vec![88, 38, 48, 40, 6], 0));
    assert_eq!(left(one, "/all").await, [88, 38, 48, 40, 3, 5]);
    let cancelled = token(&reserve(one, "/all", 4, seconds(60)).await);
    assert_eq!(left(one, "/all").await, [84, 34, 44, 36, 0, 1], "the trial is held where it fits");
    assert!(settle(other, &cancelled, 0).await.verdict.allowed);
    assert_eq!(left(one, "/all").await, [88, 38, 48, 40, 3, 5]);
}

async fn an_end_books_in_full_and_only_more_is_owed_then(one: &Limiter, other: &Limiter) {
    let reserved = reserve(one, "/expires", 6, seconds(60)).await;
    let lasts = reserved.grant.as_ref().map_or(Micros::ZERO, |grant| grant.lasts);
    assert!(lasts >= seconds(1) && lasts < seconds(2), "no longer than the limit's hold: {lasts}");
    let again = until("free slot", async || {
        let again = reserve(other, "/expires", 1, seconds(1)).await;
        again.verdict.allowed.then_some(again)
    });
    let again = again.await;
    assert!(settle(one, &token(&again), 0).await.verdict.allowed);
    assert_eq!(left(one, "/expires").await, [94, 6], "booked in full, and the slots are free");
    let late = settle(one, &token(&reserved), 2).await;
    assert!(late.verdict.allowed);
    assert_eq!(left(one, "/expires").await, [94, 6], "nothing comes back after the end");
    let another = reserve(one, "/expires", 6, seconds(1)).await;
    until("free slot", async || {
        let free = left(other, "/expires").await;
        (free[1] == 6).then_some(())
    })
    .await;
    let late = settle(one, &token(&another), 10).await;
    assert_eq!(told(&late), (true, None, vec![84, 6], 4), "what is above is owed");
}

async fn an_extension_moves_the_end_and_the_token_stays(one: &Limiter, other: &Limiter) {
    let reserved = reserve(one, "/longer", 60, seconds(10)).await;
    let lasts = reserved.grant.as_ref().map_or(Micros::ZERO, |grant| grant.lasts);
    assert!(lasts >= seconds(10) && lasts < seconds(60), "{lasts}");
    let token = token(&reserved);
    for limiter in [other, one, other] {
        let extended = end(limiter, &token, Ending::Extend { lasting: seconds(250) }).await;
        let lasts = extended.grant.as_ref().map_or(Micros::ZERO, |grant| grant.lasts);
        assert!(extended.verdict.allowed, "{:?}", extended.verdict);
        assert!(lasts >= seconds(250) && lasts <= seconds(320), "{lasts}");
    }
    assert_eq!(left(one, "/longer").await, [40], "it is held once");
    let shorter = end(one, &token, Ending::Extend { lasting: seconds(1) }).await;
    let lasts = shorter.grant.as_ref().map_or(Micros::ZERO, |grant| grant.lasts);
    assert!(lasts >= seconds(200), "an end is never brought forward: {lasts}");
    let settled = settle(one, &token, 10).await;
    assert_eq!(told(&settled), (true, None, vec![90], 0));
}

async fn a_cancelled_reservation_gives_everything_back(one: &Limiter, other: &Limiter) {
    for ending in [Ending::Settle { actual: Tokens::ZERO }, Ending::Release] {
        let reserved = reserve(one, "/cancelled", 100, seconds(60)).await;
        assert_eq!(left(other, "/cancelled").await, [0]);
        assert!(end(other, &token(&reserved), ending).await.verdict.allowed);
        assert_eq!(left(other, "/cancelled").await, [100]);
    }
}

async fn what_it_did_cost_above_the_estimate_is_told_and_booked(one: &Limiter, other: &Limiter) {
    let reserved = reserve(one, "/over", 40, seconds(60)).await;
    let settled = settle(other, &token(&reserved), 250).await;
    assert_eq!(told(&settled), (true, None, vec![0], 210));
    let denied = reserve(one, "/over", 1, seconds(60)).await;
    assert!(!denied.verdict.allowed, "the debt is paid off first");
    // A reservation of nothing has an end all the same, and its cost is booked.
    let nothing = reserve(one, "/elsewhere", 0, seconds(60)).await;
    let settled = settle(other, &token(&nothing), 5).await;
    assert_eq!(told(&settled), (true, None, vec![70], 5));
}

async fn the_fifth_of_four_slots_waits_for_the_first_to_end(one: &Limiter, other: &Limiter) {
    let mut holds = Vec::new();
    for lasting in [10, 40, 50, 60] {
        holds.push(token(&hold(one, "/slots", seconds(lasting)).await));
    }
    let denied = hold(other, "/slots", seconds(60)).await;
    assert_eq!(denied.verdict.reason, Some(Reason::ConcurrencyExceeded), "{:?}", denied.verdict);
    let Some(Wait::For(wait)) = denied.verdict.retry_after() else {
        panic!("{:?}", denied.verdict)
    };
    assert!(wait > seconds(5) && wait < seconds(20), "the earliest end: {wait}");
    assert_eq!(left(one, "/slots").await, [0, 96], "a denial takes nothing beside");
    assert!(end(other, &holds[2], Ending::Release).await.verdict.allowed);
    let free = hold(one, "/slots", seconds(60)).await;
    assert!(free.verdict.allowed, "a slot that is given back is free at once");
    assert!(end(one, &holds[2], Ending::Release).await.verdict.allowed, "a repeat changes nothing");
    assert_eq!(
        left(one, "/slots").await,
        [0, 95],
        "what a hold took from others is not given back"
    );
}

async fn a_slot_whose_holder_is_gone_is_free_at_its_end(one: &Limiter, other: &Limiter) {
    assert!(hold(one, "/crash", seconds(60)).await.verdict.allowed);
    assert!(!hold(other, "/crash", seconds(60)).await.verdict.allowed);
    until("free slot", async || {
        hold(other, "/crash", seconds(60)).await.verdict.allowed.then_some(())
    })
    .await;
}

#[test]
fn ids_come_from_no_generator_that_can_be_seeded() {
    const LIMITS: &str = "rate_limits: { a: { key: tenant_id, limit: 100, window: 1h } }";
    run(async {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..3 {
            // Whoever learns the state of this generator knows what it gives next.
            fastrand::seed(7);
            let memory = Store::Memory(Arc::new(Memory::new(1_000)));
            let limiter = Limiter::new(parts(LIMITS, &settings()), memory);
            let reserved = reserve(&limiter, "/", 1, seconds(60)).await;
            let seal = Seal::new(&Secret::new(&[7; 32]));
            let process = seal.open(&token(&reserved)).unwrap().process;
            let reservation = reserved.grant.unwrap().id.as_u128();
            // What of a UUIDv7 is not its time, its version or its variant.
            let decision = reserved.id.as_u128() & (u128::from(u64::MAX) >> 2);
            assert_eq!(reserved.id.get_version_num(), 7);
            for id in [reservation, decision, u128::from(process)] {
                assert!(seen.insert(id), "{id:x} came twice");
            }
        }
    });
}

/// Reserves under one policy and settles under another.
async fn settled_under(before: &str, after: &str) -> (Decision, Vec<u64>) {
    let memory = Store::Memory(Arc::new(Memory::new(1_000)));
    let shared = parts(before, &settings());
    let limiter = Limiter::new(Arc::clone(&shared), memory);
    let reserved = reserve(&limiter, "/", 40, seconds(60)).await;
    let token = token(&reserved);
    let extended = end(&limiter, &token, Ending::Extend { lasting: seconds(120) }).await;
    assert!(extended.verdict.allowed);
    shared.set_policy(policy(after));
    let settled = settle(&limiter, &token, 15).await;
    let left = left(&limiter, "/").await;
    (settled, left)
}

#[test]
fn a_settlement_follows_the_policy_of_its_time() {
    const TWO: &str = "
rate_limits:
  a: { key: tenant_id, limit: 100, window: 1h }
  b: { key: tenant_id, limit: 100, window: 1h }
";
    run(async {
        let (settled, left) = settled_under(TWO, TWO).await;
        assert_eq!((told(&settled), left), ((true, None, vec![85, 85], 0), vec![85, 85]));

        let one = TWO.lines().filter(|line| !line.contains("a:")).collect::<Vec<_>>().join("\n");
        let (settled, left) = settled_under(TWO, &one).await;
        assert_eq!((told(&settled), left), ((true, None, vec![85], 0), vec![85]), "a is gone");

        let bucket = TWO.replace("b: {", "b: { algorithm: token_bucket,").replace("1h", "1d");
        let (settled, left) = settled_under(TWO, &bucket).await;
        assert_eq!((told(&settled), left), ((true, None, vec![85, 85], 0), vec![85, 85]));

        let lower =
            TWO.replace("b: { key: tenant_id, limit: 100", "b: { key: tenant_id, limit: 20");
        let (settled, left) = settled_under(TWO, &lower).await;
        assert_eq!((told(&settled), left), ((true, None, vec![85, 5], 0), vec![85, 5]));

        let off = TWO.replace("b: {", "b: { mode: disabled,");
        let (settled, left) = settled_under(TWO, &off).await;
        assert_eq!((settled.verdict.allowed, left), (true, vec![85]));
    });
}

#[test]
fn a_settlement_knows_the_numbers_of_the_tenant() {
    const OWN: &str = "
plans: { big: { limits: { a: { limit: 500 } } } }
tenants: { acme: { plan: big, limits: { b: { limit: 300, burst: 400 } } } }
rate_limits:
  a: { key: tenant_id, limit: 100, window: 1h }
  b: { key: tenant_id, algorithm: token_bucket, limit: 100, window: 1d }
";
    run(async {
        let (settled, left) = settled_under(OWN, OWN).await;
        assert_eq!((told(&settled), left), ((true, None, vec![485, 385], 0), vec![485, 385]));
        let numbers = settled.verdict.limits.iter().map(|limit| limit.limit.get());
        assert_eq!(numbers.collect::<Vec<_>>(), [500, 400]);
    });
}
