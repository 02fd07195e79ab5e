//! The terms of a random limit: every algorithm, and numbers at the bounds of each.

use fastrand::Rng;
use sluicegate_limits::counter::{Rate, Terms};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

const DAY: u64 = 86_400_000_000;

/// Terms without edges.
#[derive(Clone, Copy)]
pub(super) enum Form {
    Fixed(Terms),
    Aligned {
        limit: u64,
        window: u64,
    },
    /// Windows of different lengths, as months and the days of a time zone are.
    Calendar {
        limit: u64,
        window: u64,
    },
}

impl Form {
    pub(super) fn random(rng: &mut Rng) -> Self {
        let limit = match rng.u32(0..10) {
            0 => 0,
            1..4 => rng.u64(1..10),
            4..6 => rng.u64(1..65),
            6..9 => rng.u64(65..5_000),
            _ => rng.u64(1..1_000_000_000_000_000),
        };
        let window = match rng.u32(0..4) {
            0 => rng.u64(1..1_000) * 1_000,
            1 => rng.u64(1..60) * 1_000_000,
            2 => rng.u64(1..60) * 60_000_000,
            _ => rng.u64(1..=366) * DAY,
        };
        let tokens = Tokens::new(limit);
        match rng.u32(0..5) {
            0 => Self::Fixed(match rate(limit, window) {
                Some(rate) => {
                    Terms::TokenBucket { rate, burst: Tokens::new(limit * rng.u64(1..3)) }
                }
                None => Terms::Concurrency { limit: tokens },
            }),
            1 => Self::Fixed(Terms::SlidingWindow { limit: tokens, window: Micros::new(window) }),
            2 => Self::Aligned { limit, window },
            3 => Self::Calendar { limit, window },
            _ => Self::Fixed(Terms::Concurrency { limit: tokens }),
        }
    }

    /// A penalty that is met often: few strikes, short blocks.
    pub(super) fn penalty(rng: &mut Rng) -> Self {
        let after = if rng.bool() { rng.u64(1..4) } else { rng.u64(1..=1_000_000) };
        let within = [1_000_000, 60_000_000, 366 * DAY, rng.u64(1..1_000_000)][rng.usize(0..4)];
        let block = [1_000_000, 7 * DAY, rng.u64(1..100_000_000)][rng.usize(0..3)];
        Self::Fixed(Terms::Penalty {
            after: Tokens::new(after),
            within: Micros::new(within),
            block: Micros::new(block),
        })
    }

    pub(super) fn terms(self, now: u64) -> Terms {
        match self {
            Self::Fixed(terms) => terms,
            Self::Aligned { limit, window } => {
                let start = now - now % window;
                aligned(limit, [start, start + window, start + 2 * window])
            }
            Self::Calendar { limit, window } => {
                let nominal = now / window;
                let number = if now < uneven(nominal, window) { nominal - 1 } else { nominal };
                aligned(limit, [0, 1, 2].map(|n| uneven(number + n, window)))
            }
        }
    }
}

fn aligned(limit: u64, edges: [u64; 3]) -> Terms {
    Terms::AlignedWindow { limit: Tokens::new(limit), edges: edges.map(Timestamp::new) }
}

/// When the window of this number begins: up to a half later than if all were of equal length.
fn uneven(number: u64, window: u64) -> u64 {
    let noise = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    number * window + noise % (window / 2 + 1)
}

/// The finest tick in which `limit` tokens a `window` µs are exact, as the compiler of limits
/// chooses it; none where refilling would take a hundred years or no tick fits.
fn rate(limit: u64, window: u64) -> Option<Rate> {
    let century = 100 * 366 * DAY;
    if limit == 0 || 2 * window > century {
        return None;
    }
    [1, 1_000, 1_000_000].into_iter().find_map(|tick| {
        let ticks = window.is_multiple_of(tick).then_some(window / tick)?;
        let common = gcd(limit, ticks);
        let (tokens, ticks) = (limit / common, ticks / common);
        let fits = u128::from(tokens) * u128::from(ticks) <= 1 << 52;
        fits.then_some(Rate { tick: Micros::new(tick), tokens, ticks })
    })
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
