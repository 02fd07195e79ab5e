//! Takes the charges of one request where they are counted: all of them, or none.
//!
//! Normally that is one call to the store. Limits that the store cannot answer for are moved off
//! it, one by one or all at once, until every limit has an answer.

use std::time::{Duration, Instant};

use sluicegate_limits::alert::alerts;
use sluicegate_limits::charge::{Charge, Charges, Intent, ask_all};
use sluicegate_limits::counter::{Op, Wait};
use sluicegate_limits::decide::{Ask, Check, Outcome, Reply, Stale};
use sluicegate_limits::invalid::InvalidRequest;
use sluicegate_limits::policy::{Mode, OnStoreFailure};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};
use sluicegate_limits::verdict::{Reason, Verdict};

use super::Limiter;
use super::backing::{Backing, Losses};
use crate::call::Grant;
use crate::clock;
use crate::settings::Replicas;
use crate::store::{StoreAnswer, StoreError};

/// How long what is taken here stays held at most while the store decides about the rest.
const HELD_MEANWHILE: Op =
    Op::Hold { lasting: Micros::new(10_000_000), quantum: Micros::MILLISECOND };

/// When a caller may try again a limit that stays closed while the store does not answer.
const CLOSED_WAIT: Micros = Micros::SECOND;

/// What became of the charges.
pub(super) struct Spent {
    pub(super) verdict: Verdict,
    pub(super) store_time: Duration,
    pub(super) grant: Option<Grant>,
}

/// What a request asks for, beside its charges.
#[derive(Clone, Copy)]
pub(super) struct Wish<'c> {
    pub(super) intent: Intent,
    /// The failure rule of limits that have none of their own.
    pub(super) otherwise: OnStoreFailure,
    pub(super) deadline: Option<Instant>,
    /// On whose account it is.
    pub(super) owner: Option<(&'static str, &'c str)>,
}

/// The charges of one request on their way.
pub(super) struct Way<'p> {
    pub(super) charges: Charges<'p>,
    /// The instant that the charges were computed for.
    now: Timestamp,
    /// The instant of the newest decision on them.
    pub(super) decided: Timestamp,
    /// Who answers for each charge.
    pub(super) backing: Vec<Backing>,
    pub(super) wish: Wish<'p>,
    store_time: Duration,
}

/// Why a round is made again.
enum Again {
    /// The store gave no answer.
    Failed(StoreError),
    /// The store lost its counters, so what it answered counts for nothing.
    Emptied,
}

impl From<StoreError> for Again {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl Spent {
    /// Nothing was asked of any counter.
    pub(super) const fn without_asking(verdict: Verdict) -> Self {
        Self { verdict, store_time: Duration::ZERO, grant: None }
    }

    pub(super) fn refused(reason: Reason) -> Self {
        Self::without_asking(Verdict::refused(reason))
    }
}

impl Limiter {
    /// Takes `charges`, which `charges_at` computes anew where the store's clock is in another
    /// window than this replica thought.
    pub(super) async fn spend<'p>(
        &self,
        charges: Charges<'p>,
        now: Timestamp,
        charges_at: impl Fn(Timestamp) -> Result<Charges<'p>, InvalidRequest>,
        wish: Wish<'p>,
    ) -> Spent {
        let losses = &self.shared.losses;
        let backing =
            charges.iter().map(|c| losses.backing(c.limit, wish.otherwise, now)).collect();
        let (decided, store_time) = (now, Duration::ZERO);
        let mut way = Way { charges, now, decided, backing, wish, store_time };
        let mut recomputed = false;
        loop {
            // Every further round moves a charge off the store, or computes new edges, once.
            match self.attempt(&mut way).await {
                Ok(replies) => {
                    let verdict = way.verdict(&replies);
                    let grant = verdict.allowed.then(|| self.grant(&way, &replies)).flatten();
                    return Spent { verdict, store_time: way.store_time, grant };
                }
                Err(Again::Emptied) => {}
                Err(Again::Failed(StoreError::Stale)) if !recomputed => {
                    recomputed = true;
                    way.now = self.store.now();
                    way.charges = match charges_at(way.now) {
                        Ok(charges) => charges,
                        Err(invalid) => return Spent::without_asking(Verdict::invalid(invalid)),
                    };
                }
                // That the caller has no time, or that there is too much to do, says nothing about
                // the store: what limits say for a failure would let anyone choose it.
                Err(Again::Failed(StoreError::Deadline | StoreError::Overloaded)) => {
                    let store_time = way.store_time;
                    return Spent { store_time, ..Spent::refused(Reason::Overloaded) };
                }
                Err(Again::Failed(StoreError::BadState { ask })) => {
                    way.leave_store(|index| index == ask);
                }
                Err(Again::Failed(_)) => way.leave_store(|_| true),
            }
        }
    }

