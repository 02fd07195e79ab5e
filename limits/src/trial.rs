//! Requests in virtual time: a policy on counters of its own, each request at the instant that it
//! is given. What tests of limits and replays of recorded traffic run on.
//!
//! The same matching, charges and decision as a real request, without a clock. Counters that equal
//! fresh ones are forgotten now and then, and there is a most of those that count something, as in
//! the store of a process: beyond it keys share counters, which denies more and never less. So
//! memory is bounded however many requests and keys there are.

use std::fmt;

use crate::attributes::Attributes;
use crate::charge::{Charge, Ending, Intent, KeySecret, ask_all, merge_all};
use crate::counter::Op;
use crate::decide::{Ask, Check, Key};
use crate::memory::Memory;
use crate::policy::Policy;
use crate::policy::units::MAX_HOLD;
use crate::time::{Timestamp, Tokens};
use crate::verdict::Verdict;

/// How many counters a trial keeps unless it is told another number: about 200 MB of most kinds.
pub const MAX_COUNTERS: usize = 1_000_000;
/// Counters are first looked through for fresh ones when there are this many.
const FIRST_SWEEP: usize = 4_096;

/// A policy, its counters, and the instant that it has come to.
pub struct Trial<'p> {
    policy: &'p Policy,
    secret: KeySecret,
    store: Memory,
    max_counters: usize,
    now: Timestamp,
    /// How many requests held something: names their records.
    held: u64,
    /// The number of counters at which fresh ones are forgotten.
    sweep_at: usize,
    /// How many calls must come before that, so that the cost of a sweep is spread over them.
    calls_to_sweep: usize,
}

/// What a request that passed holds, until it says what became of it.
#[derive(Clone, Debug)]
pub struct Held<'p> {
    id: Key,
    /// What is held of each limit, and until when.
    parts: Vec<(Charge<'p>, Timestamp)>,
}

/// A request was given at an instant before that of the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeWentBack {
    /// The instant that was given.
    pub at: Timestamp,
    /// The instant that the trial has come to.
    pub now: Timestamp,
}

impl fmt::Display for TimeWentBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let back = self.now.since(self.at);
        write!(f, "the instant is {back} µs before that of the request before it")
    }
}

impl std::error::Error for TimeWentBack {}

impl<'p> Trial<'p> {
    /// A trial in which nothing has happened yet.
    #[must_use]
    pub fn new(policy: &'p Policy) -> Self {
        Self::bounded(policy, MAX_COUNTERS)
    }

    /// A trial that keeps at most so many counters, besides 1,024 shared ones for each limit.
    #[must_use]
    pub fn bounded(policy: &'p Policy, max_counters: usize) -> Self {
        let store = Memory::new(max_counters);
        store.set_families(policy.families());
        Self {
            policy,
            secret: KeySecret::offline(),
            store,
            max_counters,
            now: Timestamp::ZERO,
            held: 0,
            sweep_at: FIRST_SWEEP.min(max_counters),
            calls_to_sweep: 0,
        }
    }

    /// Decides a request at an instant, and takes what it costs where it passes. `cost` is what
    /// the caller states, in tokens.
    ///
    /// # Errors
    /// An instant before that of an earlier request; nothing happens then.
    pub fn check(
        &mut self,
        at: Timestamp,
        attributes: &Attributes,
        cost: Option<Tokens>,
    ) -> Result<Verdict, TimeWentBack> {
        self.ask(at, attributes, cost, Intent::Check).map(|(verdict, _)| verdict)
    }

