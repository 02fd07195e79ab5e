//! A counter: a ledger of what was taken, and the holds on top of it.

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
    /// Gives back the tokens held until `end`.
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