    /// One round: everything is taken or denied, or the store gave no answer and nothing is taken.
    async fn attempt(&self, way: &mut Way<'_>) -> Result<Vec<Reply>, Again> {
        let intent = if way.is_closed() { Intent::Look } else { way.wish.intent };
        let at_store = way.asks(intent);
        let (at_store, local) = match (at_store.is_empty(), way.has_local()) {
            (false, false) => (self.ask_store(way, at_store).await?.replies, Vec::new()),
            (true, true) => (Vec::new(), self.ask_local(way, intent)),
            (true, false) => (Vec::new(), Vec::new()),
            (false, true) => self.ask_both(way, at_store, intent).await?,
        };
        Ok(way.merge(at_store, local))
    }

    async fn ask_store(&self, way: &mut Way<'_>, asks: Check) -> Result<Outcome, Again> {
        let (answer, took) = self.consult(asks, way.wish.deadline).await;
        way.store_time += took;
        let outcome = answer?;
        // What an emptied store lets pass would come on top of the share, for every check that was
        // on its way when it was noticed.
        if way.follow(&self.shared.losses) {
            return Err(Again::Emptied);
        }
        way.decided = outcome.now;
        Ok(outcome)
    }

    /// Asks the store, and takes note of what it tells about itself; answers how long it took.
    pub(super) async fn consult(
        &self,
        check: Check,
        deadline: Option<Instant>,
    ) -> (Result<Outcome, StoreError>, Duration) {
        let began = clock::instant();
        let answer = self.store.decide(check, deadline).await;
        let took = clock::instant().saturating_duration_since(began);
        self.shared.metrics.store.asked(&answer, took);
        let outcome = answer.map(|StoreAnswer { outcome, generation }| {
            if self.shared.losses.note(&self.seen, generation, outcome.now) {
                self.shared.metrics.store.generation_changed();
                tracing::error!(
                    generation = generation.get(),
                    "the store came back empty: limits up to 1 h run on the local share for one \
                     window, longer ones answer by on_store_failure until this replica restarts"
                );
            }
            outcome
        });
        (outcome, took)
    }

    /// Asks the counters here for this replica's parts.
    fn ask_local(&self, way: &mut Way<'_>, intent: Intent) -> Vec<Reply> {
        let now = self.store.now();
        let outcome = self.decide_here(&way.shares(intent, self, now), now);
        way.decided = outcome.now;
        outcome.replies
    }

    /// Decides on the counters here what was computed for `now`.
    pub(super) fn decide_here(&self, check: &Check, now: Timestamp) -> Outcome {
        let decided = self.shared.local.decide_on(check, || self.store.now());
        // Where a window ended twice meanwhile, the instant of its edges will do, and it fits them.
        let outcome = decided.or_else(|Stale| self.shared.local.decide(check, now));
        let closed = |Stale| Outcome { allowed: false, now, replies: vec![CLOSED; check.len()] };
        outcome.unwrap_or_else(closed)
    }

    /// This replica's part of a charge.
    pub(super) fn share<'p>(&self, charge: &Charge<'p>, now: Timestamp) -> Charge<'p> {
        let Replicas { count, rank } = self.shared.rules.replicas;
        let terms = charge.limit.share(&charge.numbers, &charge.key.hash, rank, count, now);
        Charge { terms, ..*charge }
    }

    /// Some charges are counted here and some in the store: the local ones are held while the
    /// store decides, then taken or given back, so that both sides take or neither.
    async fn ask_both(
        &self,
        way: &mut Way<'_>,
        mut at_store: Check,
        intent: Intent,
    ) -> Result<(Vec<Reply>, Vec<Reply>), Again> {
        let now = self.store.now();
        let asked = way.shares(intent, self, now);
        let meanwhile = |op| if op == Op::Take { HELD_MEANWHILE } else { op };
        let held = asked.iter().map(|ask| Ask { op: meanwhile(ask.op), ..*ask }).collect();
        let mut here = self.decide_here(&held, now);
        if !here.allowed {
            at_store.asks.iter_mut().for_each(|ask| ask.op = Op::Look);
        }
        let there = self.ask_store(way, at_store).await;
        let passes = there.as_ref().is_ok_and(|there| there.allowed);
        for (ask, reply) in asked.iter().zip(&mut here.replies) {
            self.end_meanwhile(ask, reply, passes);
        }
        Ok((there?.replies, here.replies))
    }

    /// Takes what was held here meanwhile, or gives it back; what was asked to be held stays so.
    fn end_meanwhile(&self, ask: &Ask, reply: &mut Reply, passes: bool) {
        let (end, held) = (std::mem::take(&mut reply.end), ask.tokens);
        let op = match ask.op {
            _ if end == Timestamp::ZERO => return,
            Op::Take if passes => Op::Settle { end, held },
            _ if passes => {
                reply.end = end;
                return;
            }
            _ => Op::Release { end },
        };
        let ended = Check::from(vec![Ask { op, ..*ask }]);
        let ended = self.shared.local.decide_on(&ended, || self.store.now());
        // Where the window is over by now, the hold went with it.
        if let Some(ended) = ended.ok().and_then(|ended| ended.replies.first().copied()) {
            (reply.left, reply.full_in) = (ended.left, ended.full_in);
        }
    }
}

