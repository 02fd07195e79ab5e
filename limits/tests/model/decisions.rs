//! Decisions of every algorithm against the models: G3 to G8 on random traces.

use std::collections::HashMap;

use fastrand::Rng;
use sluicegate_limits::counter::{Counter, Op, Wait};
use sluicegate_limits::decide::{Ask, Check, Key, decide};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

use crate::rule::{ALL, Algorithm, Rule};
use crate::world::{Charge, Lane, World};
use crate::{numbers, seeds};

const OPERATIONS: u64 = 1_000_000;
const TRACE_STEPS: usize = 200;

#[test]
fn token_buckets_pass_what_their_rate_allows() {
    decide_like_the_models("token bucket", &[Algorithm::Bucket]);
}

#[test]
fn sliding_windows_pass_what_the_last_window_allows() {
    decide_like_the_models("sliding window", &[Algorithm::Window]);
}

#[test]
fn aligned_windows_pass_what_is_left_until_the_edge() {
    decide_like_the_models("aligned window", &[Algorithm::Aligned]);
}

#[test]
fn concurrency_counts_what_is_live() {
    decide_like_the_models("concurrency", &[Algorithm::Concurrency]);
}

#[test]
fn limits_of_all_algorithms_are_decided_together() {
    decide_like_the_models("several limits", &ALL);
}

fn decide_like_the_models(property: &str, algorithms: &[Algorithm]) {
    seeds::run(property, OPERATIONS, |rng| {
        let lanes = (0..rng.usize(1..=4)).map(|number| {
            let algorithm = numbers::pick(rng, algorithms);
            let rule = Rule::random(rng, algorithm);
            Lane::new(rng, number, rule)
        });
        let lanes = lanes.collect();
        let mut world = World::new(rng, lanes);
        (0..rng.usize(1..=TRACE_STEPS)).map(|_| step(rng, &mut world)).sum()
    });
}

/// Lets time pass and makes one check; says of how many operations.
fn step(rng: &mut Rng, world: &mut World) -> u64 {
    let lane = rng.usize(..world.lanes.len());
    pass_time(rng, world, lane);
    if rng.u8(..16) == 0 {
        world.sweep();
    }
    if rng.u8(..40) == 0 {
        change_number(rng, &mut world.lanes[lane]);
    }
    if rng.u8(..3) == 0 && !world.lanes[lane].grants.is_empty() {
        holder(rng, world, lane);
        return 1;
    }
    let charges = requests(rng, world);
    world.check(&charges);
    charges.len() as u64
}

fn pass_time(rng: &mut Rng, world: &mut World, lane: usize) {
    let lane = &world.lanes[lane];
    let end = lane.ledger.ends().next().filter(|_| rng.u8(..10) == 0);
    let later = match end {
        Some(end) => (end + rng.u64(..3)).saturating_sub(1),
        None => numbers::later(rng, world.now, lane.rule.scale()),
    };
    world.now = world.now.max(later);
}

/// A new revision of the policy has another number for this limit.
fn change_number(rng: &mut Rng, lane: &mut Lane) {
    let capacity = numbers::limit(rng);
    let compiles = match lane.rule {
        Rule::Bucket { rate, .. } => numbers::refills(rate, capacity),
        _ => true,
    };
    if compiles {
        lane.change(capacity);
    }
}

/// New requests: each takes, holds or looks, on one to three counters or twice on one.
fn requests(rng: &mut Rng, world: &World) -> Vec<Charge> {
    let looks = rng.u8(..12) == 0;
    let shadow: Vec<bool> = world.lanes.iter().map(|_| rng.u8(..8) == 0).collect();
    let charge = |rng: &mut Rng| {
        let number = rng.usize(..world.lanes.len());
        let lane = &world.lanes[number];
        let holds = rng.u8(..4) == 0 || matches!(lane.rule, Rule::Concurrency { .. });
        let op = match (looks, holds) {
            (true, _) => Op::Look,
            (false, true) => lane.hold(rng.u64(..=lane.longest)),
            (false, false) => Op::Take,
        };
        let tokens = numbers::cost(rng, lane.rule.capacity());
        Charge { lane: number, op, tokens, shadow: shadow[number] }
    };
    let count = rng.usize(1..=3);
    (0..count).map(|_| charge(rng)).collect()
}

