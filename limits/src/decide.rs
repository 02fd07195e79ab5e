//! The all-or-nothing decision over the charges of one check.

mod answer;
mod once;

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::ops::Deref;

use crate::counter::{Counter, Op, Terms, Wait};
use crate::time::{Micros, Timestamp, Tokens};

pub use answer::BadAnswer;
pub use once::{Record, SETTLE_GRACE};

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
    /// Which limit the counter belongs to: a hash of its counters' name. Bounds keys per limit.
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
    /// Names the reservation that this extends or ends, which then happens once; `None` otherwise.
    ///
    /// All asks of such a check are about holds that exist, in the order in which they were
    /// granted. An ask whose hold was of no tokens, and has no end, states the end that it would
    /// have had. By what the store remembers of the reservation:
    ///
    /// - It was settled or released: the answer of then again, and nothing is executed. To extend
    ///   it is refused.
    /// - It was extended: the ends of then stand for those that the asks name, one by one. Another
    ///   number of asks is refused.
    /// - The last of its holds ended [`SETTLE_GRACE`] ago or earlier: the check is refused.
    /// - Otherwise it is executed. Where it passes, the store remembers it until twice the grace
    ///   after the later of now and the last end; but not where nothing was held and nothing is
    ///   booked, which a repeat does not change.
    ///
    /// What is refused changes nothing, and every reply says *never* and nothing else.
    pub once: Option<Once>,
}

/// What happens once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Once {
    /// The name of its record.
    pub id: Key,
    /// On whose account a store remembers it whose room for records is bounded. 0 is nobody's in
    /// particular.
    pub owner: u64,
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
    /// Tokens booked in the current window of an aligned window before this check and after it, as
    /// they are stored: an expired hold is among them once a check wrote it. So over all checks of
    /// a window each number of tokens is passed once. Zeros for other algorithms.
    pub booked: [Tokens; 2],
    /// Whether a penalty blocks the key. Stores say false; it is for replies that were merged.
    pub blocked: bool,
}

/// The instant of the decision lies outside the edges of a charge; nothing was executed. The
/// caller computes the edges anew and asks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale;

/// Where counters are kept.
pub trait Counters {
    /// The counter of this ask, a fresh one where there is none.
    fn counter(&mut self, ask: &Ask) -> &mut Counter;

    /// The place of the record of a reservation. `None` where there is no room for one, or where
    /// none are kept, as here: what would happen once is refused then.
    fn record(&mut self, once: &Once) -> Option<&mut Option<Record>> {
        let _ = once;
        None
    }
}

/// Counters and records in plain maps: a store for tests and trials.
#[derive(Clone, Debug, Default)]
pub struct Plain {
    /// The counters.
    pub counters: HashMap<Key, Counter>,
    /// The records; `None` where a check looked for one and left none.
    pub records: HashMap<Key, Option<Record>>,
}

/// What the store answers for one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the request passes: every charge that is not a shadow allowed.
    pub allowed: bool,
    /// The instant of the decision on the store's clock.
    pub now: Timestamp,
    /// One reply for each ask, in the same order; for a repeat of what happens once, those of the
    /// first time.
    pub replies: Vec<Reply>,
}

impl Reply {
    /// A reply with a verdict and nothing else to tell.
    #[must_use]
    pub const fn bare(allowed: bool, left: Tokens, wait: Wait) -> Self {
        let (full_in, end, booked) = (Micros::ZERO, Timestamp::ZERO, [Tokens::ZERO; 2]);
        Self { allowed, left, wait, full_in, end, booked, blocked: false }
    }
}

impl From<Key> for Once {
    fn from(id: Key) -> Self {
        Self { id, owner: 0 }
    }
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

impl<const N: usize> From<[Ask; N]> for Check {
    fn from(asks: [Ask; N]) -> Self {
        asks.to_vec().into()
    }
}

impl Counters for Plain {
    fn counter(&mut self, ask: &Ask) -> &mut Counter {
        self.counters.counter(ask)
    }

    fn record(&mut self, once: &Once) -> Option<&mut Option<Record>> {
        Some(self.records.entry(once.id).or_default())
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
/// the strikes of penalties and the re-booking after a backward step of the clock or a change of
/// algorithm.
///
/// # Errors
/// [`Stale`] where `now` lies outside the edges of a charge; nothing is touched then.
pub fn decide(
    counters: &mut impl Counters,
    check: &Check,
    now: Timestamp,
) -> Result<Outcome, Stale> {
    match &check.once {
        None => decide_asks(counters, check, now),
        Some(once) => once::decide_once(counters, check, once, now),
    }
}

/// Decides asks that may be repeated.
pub(crate) fn decide_asks(
    counters: &mut impl Counters,
    asks: &[Ask],
    now: Timestamp,
) -> Result<Outcome, Stale> {
    if asks.iter().any(|ask| ask.terms.is_stale(now)) {
        return Err(Stale);
    }
    let one = |ask| look(counters.counter(ask), ask, asked(asks, ask), now);
    let mut replies: Vec<Reply> = asks.iter().map(one).collect();
    let allowed = asks.iter().zip(&replies).all(|(ask, reply)| reply.allowed || ask.shadow);
    if allowed {
        for (ask, reply) in asks.iter().zip(&mut replies) {
            take(counters.counter(ask), ask, reply, now);
        }
    } else {
        strike(counters, asks, &mut replies, now);
    }
    for (ask, reply) in asks.iter().zip(&mut replies) {
        tell(counters.counter(ask), ask, reply, now);
    }
    Ok(Outcome { allowed, now, replies })
}

/// Whether the ask fits, after the only write that a denial makes but for strikes.
fn look(counter: &mut Counter, ask: &Ask, tokens: Tokens, now: Timestamp) -> Reply {
    let booked = [counter.booked(now); 2];
    counter.rebase(&ask.terms, ask.horizon, now);
    let mark = counter.mark(&ask.terms, &ask.op, tokens, now);
    Reply { booked, ..Reply::bare(mark.fits, Tokens::ZERO, mark.wait) }
}

/// Carries an ask of a check that passes out, where it fits itself.
fn take(counter: &mut Counter, ask: &Ask, reply: &mut Reply, now: Timestamp) {
    if reply.allowed {
        reply.end = counter.apply(&ask.terms, &ask.op, ask.tokens, now);
    }
}

/// Counts the strikes of a check that is denied, each for the ask before it.
fn strike(counters: &mut impl Counters, asks: &[Ask], replies: &mut [Reply], now: Timestamp) {
    let mut denied = false;
    for (ask, reply) in asks.iter().zip(replies) {
        if ask.op == Op::Strike && denied && reply.allowed && !ask.shadow {
            reply.wait = counters.counter(ask).strike(&ask.terms, now);
        }
        denied = !reply.allowed;
    }
}

/// Fills in what the counter has after the check.
fn tell(counter: &Counter, ask: &Ask, reply: &mut Reply, now: Timestamp) {
    (reply.left, reply.full_in) = counter.state(&ask.terms, now);
    reply.booked = match ask.terms {
        Terms::AlignedWindow { .. } => [reply.booked[0], counter.booked(now)],
        _ => [Tokens::ZERO; 2],
    };
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