impl Way<'_> {
    /// Whether a limit that must not open has nobody to answer for it.
    fn is_closed(&self) -> bool {
        let mut each = self.charges.iter().zip(&self.backing);
        each.any(|(charge, backing)| *backing == Backing::Closed && enforces(charge))
    }

    fn has_local(&self) -> bool {
        self.backing.contains(&Backing::Local)
    }

    fn backed_by(&self, wanted: Backing) -> impl Iterator<Item = &Charge<'_>> {
        let each = self.charges.iter().zip(&self.backing);
        each.filter(move |(_, backing)| **backing == wanted).map(|(charge, _)| charge)
    }

    /// What the store is asked.
    fn asks(&self, intent: Intent) -> Check {
        ask_all(self.backed_by(Backing::Store), intent)
    }

    /// What the counters here are asked, at `now`.
    fn shares(&self, intent: Intent, limiter: &Limiter, now: Timestamp) -> Check {
        let local = self.backed_by(Backing::Local);
        local.flat_map(|charge| limiter.share(charge, now).asks(intent)).collect()
    }

    /// Moves the charges off the store that it does not answer for since it was found emptied;
    /// answers whether there are any.
    fn follow(&mut self, losses: &Losses) -> bool {
        let mut moved = false;
        for (charge, backing) in self.charges.iter().zip(&mut self.backing) {
            if *backing == Backing::Store {
                *backing = losses.backing(charge.limit, self.wish.otherwise, self.now);
                moved |= *backing != Backing::Store;
            }
        }
        moved
    }

    /// Moves the charges of those asks of the store to what their limits say for a failure; all
    /// of them where none is meant, so that a round always makes progress.
    fn leave_store(&mut self, meant: impl Fn(usize) -> bool) {
        let any = (0..self.asks(self.wish.intent).len()).any(&meant);
        let each = self.charges.iter().zip(&mut self.backing);
        let mut first = 0;
        for (charge, backing) in each.filter(|(_, backing)| **backing == Backing::Store) {
            let next = first + charge.asks(self.wish.intent).count();
            if !any || (first..next).any(&meant) {
                *backing = Backing::without_store(charge.limit, self.wish.otherwise);
            }
            first = next;
        }
    }

    /// The replies in the order of the charges, one for each.
    fn merge(&self, at_store: Vec<Reply>, local: Vec<Reply>) -> Vec<Reply> {
        let (mut at_store, mut local) = (at_store.into_iter(), local.into_iter());
        let each = self.charges.iter().zip(&self.backing);
        each.filter_map(|(charge, backing)| match backing {
            Backing::Store => charge.merge(&mut at_store),
            Backing::Local => charge.merge(&mut local),
            Backing::Open => Some(open(charge)),
            Backing::Closed => Some(CLOSED),
        })
        .collect()
    }

    /// The replies to a look that would pass, with what would be left if it had taken.
    fn as_if_taken(&self, replies: &[Reply]) -> Vec<Reply> {
        let each = self.charges.iter().zip(&self.backing).zip(replies);
        each.map(|((charge, backing), reply)| {
            // A shadow limit that would deny is not charged, nor is one that nobody counts.
            let counted = matches!(backing, Backing::Store | Backing::Local);
            let taken = if counted && reply.allowed { charge.tokens } else { Tokens::ZERO };
            Reply { left: Tokens::new(reply.left.get().saturating_sub(taken.get())), ..*reply }
        })
        .collect()
    }

    fn verdict(&self, replies: &[Reply]) -> Verdict {
        let mut verdict = Verdict::of(&self.charges, replies);
        if self.wish.intent == Intent::Look && verdict.allowed {
            verdict = Verdict::of(&self.charges, &self.as_if_taken(replies));
        }
        for (limit, backing) in verdict.limits.iter_mut().zip(&self.backing) {
            limit.degraded = *backing != Backing::Store;
            verdict.degraded |= limit.degraded;
        }
        let each = self.backing.iter().zip(&self.charges).zip(replies);
        // What is counted here is only this replica's part of a quota.
        let at_store = each.filter(|((backing, _), _)| **backing == Backing::Store);
        let crossed = at_store.flat_map(|((_, charge), reply)| {
            alerts(charge.limit, &charge.numbers, &charge.terms, reply, self.now)
        });
        verdict.alerts = crossed.collect();
        if self.is_closed() {
            let closed = |index| self.backing.get(index) == Some(&Backing::Closed);
            verdict.close(Reason::StoreUnavailable, closed);
        }
        verdict
    }
}

fn enforces(charge: &Charge<'_>) -> bool {
    charge.limit.mode == Mode::Enforce
}

fn open(charge: &Charge<'_>) -> Reply {
    Reply::bare(true, charge.numbers.capacity(), Wait::None)
}

const CLOSED: Reply = Reply::bare(false, Tokens::ZERO, Wait::For(CLOSED_WAIT));
