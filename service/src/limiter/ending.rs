//! Ends what a reservation or a hold set aside, or moves its end: at every counter, once.

use std::time::{Duration, Instant};

use sluicegate_limits::alert::alerts;
use sluicegate_limits::charge::Charge;
use sluicegate_limits::counter::{Op, Terms};
use sluicegate_limits::decide::{Ask, Check, Key, Once, Outcome, Reply, SETTLE_GRACE};
use sluicegate_limits::policy::{Limit, Mode, Policy};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};
use sluicegate_limits::verdict::{Reason, Verdict};
use uuid::Uuid;

use super::spend::Spent;
use super::{InFlight, Limiter};
use crate::call::{Call, Decision, Ending, Grant, Method};
use crate::clock;
use crate::reservation::{Held, InvalidToken, Reservation};
use crate::store::StoreError;

/// What becomes of one reservation.
struct Way<'r> {
    reservation: &'r Reservation,
    ending: Ending,
    deadline: Option<Instant>,
    store_time: Duration,
}

/// What is held of one counter, and the limit that it belongs to.
struct Part<'r, 'p> {
    held: &'r Held,
    /// `None` where the policy has it no more, or its counter cannot be read.
    limit: Option<&'p Limit>,
    /// What its counter answered, and when.
    answer: Option<(Reply, Timestamp)>,
}

impl Limiter {
    /// What a caller's token says.
    ///
    /// # Errors
    /// [`InvalidToken`] where no replica with this key secret gave it.
    pub fn open(&self, token: &str) -> Result<Reservation, InvalidToken> {
        self.shared.secrets.seal.open(token)
    }

    /// Settles, extends or releases what was set aside, at all of its counters. A store ends it
    /// once and answers a repeat alike, so a caller that got no answer may ask again.
    pub async fn end(&self, call: Call, reservation: &Reservation, ending: Ending) -> Decision {
        let began = clock::instant();
        let (policy, call) = (self.policy(), Call { method: Method::End(ending), ..call });
        let (deadline, store_time) = (call.deadline, Duration::ZERO);
        let mut way = Way { reservation, ending, deadline, store_time };
        let spent = match InFlight::enter(&self.shared.in_flight) {
            Some(_place) => self.carry_out(&policy, &mut way).await,
            None => Spent::refused(Reason::Overloaded),
        };
        self.answer(&call, policy, spent, began)
    }

    /// First in the store, where a failure leaves everything to a repeat, then here. What another
    /// process holds is out of reach: it is booked there at its end.
    async fn carry_out(&self, policy: &Policy, way: &mut Way<'_>) -> Spent {
        let reservation = way.reservation;
        let part = |held| Part { held, limit: policy.limit(held.limit_id), answer: None };
        let all = |local| reservation.held.iter().filter(move |held| held.local == local);
        let mut at_store: Vec<_> = all(false).map(part).collect();
        let mut here: Vec<_> = all(true).map(part).collect();
        if reservation.process != self.shared.process {
            here.clear();
        }
        let mut result = self.end_at_store(way, &mut at_store).await;
        if result.is_ok() {
            result = self.end_here(way, &mut here);
        }
        at_store.append(&mut here);
        way.spent(&at_store, result)
    }

    async fn end_at_store(
        &self,
        way: &mut Way<'_>,
        parts: &mut [Part<'_, '_>],
    ) -> Result<(), Reason> {
        // Every further round computes new edges, once, or leaves a counter out that is not read.
        let mut recomputed = false;
        while !parts.is_empty() {
            let now = self.store.now();
            let asks = parts.iter().map(|part| part.ask(way, now, |charge| charge));
            let (answer, took) = self.consult(way.check(asks), way.deadline).await;
            way.store_time += took;
            match answer {
                Ok(outcome) => return way.note(parts, &outcome),
                Err(StoreError::Stale) if !recomputed => recomputed = true,
                Err(StoreError::BadState { ask }) => match parts.get_mut(ask) {
                    Some(part) if part.limit.is_some() => part.limit = None,
                    _ => return Err(Reason::StoreUnavailable),
                },
                Err(StoreError::Deadline | StoreError::Overloaded) => {
                    return Err(Reason::Overloaded);
                }
                Err(_) => return Err(Reason::StoreUnavailable),
            }
        }
        Ok(())
    }

    fn end_here(&self, way: &Way<'_>, parts: &mut [Part<'_, '_>]) -> Result<(), Reason> {
        if parts.is_empty() {
            return Ok(());
        }
        let now = self.store.now();
        let asks = parts.iter().map(|part| part.ask(way, now, |charge| self.share(&charge, now)));
        way.note(parts, &self.decide_here(&way.check(asks), now))
    }
}

