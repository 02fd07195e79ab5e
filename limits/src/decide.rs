//! The all-or-nothing decision over the charges of one check.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::ops::Deref;

use crate::counter::{Counter, Op, Terms, Wait};
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// What is asked of each counter.
    pub asks: Vec<Ask>,
    /// Names the reservation that this extends or ends, which then happens once. `None` otherwise.
    pub once: Option<Key>,
}

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

/// The instant of the decision lies outside the edges of a charge; nothing was executed. The
/// caller computes the edges anew and asks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale;

/// Where counters are kept.
pub trait Counters {
    /// The counter of this ask, a fresh one where there is none.
    fn counter(&mut self, ask: &Ask) -> &mut Counter;
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

impl From<Vec<Ask>> for Check {
    fn from(asks: Vec<Ask>) -> Self {
        Self { asks, once: None }
    }
}

impl FromIterator<Ask> for Check {
    fn from_iter<I: IntoIterator<Item = Ask>>(asks: I) -> Self {
        asks.into_iter().collect::<Vec<_>>().into()
    }
}

impl Deref for Check {
    type Target = [Ask];

    fn deref(&self) -> &[Ask] {
        &self.asks
    }
}

impl<S: BuildHasher> Counters for HashMap<Key, Counter, S> {
    fn counter(&mut self, ask: &Ask) -> &mut Counter {
        self.entry(ask.key).or_default()
    }
}

/// Decides one check: every charge is taken, or none.
///
/// Asks on one counter are summed before deciding. A denial leaves every counter as it was, save
/// the re-booking after a backward step of the clock or a change of algorithm.
///
/// # Errors
/// [`Stale`] where `now` lies outside the edges of a charge; nothing is touched then.
pub fn decide(
    counters: &mut impl Counters,
    check: &[Ask],
    now: Timestamp,
) -> Result<Outcome, Stale> {
    if check.iter().any(|ask| ask.terms.is_stale(now)) {
        return Err(Stale);
    }
    let one = |ask| look(counters.counter(ask), ask, asked(check, ask), now);
    let mut replies: Vec<Reply> = check.iter().map(one).collect();
    let allowed = check.iter().zip(&replies).all(|(ask, reply)| reply.allowed || ask.shadow);
    if allowed {
        for (ask, reply) in check.iter().zip(&mut replies) {
            take(counters.counter(ask), ask, reply, now);
        }
    }
    for (ask, reply) in check.iter().zip(&mut replies) {
        tell(counters.counter(ask), ask, reply, now);
    }
    Ok(Outcome { allowed, now, replies })
}

/// Whether the ask fits, after the only write that a denial makes.
fn look(counter: &mut Counter, ask: &Ask, tokens: Tokens, now: Timestamp) -> Reply {
    counter.rebase(&ask.terms, ask.horizon, now);
    let mark = counter.mark(&ask.terms, &ask.op, tokens, now);
    let (left, full_in, end) = (Tokens::ZERO, Micros::ZERO, Timestamp::ZERO);
    Reply { allowed: mark.fits, left, wait: mark.wait, full_in, end }
}

/// Carries an ask of a check that passes out, where it fits itself.
fn take(counter: &mut Counter, ask: &Ask, reply: &mut Reply, now: Timestamp) {
    if reply.allowed {
        reply.end = counter.apply(&ask.terms, &ask.op, ask.tokens, now);
    }
}

/// Fills in what the counter has after the check.
fn tell(counter: &Counter, ask: &Ask, reply: &mut Reply, now: Timestamp) {
    (reply.left, reply.full_in) = counter.state(&ask.terms, now);
}

/// The tokens that this ask must find room for: all that the check asks of its counter.
fn asked(check: &[Ask], ask: &Ask) -> Tokens {
    if !ask.op.needs_room() {
        return ask.tokens;
    }
    check
        .iter()
        .filter(|other| other.key == ask.key && other.op.needs_room())
        .fold(Tokens::ZERO, |sum, other| sum.plus(other.tokens))
}
