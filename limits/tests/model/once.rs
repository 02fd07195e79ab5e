//! What happens once: a store that is asked again and again, in any order and too late, ends where
//! one does that is asked once in time, and answers repeats as it did the first time.

use std::collections::HashMap;

use fastrand::Rng;
use sluicegate_limits::counter::{Counter, Op, Wait};
use sluicegate_limits::decide::{Ask, Check, Key, Outcome, Plain, Reply, SETTLE_GRACE, decide};
use sluicegate_limits::memory::Memory;
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

use crate::rule::{ALL, Rule};
use crate::world::Lane;
use crate::{numbers, seeds, world};

const OPERATIONS: u64 = 1_000_000;
const START: u64 = 1_700_000_000_000_000;
const GRACE: u64 = SETTLE_GRACE.get();

/// What was set aside by one check, as its holder and a perfect memory know it.
#[derive(Debug)]
struct Reservation {
    id: Key,
    /// The limit, the tokens and the end that was granted first.
    held: Vec<(usize, u64, u64)>,
    /// The ends now.
    ends: Vec<u64>,
    ended: Option<Outcome>,
    /// Until when the store remembers it.
    remembered: u64,
}

/// The same limits three times: repeats are asked of the first two only.
struct World {
    lanes: Vec<Lane>,
    plain: Plain,
    memory: Memory,
    asked_once: HashMap<Key, Counter>,
    now: u64,
}

impl World {
    fn random(rng: &mut Rng) -> Self {
        let lanes: Vec<Lane> = (0..rng.usize(1..=3)).map(|number| lane(rng, number)).collect();
        let (plain, memory) = (Plain::default(), Memory::new(100_000));
        Self { lanes, plain, memory, asked_once: HashMap::new(), now: START }
    }

    /// Asks the stores that may be asked again.
    fn ask(&mut self, check: &Check) -> Outcome {
        let now = Timestamp::new(self.now);
        let outcome = decide(&mut self.plain, check, now).unwrap();
        assert_eq!(self.memory.decide(check, now).unwrap(), outcome, "memory, {check:?}");
        outcome
    }

    /// Asks the store that is asked once.
    fn ask_once(&mut self, check: &Check) -> Outcome {
        decide(&mut self.asked_once, check, Timestamp::new(self.now)).unwrap()
    }

    fn assert_equal(&self) {
        for lane in &self.lanes {
            let bytes = |counters: &HashMap<_, _>| world::bytes(counters.get(&lane.key));
            assert_eq!(bytes(&self.plain.counters), bytes(&self.asked_once), "at {}", self.now);
        }
    }

    /// Sets tokens aside, now and then none, or takes some, in all stores alike.
    fn request(&mut self, rng: &mut Rng, number: usize) -> Option<Reservation> {
        let (holds, nothing) = (rng.u8(..4) > 0, rng.u8(..8) == 0);
        let mut held: Vec<(usize, u64, u64)> = Vec::new();
        let mut asks = Vec::new();
        for (place, lane) in self.lanes.iter().enumerate() {
            let tokens = numbers::cost(rng, lane.rule.capacity() / 8).max(1);
            let tokens = if nothing { 0 } else { tokens };
            let op = if holds { lane.hold(rng.u64(..=lane.longest)) } else { Op::Take };
            asks.push(lane.ask(op, tokens, false, self.now));
            held.push((place, tokens, 0));
        }
        let check = asks.into();
        let outcome = self.ask(&check);
        assert_eq!(self.ask_once(&check), outcome);
        if !holds || !outcome.allowed {
            return None;
        }
        // Of no tokens: it has no end, and states one.
        let longest = self.now + self.lanes[0].longest;
        let end = |reply: &Reply| if nothing { longest } else { reply.end.get() };
        let ends: Vec<u64> = outcome.replies.iter().map(end).collect();
        held.iter_mut().zip(&ends).for_each(|(held, end)| held.2 = *end);
        let id = Key { partition: 9, ..world::key(1_000 + number) };
        Some(Reservation { id, held, ends, ended: None, remembered: 0 })
    }