/// What a holder does: spends, then gives back, extends or settles, in time or too late.
fn holder(rng: &mut Rng, world: &mut World, number: usize) {
    let index = rng.usize(..world.lanes[number].grants.len());
    let part = rng.u64(..=world.lanes[number].grants[index].tokens);
    world.spend(number, index, part);
    let lane = &world.lanes[number];
    let (grant, quantum) = (lane.grants[index], Micros::new(lane.quantum()));
    let (end, held) = (Timestamp::new(grant.end), grant.tokens + grant.spent);
    let (op, tokens) = match rng.u8(..32) {
        0 => (Op::Reset, 0),
        1 if lane.ledger.held_until(grant.end + 1) == 0 => {
            (Op::Release { end: Timestamp::new(grant.end + 1) }, 1)
        }
        2..=12 => {
            let back = if rng.bool() { grant.tokens } else { rng.u64(..=grant.tokens) };
            (Op::Release { end }, back)
        }
        13..=22 => {
            let lasting = Micros::new(rng.u64(..=lane.longest));
            (Op::Extend { end, lasting, quantum }, held)
        }
        _ => {
            let over = if rng.u8(..4) == 0 { rng.u64(1..=held / 4 + 1) } else { 0 };
            (Op::Settle { end, held: Tokens::new(held) }, grant.spent + over)
        }
    };
    let outcome = world.check(&[Charge { lane: number, op, tokens, shadow: false }]);
    let lane = &mut world.lanes[number];
    match op {
        Op::Release { end: its } if its == end => {
            lane.grants[index].tokens -= tokens;
        }
        Op::Extend { .. } if outcome.allowed && tokens > 0 => {
            lane.grants[index].end = outcome.replies[0].end.get();
        }
        Op::Settle { .. } => {
            lane.grants.swap_remove(index);
        }
        _ => {}
    }
}

/// G8: the charges on this counter alone are denied just before `wait` and allowed at it.
pub(crate) fn assert_wait(
    counters: &HashMap<Key, Counter>,
    lane: &Lane,
    asks: &[Ask],
    wait: Wait,
    now: u64,
) {
    let mine: Vec<Ask> = asks.iter().filter(|ask| ask.key == lane.key).copied().collect();
    let passes = |later: u64| {
        let mut alone: HashMap<Key, Counter> = HashMap::new();
        alone.extend(
            counters.get_key_value(&lane.key).map(|(key, counter)| (*key, counter.clone())),
        );
        let asks: Check =
            mine.iter().map(|ask| Ask { terms: lane.rule.terms(later), ..*ask }).collect();
        let outcome = decide(&mut alone, &asks, Timestamp::new(later)).unwrap();
        outcome.replies.iter().all(|reply| reply.allowed)
    };
    match wait {
        Wait::None => {}
        Wait::Never => assert!(!passes(now + 2 * lane.rule.scale() + lane.longest), "never passed"),
        Wait::For(wait) => {
            let (wait, step) = (wait.get(), lane.rule.step());
            assert!(passes(now + wait), "denied after {wait} µs from {now}: {mine:?} {lane:?}");
            let early = wait.saturating_sub(step);
            let told = "allowed before the wait";
            assert!(!passes(now + early), "{told} of {wait} µs from {now}: {mine:?} {lane:?}");
            assert!(!passes(now + early / 2), "{told} of {wait} µs from {now}: {mine:?} {lane:?}");
        }
    }
}

/// All tokens are back after `full_in` and not before.
pub(crate) fn assert_full_in(counter: Option<&Counter>, lane: &Lane, full_in: u64, now: u64) {
    let left = |later: u64| {
        let mut alone: HashMap<Key, Counter> = HashMap::new();
        alone.extend(counter.map(|counter| (lane.key, counter.clone())));
        let ask = lane.ask(Op::Look, 0, false, later);
        decide(&mut alone, &[ask].into(), Timestamp::new(later)).unwrap().replies[0].left.get()
    };
    let (capacity, step) = (lane.rule.capacity(), lane.rule.step());
    assert_eq!(left(now + full_in), capacity, "full in {full_in} µs from {now}: {lane:?}");
    if full_in > 0 && capacity > 0 {
        let early = now + full_in.saturating_sub(step);
        assert!(left(early) < capacity, "full before {full_in} µs from {now}: {lane:?}");
    }
}
