//! How many tokens pass a limit, and the arithmetic that counts them.

use super::kinds::Algorithm;
use super::{Limit, rate};
use crate::counter::{Rate, Terms};
use crate::time::{Micros, Timestamp, Tokens};

/// How many tokens pass a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// Tokens that pass in one window.
    pub limit: Tokens,
    /// The most that a token bucket passes at once; `None` for other algorithms.
    pub burst: Option<Tokens>,
    /// The rate of a token bucket, computed once.
    pub(crate) rate: Rate,
}

impl Limit {
    /// The numbers that a plan or a tenant has of this limit, from their parts.
    #[must_use]
    pub fn own_numbers(&self, limit: Tokens, burst: Option<Tokens>) -> Numbers {
        let (_, rate) = rate::largest_fit(limit.get(), self.window);
        Numbers { limit, burst: burst.filter(|_| self.numbers.burst.is_some()), rate }
    }

    /// The arithmetic of this limit with these numbers at an instant.
    #[must_use]
    pub fn terms(&self, numbers: &Numbers, now: Timestamp) -> Terms {
        let (window, capacity) = (self.window, numbers.capacity());
        match self.algorithm {
            Algorithm::SlidingWindow => Terms::SlidingWindow { limit: capacity, window },
            Algorithm::TokenBucket => Terms::TokenBucket { rate: numbers.rate, burst: capacity },
            Algorithm::FixedWindow => {
                Terms::AlignedWindow { limit: capacity, edges: multiples(window, now) }
            }
            Algorithm::Calendar => {
                let edges = self.calendar.as_ref().map(|calendar| calendar.edges(now));
                let edges = edges.unwrap_or_else(|| multiples(window, now));
                Terms::AlignedWindow { limit: capacity, edges }
            }
            Algorithm::Concurrency => Terms::Concurrency { limit: capacity },
        }
    }

    /// This replica's part of the limit for one key, while the store does not answer (G14): the
    /// parts of all ranks sum to the limit. Without a rank, the limit divided and rounded down.
    /// A part of 0 denies everything.
    #[must_use]
    pub fn share(
        &self,
        numbers: &Numbers,
        hash: &[u8; 16],
        rank: Option<u32>,
        replicas: u32,
        now: Timestamp,
    ) -> Terms {
        let replicas = u64::from(replicas.max(1));
        // Which replicas get the remainder differs from key to key.
        let turn = rank.map_or(0, |rank| {
            let first = hash.first_chunk().copied().map_or(0, u64::from_le_bytes);
            (first % replicas + u64::from(rank) % replicas) % replicas
        });
        let part = |whole: Tokens| (whole.get() + turn) / replicas;
        let limit = part(numbers.limit);
        let capacity = if limit == 0 { 0 } else { part(numbers.capacity()) };
        // A part may not be countable exactly where the whole is: then less, never more.
        let (_, rate) = rate::largest_fit(limit, self.window);
        let burst = numbers.burst.map(|_| Tokens::new(capacity));
        self.terms(&Numbers { limit: Tokens::new(limit), burst, rate }, now)
    }
}

impl Numbers {
    /// The most tokens that can pass at once: the burst of a token bucket, else the limit.
    #[must_use]
    pub fn capacity(&self) -> Tokens {
        self.burst.unwrap_or(self.limit)
    }
}

/// The multiples of a window since 1970 around an instant.
pub(super) fn multiples(window: Micros, now: Timestamp) -> [Timestamp; 3] {
    let into = now.get().checked_rem(window.get()).unwrap_or(0);
    let start = now.before(Micros::new(into));
    let end = start.after(window);
    [start, end, end.after(window)]
}