    /// Ends or extends a reservation, now and then with an ask too few.
    fn about(&mut self, rng: &mut Rng, reservation: &mut Reservation) {
        let (kind, actual) = (rng.u8(..5), rng.u64(..4));
        let short = rng.u8(..12) == 0;
        let mut held = reservation.held.clone();
        held.truncate(held.len() - usize::from(short));
        let asks = |ends: &mut dyn Iterator<Item = u64>| -> Vec<Ask> {
            let each = held.iter().zip(ends);
            each.map(|((place, tokens, _), end)| {
                let lane = &self.lanes[*place];
                let (end, held) = (Timestamp::new(end), Tokens::new(*tokens));
                let (lasting, quantum) = (Micros::new(lane.longest), Micros::new(lane.quantum()));
                let (op, tokens) = match kind {
                    0 => (Op::Extend { end, lasting, quantum }, *tokens),
                    1 | 2 => (Op::Release { end }, *tokens),
                    _ => (Op::Settle { end, held }, tokens / 2 + actual),
                };
                lane.ask(op, tokens, false, self.now)
            })
            .collect()
        };
        let named = asks(&mut held.iter().map(|(_, _, end)| *end));
        let meant: Check = asks(&mut reservation.ends.clone().into_iter()).into();
        let outcome = self.ask(&Check { asks: named, once: Some(reservation.id.into()) });
        let remembers = self.now < reservation.remembered;
        let extended = remembers && reservation.ended.is_none();
        let refused = outcome.replies.iter().all(|reply| *reply == REFUSED) && !outcome.allowed;
        match &reservation.ended {
            // Without asks there is nothing to do, nor to remember.
            _ if held.is_empty() => {}
            Some(_) if remembers && kind == 0 => assert!(refused, "{outcome:?}"),
            Some(first) if remembers => {
                let now = Timestamp::new(self.now);
                let mut repeat = Outcome { now, ..first.clone() };
                repeat.replies.iter_mut().for_each(|r| r.booked = [Tokens::ZERO; 2]);
                assert_eq!(outcome, repeat);
            }
            _ if short && extended && reservation.remembered > 0 => assert!(refused),
            _ if self.is_over(reservation, held.len()) => assert!(refused, "{outcome:?}"),
            _ => self.executed(reservation, &meant, &outcome, kind == 0),
        }
    }

    fn is_over(&self, reservation: &Reservation, count: usize) -> bool {
        let last = reservation.ends.iter().take(count).max();
        last.is_some_and(|end| end + GRACE <= self.now)
    }

    fn executed(
        &mut self,
        reservation: &mut Reservation,
        meant: &Check,
        outcome: &Outcome,
        extends: bool,
    ) {
        assert_eq!(*outcome, self.ask_once(meant), "{meant:?}");
        if !outcome.allowed {
            return;
        }
        let nothing_held = reservation.held.iter().all(|(_, tokens, _)| *tokens == 0);
        if nothing_held && meant.iter().all(|ask| ask.tokens == Tokens::ZERO) {
            assert!(matches!(self.plain.records.get(&reservation.id), None | Some(None)));
            return;
        }
        if extends {
            for (end, reply) in reservation.ends.iter_mut().zip(&outcome.replies) {
                *end = reply.end.get();
            }
            reservation.ends.truncate(outcome.replies.len());
            reservation.held.truncate(outcome.replies.len());
        } else {
            reservation.ended = Some(outcome.clone());
        }
        let ends = reservation.ends.iter().take(outcome.replies.len());
        let last = ends.copied().max().unwrap_or(0).max(self.now);
        reservation.remembered = last + 2 * GRACE;
    }
}

const REFUSED: Reply = Reply::bare(false, Tokens::ZERO, Wait::Never);

#[test]
fn whatever_is_asked_again_happens_once() {
    seeds::run("once", OPERATIONS, |rng| {
        let mut world = World::random(rng);
        let mut reservations: Vec<Reservation> = Vec::new();
        let steps = rng.u64(1..=120);
        for step in 0..steps {
            world.now = later(rng, &world, &reservations);
            if rng.u8(..20) == 0 {
                world.memory.sweep(Timestamp::new(world.now));
            }
            let one = rng.usize(..reservations.len().max(1));
            match reservations.get_mut(one) {
                Some(reservation) if rng.u8(..3) > 0 => world.about(rng, reservation),
                _ => reservations.extend(world.request(rng, usize::try_from(step).unwrap())),
            }
            world.assert_equal();
        }
        steps
    });
}

/// Mostly soon; also to just before and just when a grace or a record is over.
fn later(rng: &mut Rng, world: &World, reservations: &[Reservation]) -> u64 {
    let scale = world.lanes[0].rule.scale();
    let Some(one) = reservations.get(rng.usize(..reservations.len().max(1))) else {
        return world.now + numbers::gap(rng, scale) / 16;
    };
    let end = one.ends.get(rng.usize(..one.ends.len().max(1))).copied().unwrap_or(0);
    let later = match rng.u8(..24) {
        0 => end + rng.u64(..2),
        1 => end + GRACE + rng.u64(..2),
        2 => one.remembered + rng.u64(..2),
        3 => world.now + rng.u64(..=GRACE),
        _ => return world.now + numbers::gap(rng, scale) / 64,
    };
    world.now.max(later.saturating_sub(1))
}

fn lane(rng: &mut Rng, number: usize) -> Lane {
    let algorithm = numbers::pick(rng, &ALL);
    let mut rule = Rule::random(rng, algorithm);
    while rule.scale() > 3_600_000_000 {
        rule = Rule::random(rng, algorithm);
    }
    Lane::new(rng, number, rule)
}
