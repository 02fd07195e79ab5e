//! What each replica may pass while the store does not answer (G14).

use sluicegate_limits::counter::Terms;
use sluicegate_limits::policy::{Limit, Policy};
use sluicegate_limits::time::{Micros, Timestamp};

use crate::policy;

const NOW: Timestamp = Timestamp::new(1_700_000_000_000_000);

fn one(algorithm: &str, limit: u64, window: &str, burst: Option<u64>) -> Policy {
    let burst = burst.map(|burst| format!(", burst: {burst}")).unwrap_or_default();
    policy(&format!(
        "rate_limits:\n  a: {{ algorithm: {algorithm}, limit: {limit}, window: {window}{burst} }}"
    ))
}

fn capacity(terms: &Terms) -> u64 {
    terms.capacity().get()
}

/// Tokens that come back in one window, rounded up.
fn refill(terms: &Terms, window: Micros) -> u128 {
    let Terms::TokenBucket { rate, .. } = terms else { panic!("not a bucket") };
    let whole = u128::from(window.get()) * u128::from(rate.tokens);
    whole.div_ceil(u128::from(rate.ticks) * u128::from(rate.tick.get()))
}

fn shares(limit: &Limit, hash: [u8; 16], replicas: u32) -> Vec<Terms> {
    (0..replicas)
        .map(|rank| limit.share(&limit.numbers, &hash, Some(rank), replicas, NOW))
        .collect()
}

#[test]
fn the_shares_of_all_replicas_sum_to_the_limit() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let limits = [0, 1, 2, 3, 7, 15, 16, 17, 60, 999, 1_200, 1_000_000_000_000_000];
    for algorithm in ["sliding_window", "fixed_window"] {
        for limit in limits {
            let policy = one(algorithm, limit, "1m", None);
            for replicas in 1..=16 {
                let hash = rng.u128(..).to_le_bytes();
                let shares = shares(&policy.limits()[0], hash, replicas);
                let sum: u64 = shares.iter().map(capacity).sum();
                assert_eq!(sum, limit, "{algorithm}, {limit} over {replicas}");
                let unranked = policy.limits()[0].share(
                    &policy.limits()[0].numbers,
                    &hash,
                    None,
                    replicas,
                    NOW,
                );
                assert_eq!(capacity(&unranked), limit / u64::from(replicas));
            }
        }
    }
}

#[test]
fn buckets_share_their_rate_and_their_burst() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..2_000 {
        let limit = rng.u64(16..10_000);
        let burst = rng.u64(16..100_000);
        let policy = one("token_bucket", limit, "1h", Some(burst));
        let replicas = rng.u32(1..=16);
        let shares = shares(&policy.limits()[0], rng.u128(..).to_le_bytes(), replicas);
        assert_eq!(shares.iter().map(capacity).sum::<u64>(), burst);
        let refilled: u128 = shares.iter().map(|terms| refill(terms, Micros::HOUR)).sum();
        assert_eq!(refilled, u128::from(limit), "{limit} over {replicas}");
    }
}

#[test]
fn a_share_of_nothing_passes_nothing() {
    let policy = one("token_bucket", 1, "1h", Some(100));
    let shares = shares(&policy.limits()[0], [0; 16], 4);
    let some: Vec<_> = shares.iter().filter(|terms| capacity(terms) > 0).collect();
    assert_eq!(some.len(), 1, "a replica without a part of the rate has no burst either");
    let Terms::TokenBucket { rate, .. } = shares[0] else { panic!("not a bucket") };
    assert!(rate.tokens > 0 && rate.ticks > 0, "nothing may divide by zero");
}

/// The whole can be counted exactly, a part of it cannot: it is rounded down, never up.
#[test]
fn a_share_that_cannot_be_counted_exactly_is_less() {
    let window = "366d";
    let micros = Micros::new(366 * Micros::DAY.get());
    // 2^52 / 31,622,400 s is 142,418,032.2: above it, only multiples of a divisor fit. Twice this
    // number is one, and the number itself is not.
    let limit = 2 * 200_000_033;
    let policy = one("token_bucket", limit, window, None);
    let mut inexact = 0;
    for replicas in 1..=16 {
        let shares = shares(&policy.limits()[0], [3; 16], replicas);
        assert_eq!(shares.iter().map(capacity).sum::<u64>(), limit);
        for terms in &shares {
            let refilled = refill(terms, micros);
            assert!(refilled <= u128::from(capacity(terms)));
            inexact += u32::from(refilled < u128::from(capacity(terms)));
        }
    }
    assert!(inexact > 0, "the test has to meet such a share");
}
