//! The largest limits and costs: 10^15 tokens, one more, and many charges of one check on one
//! counter, in shadow and not. Every sum stays exact, and what is too much never passes.

use std::collections::HashMap;

use fastrand::Rng;
use sluicegate_limits::counter::{Counter, Op, Wait};
use sluicegate_limits::decide::{Check, Key, decide};
use sluicegate_limits::policy::units::{ABOVE_MAX_COST, MAX_COST};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

use crate::aligned::Calendar;
use crate::rule::{ALL, Algorithm, Rule};
use crate::world::{Charge, Lane, World};
use crate::{numbers, seeds};

const OPERATIONS: u64 = 200_000;
const TRACE_STEPS: usize = 40;
/// The most charges of one check, as a request may have.
const MOST: usize = 256;
const START: u64 = 1_790_000_123_456_789;

/// A limit that holds about the largest cost, or a 256th of it.
fn rule(rng: &mut Rng, algorithm: Algorithm) -> Rule {
    let some = [MAX_COST, MAX_COST, MAX_COST - 1, MAX_COST / 2 + 1, MAX_COST / 255, MAX_COST / 256];
    loop {
        let (limit, window) = (numbers::pick(rng, &some), numbers::window(rng));
        return match algorithm {
            Algorithm::Bucket => match numbers::rate(limit, window) {
                Some(rate) if numbers::refills(rate, MAX_COST) => {
                    Rule::Bucket { rate, burst: numbers::pick(rng, &some) }
                }
                _ => continue,
            },
            Algorithm::Window => Rule::Window { limit, window },
            Algorithm::Aligned => Rule::Aligned { limit, calendar: Calendar { window } },
            Algorithm::Concurrency => Rule::Concurrency { limit },
        };
    }
}

/// A cost beside what the capacity, or a part of it for each of so many charges, holds.
fn cost(rng: &mut Rng, capacity: u64, charges: u64) -> u64 {
    let part = capacity / charges;
    let some = [0, 1, part, part + 1, capacity, MAX_COST, ABOVE_MAX_COST.get(), Tokens::MAX.get()];
    match rng.u8(..10) {
        0..=3 => part,
        4 | 5 => rng.u64(..=part),
        _ => numbers::pick(rng, &some),
    }
}

fn charges(rng: &mut Rng, world: &World) -> Vec<Charge> {
    let count = numbers::pick(rng, &[1, 1, 2, 3, 8, 24]);
    let (few, shadows, looks) = (rng.bool(), rng.u8(..4), rng.u8(..12) == 0);
    let charge = |rng: &mut Rng| {
        let number = if few { 0 } else { rng.usize(..world.lanes.len()) };
        let lane = &world.lanes[number];
        let holds = rng.u8(..4) == 0 || matches!(lane.rule, Rule::Concurrency { .. });
        let op = match (looks, holds) {
            (true, _) => Op::Look,
            (false, true) => lane.hold(rng.u64(..=lane.longest)),
            (false, false) => Op::Take,
        };
        let tokens = cost(rng, lane.rule.capacity(), count);
        Charge { lane: number, op, tokens, shadow: rng.u8(..4) < shadows }
    };
    (0..count).map(|_| charge(rng)).collect()
}

#[test]
fn the_largest_costs_are_decided_like_the_models() {
    seeds::run("the largest costs", OPERATIONS, |rng| {
        let lanes = (0..rng.usize(1..=3)).map(|number| {
            let algorithm = numbers::pick(rng, &ALL);
            let rule = rule(rng, algorithm);
            Lane::new(rng, number, rule)
        });
        let lanes = lanes.collect();
        let mut world = World::new(rng, lanes);
        let mut operations = 0;
        for _ in 0..rng.usize(1..=TRACE_STEPS) {
            let scale = world.lanes[0].rule.scale();
            world.now = numbers::later(rng, world.now, scale);
            let charges = charges(rng, &world);
            operations += charges.len() as u64;
            world.check(&charges);
        }
        operations
    });
}

/// So many charges of one check on one counter of each algorithm, of this many tokens each.
fn many(count: usize, tokens: u64, shadow: bool) -> Vec<(Algorithm, bool, Wait, u64, u64)> {
    let decided = ALL.map(|algorithm| {
        let rule = match algorithm {
            Algorithm::Bucket => {
                let rate = numbers::rate(MAX_COST, 3_600_000_000).unwrap();
                Rule::Bucket { rate, burst: MAX_COST }
            }
            Algorithm::Window => Rule::Window { limit: MAX_COST, window: 3_600_000_000 },
            Algorithm::Aligned => {
                Rule::Aligned { limit: MAX_COST, calendar: Calendar { window: 3_600_000_000 } }
            }
            Algorithm::Concurrency => Rule::Concurrency { limit: MAX_COST },
        };
        let lane = Lane::new(&mut Rng::with_seed(1), 0, rule);
        let op = match algorithm {
            Algorithm::Concurrency => Op::Hold { lasting: Micros::SECOND, quantum: Micros::SECOND },
            _ => Op::Take,
        };
        let check: Check = (0..count).map(|_| lane.ask(op, tokens, shadow, START)).collect();
        let mut counters: HashMap<Key, Counter> = HashMap::new();
        let outcome = decide(&mut counters, &check, Timestamp::new(START)).unwrap();
        let look = [lane.ask(Op::Look, 0, false, START)].into();
        let left = decide(&mut counters, &look, Timestamp::new(START)).unwrap().replies[0].left;
        let first = outcome.replies[0];
        assert!(outcome.replies.iter().all(|reply| reply.wait == first.wait), "{algorithm:?}");
        (algorithm, outcome.allowed, first.wait, first.left.get(), left.get())
    });
    decided.to_vec()
}

#[test]
fn many_charges_of_the_largest_cost_on_one_counter_never_pass() {
    for (count, tokens) in [
        (1, MAX_COST + 1),
        (2, MAX_COST),
        (9, MAX_COST),
        (10, MAX_COST),
        (MOST, MAX_COST),
        (MOST, MAX_COST + 1),
    ] {
        for (algorithm, allowed, wait, said, left) in many(count, tokens, false) {
            let told = (allowed, wait, said, left);
            let nothing = (false, Wait::Never, MAX_COST, MAX_COST);
            assert_eq!(told, nothing, "{count} charges of {tokens}: {algorithm:?}");
        }
        for (algorithm, allowed, wait, said, left) in many(count, tokens, true) {
            let told = (allowed, wait, said, left);
            let nothing = (true, Wait::Never, MAX_COST, MAX_COST);
            assert_eq!(told, nothing, "{count} in shadow of {tokens}: {algorithm:?}");
        }
    }
    let part = MAX_COST / MOST as u64;
    for (algorithm, allowed, wait, said, left) in many(MOST, part, false) {
        let rest = MAX_COST - part * MOST as u64;
        assert_eq!((allowed, wait, said, left), (true, Wait::None, rest, rest), "{algorithm:?}");
    }
}
