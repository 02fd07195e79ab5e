//! The all-or-nothing decision over the charges of one check.

use crate::counter::{Op, Terms, Wait};
use crate::time::{Micros, Timestamp, Tokens};

/// The name of one counter, the same on every replica: where it lives and which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The cluster partition, a function of the counter's first key attribute alone.
    pub partition: u8,
    /// A keyed 128-bit hash of limit name, key attribute names and values.
    pub hash: [u8; 16],
}

/// What one charge asks of one counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The counter.
    pub key: Key,
    /// Which limit the counter belongs to: a hash of the limit's name. Bounds keys per limit.
    pub limit_id: u64,
    /// How many counters of this limit the embedded store may keep.
    pub max_keys: u64,
    /// The arithmetic.
    pub terms: Terms,
    /// What to do with it.
    pub op: Op,
    /// How many tokens the operation is about.
    pub tokens: Tokens,
    /// A shadow charge never denies, and is taken only where it would itself allow.
    pub shadow: bool,
    /// No hold of this counter ends later than this from now; a later end is a backward step of
    /// the clock and is cut (G15). It is the longest hold plus a sixteenth of it.
    pub horizon: Micros,
}

/// The charges of one request: all of them are taken, or none.
pub type Check = Vec<Ask>;

/// What the store answers for one charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Whether this charge alone would pass.
    pub allowed: bool,
    /// Tokens left after this check: after the charge where it was taken.
    pub left: Tokens,
    /// How long until the same charge would pass, if nobody else takes.
    pub wait: Wait,
    /// How long until every token is back, if nobody takes.
    pub full_in: Micros,
    /// The end of the hold that was granted or extended; zero otherwise.
    pub end: Timestamp,
}

/// What the store answers for one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the request passes: every charge that is not a shadow allowed.
    pub allowed: bool,
    /// The instant of the decision on the store's clock.
    pub now: Timestamp,
    /// One reply for each ask, in the same order.
    pub replies: Vec<Reply>,
}
