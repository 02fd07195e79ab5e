//! Requests in virtual time: a policy on counters of its own, each request at the instant that it
//! is given. What tests of limits and replays of recorded traffic run on.
//!
//! The same matching, charges and decision as a real request, without a clock and without a store.
//! Counters that equal fresh ones are forgotten now and then, so that memory is bounded by the
//! counters that count something, however many requests there are.

use std::fmt;

use crate::attributes::Attributes;
use crate::charge::{Charge, Ending, Intent, KeySecret, ask_all, merge_all};
use crate::counter::Op;
use crate::decide::{Check, Key, Plain, Record, decide};
use crate::policy::Policy;
use crate::policy::units::MAX_HOLD;
use crate::time::{Timestamp, Tokens};
use crate::verdict::Verdict;

/// Counters are first looked through for fresh ones when there are this many.
const FIRST_SWEEP: usize = 4_096;

/// A policy, its counters, and the instant that it has come to.
#[derive(Debug)]
pub struct Trial<'p> {
    policy: &'p Policy,
    secret: KeySecret,
    store: Plain,
    now: Timestamp,
    /// How many requests held something: names their records.
    held: u64,
    /// The number of counters at which fresh ones are forgotten.
    sweep_at: usize,
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
        Self {
            policy,
            secret: KeySecret::offline(),
            store: Plain::default(),
            now: Timestamp::ZERO,
            held: 0,
            sweep_at: FIRST_SWEEP,
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
        let charges = self.policy.charges(attributes, cost, &self.secret, at);
        let check = ask_all(&charges, intent);
        // The charges were made for this very instant, so they cannot be stale.
        let outcome = decide(&mut self.store, &check, at);
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
        let parts = held.parts.iter().map(|&(charge, end)| {
            let terms = charge.limit.terms(&charge.numbers, at);
            (Charge { terms, ..charge }, end)
        });
        let parts: Vec<_> = parts.collect();
        let asks = parts.iter().map(|(charge, end)| charge.ask_end(ending, *end)).collect();
        let outcome = decide(&mut self.store, &Check { asks, once: Some(held.id) }, at);
        let outcome = outcome.ok().filter(|outcome| outcome.allowed);
        let charges: Vec<_> = parts.into_iter().map(|(charge, _)| charge).collect();
        Ok(outcome.map(|outcome| Verdict::of(&charges, &outcome.replies)))
    }

    /// The instant that it has come to; 1970 before the first request.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// How many counters are kept.
    #[must_use]
    pub fn counters(&self) -> usize {
        self.store.counters.len()
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
        if self.store.counters.len() + self.store.records.len() >= self.sweep_at {
            self.store.counters.retain(|_, counter| counter.fresh_at() > at);
            let lives =
                |record: &Option<_>| record.as_ref().is_some_and(|r: &Record| r.expires() > at);
            self.store.records.retain(|_, record| lives(record));
            // Only when as many again have come: the cost of a sweep is spread over them.
            let kept = self.store.counters.len() + self.store.records.len();
            self.sweep_at = FIRST_SWEEP.max(kept.saturating_mul(2));
        }
        Ok(())
    }
}
