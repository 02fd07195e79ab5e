//! Requests in virtual time: a policy on counters of its own, each request at the instant that it
//! is given. What tests of limits and replays of recorded traffic run on.
//!
//! The same matching, charges and decision as a real request, without a clock and without a store.
//! Counters that equal fresh ones are forgotten now and then, so that memory is bounded by the
//! counters that count something, however many requests there are.

use std::collections::HashMap;
use std::fmt;

use crate::attributes::Attributes;
use crate::charge::{Intent, KeySecret, ask_all, merge_all};
use crate::counter::Counter;
use crate::decide::{Key, decide};
use crate::policy::Policy;
use crate::time::{Timestamp, Tokens};
use crate::verdict::Verdict;

/// Counters are first looked through for fresh ones when there are this many.
const FIRST_SWEEP: usize = 4_096;

/// A policy, its counters, and the instant that it has come to.
#[derive(Debug)]
pub struct Trial<'p> {
    policy: &'p Policy,
    secret: KeySecret,
    counters: HashMap<Key, Counter>,
    now: Timestamp,
    /// The number of counters at which fresh ones are forgotten.
    sweep_at: usize,
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
            counters: HashMap::new(),
            now: Timestamp::ZERO,
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
        self.come_to(at)?;
        let charges = self.policy.charges(attributes, cost, &self.secret, at);
        let check = ask_all(&charges, Intent::Check);
        // The charges were made for this very instant, so they cannot be stale.
        let outcome = decide(&mut self.counters, &check, at);
        let replies = outcome.map(|outcome| outcome.replies).unwrap_or_default();
        let replies = merge_all(&charges, replies);
        Ok(Verdict::of(&charges, &replies))
    }

    /// The instant that it has come to; 1970 before the first request.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// How many counters are kept.
    #[must_use]
    pub fn counters(&self) -> usize {
        self.counters.len()
    }

    fn come_to(&mut self, at: Timestamp) -> Result<(), TimeWentBack> {
        if at < self.now {
            return Err(TimeWentBack { at, now: self.now });
        }
        self.now = at;
        if self.counters.len() >= self.sweep_at {
            self.counters.retain(|_, counter| counter.fresh_at() > at);
            // Only when as many again have come: the cost of a sweep is spread over them.
            self.sweep_at = FIRST_SWEEP.max(self.counters.len().saturating_mul(2));
        }
        Ok(())
    }
}
