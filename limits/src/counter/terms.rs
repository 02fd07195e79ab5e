//! What is asked of one counter: the arithmetic and the operation, and how long a caller waits.

use super::token_bucket;
use crate::time::{Micros, Timestamp, Tokens};

/// A refill rate as whole ticks: `tokens` every `ticks` ticks, in lowest terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// The length of a tick: 1 µs, 1 ms or 1 s.
    pub tick: Micros,
    /// Tokens that come back in `ticks` ticks.
    pub tokens: u64,
    /// The ticks in which `tokens` come back. `tokens * ticks` is at most 2^52.
    pub ticks: u64,
}

/// All that the arithmetic of one counter needs; what travels to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Terms {
    /// Tokens come back at a steady rate, up to `burst`.
    TokenBucket {
        /// How fast tokens come back.
        rate: Rate,
        /// The most tokens that can pass at once.
        burst: Tokens,
    },
    /// No interval of length `window`, wherever it starts, passes more than `limit`.
    SlidingWindow {
        /// The most tokens in any window.
        limit: Tokens,
        /// The length of the window.
        window: Micros,
    },
    /// `limit` tokens between one edge and the next; the edges are instants.
    AlignedWindow {
        /// The most tokens between two edges.
        limit: Tokens,
        /// Start and end of the current window, and the end of the one after.
        edges: [Timestamp; 3],
    },
    /// At most `limit` tokens held at one time; nothing is booked when a hold ends.
    Concurrency {
        /// The most tokens held at once.
        limit: Tokens,
    },
    /// A key that was denied `after` times within a window is blocked. Only [`Op::Strike`] writes
    /// such a counter, and every other operation but [`Op::Reset`] looks whether it is blocked.
    Penalty {
        /// The strikes that block, at least 1.
        after: Tokens,
        /// The length of the window, whose edges are its multiples since 1970.
        within: Micros,
        /// How long a block lasts.
        block: Micros,
    },
}

/// What is done to a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Looks, and writes nothing.
    Look,
    /// Takes the tokens now.
    Take,
    /// Sets the tokens aside until now + `lasting`, rounded up to a multiple of `quantum`.
    Hold {
        /// How long the holder asked for.
        lasting: Micros,
        /// The grid of hold ends.
        quantum: Micros,
    },
    /// Moves the tokens held until `end` to a later end.
    Extend {
        /// The end they are held until.
        end: Timestamp,
        /// How long the holder asks for, from now.
        lasting: Micros,
        /// The grid of hold ends.
        quantum: Micros,
    },
    /// Gives back the tokens held until `end`, at most as many as all that end there.
    ///
    /// The end names a sum, not a holder. After a backward step of the store's clock the own hold
    /// may have been cut to another end or booked already, and what ends there may be another's.
    /// Then that many tokens at most are free too early, until that end; as many of the own stay
    /// counted instead. So a give-back across a backward step lets at most its tokens pass on top
    /// of the limit, in intervals that start within one longest hold after it. The same holds for
    /// settling.
    Release {
        /// The end they are held until.
        end: Timestamp,
    },
    /// Replaces `held` tokens held until `end` by the tokens of the charge, taken now.
    Settle {
        /// The end they are held until.
        end: Timestamp,
        /// How many were held.
        held: Tokens,
    },
    /// Forgets everything.
    Reset,
    /// Looks whether the key is blocked; where the check is denied, counts the denial of the ask
    /// just before it in the check. Only with [`Terms::Penalty`], and of one token.
    ///
    /// A strike is counted where it is not a shadow's, the key is not blocked, and the ask before
    /// it does not fit. A check that passes changes nothing. The reply to the strike that blocks
    /// still fits, and its wait is the block.
    Strike,
}

impl Rate {
    /// Whether fewer tokens come back in the same time.
    pub(crate) fn is_slower_than(&self, other: &Self) -> bool {
        let scaled = |one: &Self, other: &Self| {
            u128::from(one.tokens) * u128::from(other.ticks) * u128::from(other.tick.get())
        };
        scaled(self, other) < scaled(other, self)
    }
}

impl Terms {
    /// A bucket that refills at another rate, with as much of its burst as that brings back in
    /// 100 years; every other algorithm as it is.
    pub(crate) fn at_rate(self, rate: Rate) -> Self {
        match self {
            Self::TokenBucket { burst, .. } => {
                let most = Tokens::new(token_bucket::most_taken(&rate));
                Self::TokenBucket { rate, burst: burst.min(most) }
            }
            other => other,
        }
    }

    /// The tokens that a fresh counter lets through at once; of a penalty, the strikes that block.
    #[must_use]
    pub const fn capacity(&self) -> Tokens {
        match *self {
            Self::TokenBucket { burst, .. } => burst,
            Self::SlidingWindow { limit, .. }
            | Self::AlignedWindow { limit, .. }
            | Self::Concurrency { limit } => limit,
            Self::Penalty { after, .. } => after,
        }
    }

    /// Whether `now` lies outside the edges that came along.
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        match self {
            Self::AlignedWindow { edges: [start, _, last], .. } => now < *start || now >= *last,
            _ => false,
        }
    }
}

impl Op {
    /// Whether the operation needs room for its tokens.
    #[must_use]
    pub const fn needs_room(&self) -> bool {
        matches!(self, Self::Look | Self::Take | Self::Hold { .. })
    }
}

/// How long until a charge would pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wait {
    /// It passes now.
    None,
    /// It passes after this long, if nobody else takes.
    For(Micros),
    /// It can never pass: its cost is above the capacity.
    Never,
}

impl Wait {
    /// Whole milliseconds, rounded up so that nobody comes too early; `None` is *never*.
    #[must_use]
    pub const fn to_millis_up(self) -> Option<u64> {
        match self {
            Self::None => Some(0),
            Self::For(wait) => Some(wait.to_millis_up()),
            Self::Never => None,
        }
    }
}
