//! G7: a world in which tokens are asked for and given back, beside the world in which they were
//! never asked for. What is left in the first is never more, at any later time.

use std::collections::HashMap;

use fastrand::Rng;
use sluicegate_limits::counter::{Counter, Op};
use sluicegate_limits::decide::{Key, Outcome, decide};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

use crate::rule::{ALL, Algorithm, Rule};
use crate::world::Lane;
use crate::{numbers, seeds};

const OPERATIONS: u64 = 1_000_000;
const START: u64 = 1_700_000_000_000_000;

/// Tokens held: `back` of them will be given back in time, `rest` are in both worlds.
#[derive(Clone, Copy, Debug)]
struct Plan {
    end: u64,
    back: u64,
    rest: u64,
}

struct Worlds {
    asked: HashMap<Key, Counter>,
    never: HashMap<Key, Counter>,
    lane: Lane,
    plans: Vec<Plan>,
    now: u64,
}

#[test]
fn a_give_back_is_no_better_than_not_asking() {
    for algorithm in ALL {
        let property = format!("give back, {algorithm:?}");
        seeds::run(&property, OPERATIONS, |rng| trace(rng, algorithm));
    }
}

fn trace(rng: &mut Rng, algorithm: Algorithm) -> u64 {
    let rule = Rule::random(rng, algorithm);
    let lane = Lane::new(rng, 0, rule);
    let (asked, never) = (HashMap::new(), HashMap::new());
    let mut worlds = Worlds { asked, never, lane, plans: Vec::new(), now: START };
    let length = rng.u64(1..=100);
    for _ in 0..length {
        let later = numbers::later(rng, worlds.now, rule.scale());
        worlds.give_back_until(rng, later);
        worlds.now = later;
        match rng.u8(..8) {
            0..=3 => worlds.take(rng),
            4..=6 => worlds.hold(rng),
            _ => worlds.extend(rng),
        }
        worlds.compare(rng);
    }
    length
}

impl Worlds {
    /// Gives back, each at some instant before its end, what must not outlive `later`.
    fn give_back_until(&mut self, rng: &mut Rng, later: u64) {
        self.plans.sort_by_key(|plan| plan.end);
        while let Some(plan) = self.plans.first().copied() {
            if plan.end > later && rng.u8(..6) > 0 {
                return;
            }
            self.plans.remove(0);
            if plan.end <= self.now {
                assert_eq!(plan.back, 0, "given back in time");
                continue;
            }
            self.now = rng.u64(self.now..plan.end.min(later + 1).max(self.now + 1));
            self.give_back(rng, plan);
            self.compare(rng);
        }
    }

    /// Releases what is to be given back, or settles by the rest, or by more than was held.
    fn give_back(&mut self, rng: &mut Rng, plan: Plan) {
        let end = Timestamp::new(plan.end);
        if rng.u8(..3) > 0 {
            self.ask(true, Op::Release { end }, plan.back);
            return;
        }
        let over = if rng.u8(..4) == 0 { rng.u64(..=plan.rest / 4 + 1) } else { 0 };
        let settle = |held: u64| Op::Settle { end, held: Tokens::new(held) };
        if over == 0 {
            self.ask(true, settle(plan.rest + plan.back), plan.rest);
            self.ask(false, settle(plan.rest), plan.rest);
        } else {
            // Debt is in both worlds, so nothing comes back: all of it was used.
            self.ask(true, settle(plan.rest + plan.back), plan.rest + over);
            self.ask(false, settle(plan.rest), plan.rest + over);
        }
    }

    fn take(&mut self, rng: &mut Rng) {
        let tokens = numbers::cost(rng, self.lane.rule.capacity());
        if self.ask(true, Op::Take, tokens).allowed {
            assert!(self.ask(false, Op::Take, tokens).allowed, "{:?}", self.lane);
        }
    }

    fn hold(&mut self, rng: &mut Rng) {
        let tokens = numbers::cost(rng, self.lane.rule.capacity());
        let hold = self.lane.hold(rng.u64(1..=self.lane.longest));
        let outcome = self.ask(true, hold, tokens);
        let end = outcome.replies[0].end.get();
        if !outcome.allowed || tokens == 0 || end <= self.now {
            return;
        }
        let back = if rng.bool() { tokens } else { rng.u64(..=tokens) };
        let rest = tokens - back;
        if rest > 0 {
            assert!(self.ask(false, hold, rest).allowed, "{:?}", self.lane);
        }
        self.plans.push(Plan { end, back, rest });
    }

    fn extend(&mut self, rng: &mut Rng) {
        let index = rng.usize(..self.plans.len().max(1));
        let Some(plan) = self.plans.get(index).copied() else { return };
        let (end, lasting) = (Timestamp::new(plan.end), Micros::new(rng.u64(..=self.lane.longest)));
        let extend = Op::Extend { end, lasting, quantum: Micros::new(self.lane.quantum()) };
        let outcome = self.ask(true, extend, plan.rest + plan.back);
        if outcome.allowed {
            if plan.rest > 0 {
                assert!(self.ask(false, extend, plan.rest).allowed, "{:?}", self.lane);
            }
            self.plans[index].end = outcome.replies[0].end.get();
        }
    }

    fn ask(&mut self, asked: bool, op: Op, tokens: u64) -> Outcome {
        let ask = self.lane.ask(op, tokens, false, self.now);
        let counters = if asked { &mut self.asked } else { &mut self.never };
        decide(counters, &[ask].into(), Timestamp::new(self.now)).unwrap()
    }

    /// Looks at both worlds now and later.
    fn compare(&self, rng: &mut Rng) {
        let ends = self.plans.iter().map(|plan| plan.end).max().unwrap_or(self.now);
        let some = numbers::later(rng, self.now, self.lane.rule.scale());
        for later in [self.now, some, ends.max(self.now)] {
            let look = self.lane.ask(Op::Look, 1, false, later);
            let left = |counters: &HashMap<Key, Counter>| {
                let outcome = decide(&mut counters.clone(), &[look].into(), Timestamp::new(later));
                let reply = outcome.unwrap().replies[0];
                (reply.left, reply.wait)
            };
            let (asked, never) = (left(&self.asked), left(&self.never));
            assert!(asked.0 <= never.0, "more left at {later}: {:?} {:?}", self.lane, self.plans);
            assert!(asked.1 >= never.1, "sooner at {later}: {:?} {:?}", self.lane, self.plans);
        }
    }
}