impl Way<'_> {
    /// Notes what the counters answered.
    fn note(&self, parts: &mut [Part<'_, '_>], outcome: &Outcome) -> Result<(), Reason> {
        for (part, reply) in parts.iter_mut().zip(&outcome.replies) {
            part.answer = Some((*reply, outcome.now));
        }
        let extends = matches!(self.ending, Ending::Extend { .. });
        let last = parts.iter().map(|part| part.held.end).max();
        let late = last.is_some_and(|end| end.after(SETTLE_GRACE) <= outcome.now);
        match outcome.allowed {
            true => Ok(()),
            false if extends || late => Err(Reason::HoldExpired),
            // The store has no room to remember that it happened; it may have later.
            false => Err(Reason::Overloaded),
        }
    }

    /// Asks that happen once for this reservation, in the order in which it holds.
    fn check(&self, asks: impl Iterator<Item = Ask>) -> Check {
        let asks: Vec<Ask> = asks.collect();
        let Reservation { id: hash, owner, .. } = *self.reservation;
        let first = asks.first().map(|ask| ask.key.partition);
        let once = first.map(|partition| Once { id: Key { partition, hash }, owner });
        Check { asks, once }
    }

    fn spent(&self, parts: &[Part<'_, '_>], result: Result<(), Reason>) -> Spent {
        let verdict = match result {
            Ok(()) => verdict(parts),
            Err(reason) => Verdict::refused(reason),
        };
        let (id, token) = (Uuid::from_bytes(self.reservation.id), String::new());
        let lasts = match self.ending {
            Ending::Extend { lasting } => {
                parts.iter().filter_map(Part::lasts).min().unwrap_or(lasting)
            }
            Ending::Settle { .. } | Ending::Release => Micros::ZERO,
        };
        let overrun = if verdict.allowed { self.overrun() } else { Tokens::ZERO };
        let grant = Some(Grant { id, token, lasts, overrun });
        Spent { verdict, store_time: self.store_time, grant }
    }

    /// What the actual cost is above what was reserved of it.
    fn overrun(&self) -> Tokens {
        let Ending::Settle { actual } = self.ending else { return Tokens::ZERO };
        let stated = self.reservation.held.iter().filter(|held| held.stated);
        let over = stated.map(|held| actual.get().saturating_sub(held.tokens.get()));
        Tokens::new(over.max().unwrap_or(0))
    }
}

impl<'p> Part<'_, 'p> {
    /// Whether there is something to tell of it.
    fn is_known(&self) -> bool {
        self.limit.is_some() && self.answer.is_some()
    }

    /// How long it is held from the answer on; `None` where it is not, or where it binds nobody.
    fn lasts(&self) -> Option<Micros> {
        let (reply, now) = self.answer?;
        let held = reply.end > Timestamp::ZERO && self.limit?.mode == Mode::Enforce;
        held.then(|| reply.end.since(now))
    }

    /// The charge that it was, on the limit as it is now.
    fn charge(&self, now: Timestamp) -> Option<Charge<'p>> {
        let Held { key, tokens, stated, numbers, .. } = *self.held;
        let limit = self.limit?;
        let numbers = numbers.map_or(limit.numbers, |own| limit.own_numbers(own.limit, own.burst));
        Some(Charge::again(limit, key, numbers, tokens, stated, now))
    }

    fn ask(
        &self,
        way: &Way<'_>,
        now: Timestamp,
        part_of: impl FnOnce(Charge<'p>) -> Charge<'p>,
    ) -> Ask {
        let Some(charge) = self.charge(now) else { return self.nothing(way) };
        part_of(charge).ask_end(way.ending, self.held.end)
    }

    /// Keeps the place of an ask whose limit is gone, so that what the store remembers of the
    /// others still fits: it asks nothing of a counter that nobody has.
    fn nothing(&self, way: &Way<'_>) -> Ask {
        Ask {
            key: Key { hash: way.reservation.id, ..self.held.key },
            limit_id: self.held.limit_id,
            max_keys: 1,
            terms: Terms::Concurrency { limit: Tokens::ONE },
            op: Op::Release { end: self.held.end },
            tokens: Tokens::ZERO,
            shadow: true,
            horizon: Micros::DAY,
        }
    }
}

/// What the limits say of an ending that was carried out.
fn verdict(parts: &[Part<'_, '_>]) -> Verdict {
    let (mut charges, mut replies, mut told) = (Vec::new(), Vec::new(), Vec::new());
    for part in parts {
        let Some((reply, now)) = part.answer else { continue };
        let Some(charge) = part.charge(now) else { continue };
        // What is counted here is only this replica's part of a quota.
        if !part.held.local {
            told.extend(alerts(charge.limit, &charge.numbers, &charge.terms, &reply, now));
        }
        charges.push(charge);
        replies.push(reply);
    }
    let mut verdict = Verdict::of(&charges, &replies);
    for (limit, part) in verdict.limits.iter_mut().zip(parts.iter().filter(|p| p.is_known())) {
        limit.degraded = part.held.local;
        verdict.degraded |= limit.degraded;
    }
    let (allowed, reason, reason_text) = (true, None, String::new());
    Verdict { allowed, reason, reason_text, alerts: told, ..verdict }
}
