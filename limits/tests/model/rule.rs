//! A limit as the models see it: what must count, what may count, and the bound to audit.

use fastrand::Rng;
use sluicegate_limits::counter::{Rate, Terms};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

use crate::aligned::{self, Calendar};
use crate::ledger::Ledger;
use crate::{bucket, numbers, window};

/// The four algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Bucket,
    Window,
    Aligned,
    Concurrency,
}

/// All algorithms.
pub(crate) const ALL: [Algorithm; 4] =
    [Algorithm::Bucket, Algorithm::Window, Algorithm::Aligned, Algorithm::Concurrency];

/// The numbers of one limit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    Bucket { rate: Rate, burst: u64 },
    Window { limit: u64, window: u64 },
    Aligned { limit: u64, calendar: Calendar },
    Concurrency { limit: u64 },
}

impl Rule {
    /// A limit of any size.
    pub(crate) fn random(rng: &mut Rng, algorithm: Algorithm) -> Self {
        let (limit, window) = (numbers::limit(rng), numbers::window(rng));
        match algorithm {
            Algorithm::Bucket => {
                let (rate, burst) = numbers::bucket(rng);
                Self::Bucket { rate, burst }
            }
            Algorithm::Window => Self::Window { limit, window },
            Algorithm::Aligned => Self::Aligned { limit, calendar: Calendar { window } },
            Algorithm::Concurrency => Self::Concurrency { limit },
        }
    }

    /// What travels with a charge made at `now`.
    pub(crate) fn terms(self, now: u64) -> Terms {
        match self {
            Self::Bucket { rate, burst } => Terms::TokenBucket { rate, burst: Tokens::new(burst) },
            Self::Window { limit, window } => {
                Terms::SlidingWindow { limit: Tokens::new(limit), window: Micros::new(window) }
            }
            Self::Aligned { limit, calendar } => Terms::AlignedWindow {
                limit: Tokens::new(limit),
                edges: calendar.edges(now).map(Timestamp::new),
            },
            Self::Concurrency { limit } => Terms::Concurrency { limit: Tokens::new(limit) },
        }
    }

    /// The most tokens that can pass at once.
    pub(crate) fn capacity(self) -> u64 {
        match self {
            Self::Bucket { burst: limit, .. }
            | Self::Window { limit, .. }
            | Self::Aligned { limit, .. }
            | Self::Concurrency { limit } => limit,
        }
    }

    /// The same limit with another number.
    pub(crate) fn with_capacity(self, capacity: u64) -> Self {
        match self {
            Self::Bucket { rate, .. } => Self::Bucket { rate, burst: capacity },
            Self::Window { window, .. } => Self::Window { limit: capacity, window },
            Self::Aligned { calendar, .. } => Self::Aligned { limit: capacity, calendar },
            Self::Concurrency { .. } => Self::Concurrency { limit: capacity },
        }
    }

    /// The scale, in µs, on which things happen: the window, or the time to refill the burst.
    pub(crate) fn scale(self) -> u64 {
        match self {
            Self::Bucket { .. } => self.longest_refill().clamp(1_000, numbers::LONGEST_WINDOW),
            Self::Window { window, .. } => window,
            Self::Aligned { calendar, .. } => calendar.window,
            Self::Concurrency { .. } => 1_000_000,
        }
    }

    /// The longest that booked tokens take to come back, in µs, where there is no debt.
    pub(crate) fn longest_refill(self) -> u64 {
        match self {
            Self::Bucket { rate, burst } => {
                let ticks = u128::from(burst) * u128::from(rate.ticks) / u128::from(rate.tokens);
                (u64::try_from(ticks).unwrap() + 1) * rate.tick.get()
            }
            Self::Window { window, .. } => window,
            Self::Aligned { calendar, .. } => calendar.window + calendar.window / 8,
            Self::Concurrency { .. } => 0,
        }
    }

    /// How much longer a key waits after a step back, holds aside: a bucket counts the refill of a
    /// begun period anew, in which less than a window's tokens come back.
    pub(crate) fn longest_repeat(self) -> u64 {
        if let Self::Bucket { rate, .. } = self { rate.ticks * rate.tick.get() } else { 0 }
    }

    /// The step to which a wait is exact, in µs.
    pub(crate) fn step(self) -> u64 {
        if let Self::Bucket { rate, .. } = self { rate.tick.get() } else { 1 }
    }

    /// The end of a hold that would end at `end`: an aligned window ends its holds.
    pub(crate) fn hold_end(self, end: u64, now: u64) -> u64 {
        if let Self::Aligned { calendar, .. } = self {
            end.min(calendar.edges(now)[1])
        } else {
            end
        }
    }

    /// When the tokens of a hold that ended at `end` count as taken, if ever.
    pub(crate) fn booked_at(self, end: u64) -> Option<u64> {
        match self {
            Self::Bucket { .. } | Self::Window { .. } => Some(end),
            // The window that it was granted in: its end may be the edge itself.
            Self::Aligned { .. } => Some(end - 1),
            Self::Concurrency { .. } => None,
        }
    }

    /// The tokens that must count at `now`, without what is held.
    pub(crate) fn least_used(self, ledger: &Ledger, now: u64) -> u64 {
        let log = ledger.log();
        match self {
            Self::Bucket { rate, .. } => bucket::least_used(log, rate, now),
            Self::Window { window, .. } => window::least_used(log, window, now),
            Self::Aligned { calendar, .. } => aligned::used(log, calendar, now),
            Self::Concurrency { .. } => 0,
        }
    }

    /// The most tokens that may count at `now`, without what is held.
    pub(crate) fn most_used(self, ledger: &Ledger, now: u64) -> u64 {
        let log = ledger.log();
        match self {
            Self::Bucket { rate, .. } => bucket::most_used(log, rate, now),
            Self::Window { limit, window } => window::most_used(log, limit, window, now),
            Self::Aligned { calendar, .. } => aligned::used(log, calendar, now),
            Self::Concurrency { .. } => 0,
        }
    }

    /// The algorithm's guarantee, for every interval that ends with the last token spent.
    pub(crate) fn assert_bound(self, ledger: &Ledger) {
        let spent = ledger.spent();
        match self {
            Self::Bucket { rate, burst } => bucket::assert_bound(spent, rate, burst),
            Self::Window { limit, window } => window::assert_bound(spent, limit, window),
            Self::Aligned { limit, calendar } => aligned::assert_bound(spent, calendar, limit),
            Self::Concurrency { limit } => {
                let held = ledger.held();
                assert!(held <= limit, "{held} tokens live, limit {limit}");
            }
        }
    }
}