    /// Decides a request that wants what `intent` says. One that passes and asked for it gets what
    /// it holds, which may be nothing.
    ///
    /// # Errors
    /// An instant before that of an earlier request; nothing happens then.
    pub fn ask(
        &mut self,
        at: Timestamp,
        attributes: &Attributes,
        cost: Option<Tokens>,
        intent: Intent,
    ) -> Result<(Verdict, Option<Held<'p>>), TimeWentBack> {
        self.come_to(at)?;
        let charges = match self.policy.charges(attributes, cost, &self.secret, at) {
            Ok(charges) => charges,
            Err(invalid) => return Ok((Verdict::invalid(invalid), None)),
        };
        let mut check = ask_all(&charges, intent);
        // How many keys of one limit a process keeps is not what is on trial.
        check.asks.iter_mut().for_each(|ask| ask.max_keys = u64::MAX);
        // The charges were made for this very instant, so they cannot be stale.
        let outcome = self.store.decide(&check, at);
        let replies = outcome.map(|outcome| outcome.replies).unwrap_or_default();
        let replies = merge_all(&charges, replies);
        let verdict = Verdict::of(&charges, &replies);
        let wanted = matches!(intent, Intent::Hold { .. } | Intent::Reserve { .. });
        if !wanted || !verdict.allowed {
            return Ok((verdict, None));
        }
        let parts = charges.into_iter().zip(&replies).filter_map(|(charge, reply)| {
            let holds = charge.asks(intent).any(|ask| matches!(ask.op, Op::Hold { .. }));
            // A cost of nothing holds nothing; it can be settled for as long as any.
            let idle = holds && charge.tokens == Tokens::ZERO && reply.allowed;
            let end = if idle { at.after(MAX_HOLD) } else { reply.end };
            (end > Timestamp::ZERO).then_some((charge, end))
        });
        let parts = parts.collect();
        Ok((verdict, Some(self.holds(parts))))
    }

    /// Ends what a request holds, or moves its end. A repeat changes nothing and answers the same.
    /// `None` where it is too late, or where what was ended would go on.
    ///
    /// # Errors
    /// An instant before that of an earlier request; nothing happens then.
    pub fn end(
        &mut self,
        at: Timestamp,
        held: &Held<'p>,
        ending: Ending,
    ) -> Result<Option<Verdict>, TimeWentBack> {
        self.come_to(at)?;
        let (charges, asks) = held.asks(ending, at);
        let outcome = self.store.decide(&Check { asks, once: Some(held.id.into()) }, at);
        let outcome = outcome.ok().filter(|outcome| outcome.allowed);
        Ok(outcome.map(|outcome| Verdict::of(&charges, &outcome.replies)))
    }

    /// Gives back what a request holds. It cannot be repeated, so nothing is remembered of it.
    ///
    /// # Errors
    /// An instant before that of an earlier request; nothing happens then.
    pub fn release(&mut self, at: Timestamp, held: Held<'p>) -> Result<(), TimeWentBack> {
        self.come_to(at)?;
        let (_, asks) = held.asks(Ending::Release, at);
        // What has expired is back already.
        let _ = self.store.decide(&asks.into(), at);
        Ok(())
    }

    /// The instant that it has come to; 1970 before the first request.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// How many counters are kept.
    #[must_use]
    pub fn counters(&self) -> usize {
        self.store.len()
    }

    /// How many times a limit was asked for a key without a counter of its own, since as many were
    /// kept as may be: it shared one with other keys.
    #[must_use]
    pub fn shared(&self) -> u64 {
        self.store.overflowed()
    }

    fn holds(&mut self, parts: Vec<(Charge<'p>, Timestamp)>) -> Held<'p> {
        let partition = parts.first().map_or(0, |(charge, _)| charge.key.partition);
        self.held += 1;
        let hash = u128::from(self.held).to_le_bytes();
        Held { id: Key { partition, hash }, parts }
    }

    fn come_to(&mut self, at: Timestamp) -> Result<(), TimeWentBack> {
        if at < self.now {
            return Err(TimeWentBack { at, now: self.now });
        }
        self.now = at;
        self.calls_to_sweep = self.calls_to_sweep.saturating_sub(1);
        if self.store.len() >= self.sweep_at && self.calls_to_sweep == 0 {
            self.store.sweep(at);
            let kept = self.store.len();
            self.sweep_at = FIRST_SWEEP.max(kept.saturating_mul(2)).min(self.max_counters);
            self.calls_to_sweep = kept / 8;
        }
        Ok(())
    }
}

impl<'p> Held<'p> {
    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// What it is about at an instant, and what is asked to end it so.
    fn asks(&self, ending: Ending, at: Timestamp) -> (Vec<Charge<'p>>, Vec<Ask>) {
        let of_now = |&(charge, end): &(Charge<'p>, Timestamp)| {
            let charge = Charge { terms: charge.limit.terms(&charge.numbers, at), ..charge };
            (charge, Ask { max_keys: u64::MAX, ..charge.ask_end(ending, end) })
        };
        self.parts.iter().map(of_now).unzip()
    }
}
