//! What the benches have in common: keys, terms and asks.

pub mod policies;

use sluicegate_limits::counter::{Op, Rate, Terms};
use sluicegate_limits::decide::{Ask, Key};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

/// How many keys a bench of many keys has; few where speed is not the question.
pub const KEYS: u64 = if cfg!(debug_assertions) { 1_000 } else { 1_000_000 };
/// The limit of all benches but those that deny, per minute: nothing reaches it.
pub const PLENTY: Tokens = Tokens::new(1 << 40);

/// The algorithms, by the names that the limits files give them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// A token bucket.
    TokenBucket,
    /// A strict sliding window.
    SlidingWindow,
    /// A window between fixed edges.
    FixedWindow,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::TokenBucket, Self::SlidingWindow, Self::FixedWindow];

    /// The name in the limits files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TokenBucket => "token_bucket",
            Self::SlidingWindow => "sliding_window",
            Self::FixedWindow => "fixed_window",
        }
    }

    /// Terms of `limit` a minute.
    #[must_use]
    pub const fn terms(self, limit: Tokens) -> Terms {
        match self {
            Self::TokenBucket => {
                let rate = Rate { tick: Micros::MILLISECOND, tokens: 1, ticks: 50 };
                Terms::TokenBucket { rate, burst: limit }
            }
            Self::SlidingWindow => Terms::SlidingWindow { limit, window: Micros::MINUTE },
            Self::FixedWindow => {
                // One window without end: crossing an edge is not what is measured.
                let end = Timestamp::MAX.before(Micros::DAY);
                let edges = [Timestamp::ZERO, end, Timestamp::MAX];
                Terms::AlignedWindow { limit, edges }
            }
        }
    }
}

/// An ask of one token on the counter with this number.
#[must_use]
pub const fn ask(number: u64, terms: Terms) -> Ask {
    Ask {
        key: Key { partition: 0, hash: hash(number).to_le_bytes() },
        limit_id: 7,
        max_keys: u64::MAX,
        terms,
        op: Op::Take,
        tokens: Tokens::ONE,
        shadow: false,
        horizon: Micros::new(10_625_000),
    }
}

/// Spreads numbers over 128 bits: the multiplier is odd, so different numbers stay different.
#[must_use]
pub const fn hash(number: u64) -> u128 {
    let spread = (number as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    spread ^ (spread >> 64)
}

/// The text a caller would use for a key: what a limiter with string keys has to hash.
#[must_use]
pub fn text(number: u64) -> String {
    format!("tenant_id=tenant-{number:08}")
}

/// A run of numbers below [`KEYS`], the same in each run of a bench.
#[derive(Clone, Debug)]
pub struct Numbers(fastrand::Rng);

impl Default for Numbers {
    fn default() -> Self {
        Self(fastrand::Rng::with_seed(4))
    }
}

impl Iterator for Numbers {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        Some(self.0.u64(..KEYS))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn different_numbers_are_different_keys() {
        let keys: HashSet<Key> =
            (0..10_000).map(|n| ask(n, Algorithm::TokenBucket.terms(PLENTY)).key).collect();
        assert_eq!(keys.len(), 10_000);
    }
}
