//! G15: the store's clock steps, and what passes is measured on a clock that does not.

use std::collections::HashMap;

use fastrand::Rng;
use sluicegate_limits::counter::{Counter, Op, Wait};
use sluicegate_limits::decide::{Ask, Key, decide};
use sluicegate_limits::time::Timestamp;

use crate::client::{Client, Instant, Spent, assert_wait_is_bounded};
use crate::rule::{ALL, Algorithm, Rule};
use crate::{numbers, seeds, world};

const OPERATIONS: u64 = 1_000_000;
const START: u64 = 1_700_000_000_000_000;

/// A step of the store's clock, at an instant of the real one.
#[derive(Clone, Copy, Debug)]
struct Step {
    real: u64,
    forward: bool,
    over_an_edge: bool,
}

#[test]
fn steps_of_the_clock_cost_a_bucket_at_most_one_burst() {
    step_the_clock("clock, token bucket", Algorithm::Bucket, false);
}

#[test]
fn steps_of_the_clock_cost_a_sliding_window_at_most_one_limit() {
    step_the_clock("clock, sliding window", Algorithm::Window, false);
}

#[test]
fn steps_of_the_clock_cost_an_aligned_window_at_most_one_limit() {
    step_the_clock("clock, aligned window", Algorithm::Aligned, false);
}

#[test]
fn steps_of_the_clock_cost_concurrency_at_most_one_limit() {
    step_the_clock("clock, concurrency", Algorithm::Concurrency, false);
}

/// What was granted before the clock went back and is given back after may be another's by then:
/// that many tokens pass at most on top.
#[test]
fn a_give_back_across_a_step_back_costs_at_most_its_tokens() {
    for algorithm in ALL {
        step_the_clock("clock, give-backs", algorithm, true);
    }
}

#[test]
fn one_window_after_a_step_back_even_traffic_passes_again() {
    let rule = Rule::Window { limit: 1_000, window: 1_000_000 };
    let client = Client::new(world::key(0), 1_000);
    for back in [1, 15_000, 500_000, 30_000_000, 86_400_000_000] {
        let mut counters: HashMap<Key, Counter> = HashMap::new();
        let mut passes = |now: u64| {
            let ask = client.ask(Op::Take, 1, rule, now);
            decide(&mut counters, &[ask].into(), Timestamp::new(now)).unwrap().allowed
        };
        assert!((0..1_000).all(|number| passes(START + number * 1_000)));
        let after = (1_000..21_000).map(|number| passes(START + number * 1_000 - back));
        let passed = after.skip(1_000).filter(|passed| *passed).count();
        assert!(passed >= 18_620, "{passed} of 19000 passed after a step of {back} µs back");
    }
}

fn step_the_clock(property: &str, algorithm: Algorithm, strays: bool) {
    let operations = if strays { OPERATIONS / 4 } else { OPERATIONS };
    seeds::run(property, operations, |rng| {
        let rule = Rule::random(rng, algorithm);
        let scale = rule.scale().min(3_600_000_000);
        let longest = numbers::pick(rng, &[scale / 64, scale / 7, scale, 1_000]).max(1);
        let mut client = Client::new(world::key(0), longest);
        client.strays = strays;
        let mut counters: HashMap<Key, Counter> = HashMap::new();
        let mut at = Instant { real: START, store: START };
        let mut steps = Vec::new();
        let length = rng.u64(1..=150);
        for _ in 0..length {
            let gap = numbers::gap(rng, scale);
            (at.real, at.store) = (at.real + gap, at.store + gap);
            if rng.u8(..8) == 0 {
                counters.retain(|_, counter| counter.fresh_at().get() > at.store);
            }
            if rng.u8(..40) == 0 {
                let step = step(rng, rule, &mut at, scale);
                if !step.forward {
                    client.notice_step_back();
                }
                steps.push(step);
            }
            let spent = client.spent.len();
            let now = Timestamp::new(at.store);
            let (ask, outcome) =
                client.act(rng, rule, at, |asks| decide(&mut counters, asks, now).unwrap());
            assert_wait_is_bounded(&outcome, rule, &client);
            assert_retry(&counters, &ask, rule, at, outcome.replies[0].wait);
            if let Rule::Concurrency { limit } = rule {
                let (live, recent) = (client.live(at.real), recent(&steps, at, longest));
                let reaches = |stray: &&Spent| at.real <= stray.at.real + longest * 17 / 16 + 1;
                let strayed = client.strayed.iter().filter(reaches).map(|stray| stray.tokens);
                let bound = limit * (1 + recent) + strayed.sum::<u64>();
                assert!(
                    live <= bound,
                    "{live} live at {at:?}, limit {limit}: {client:?} {steps:?}"
                );
            }
            for last in spent..client.spent.len() {
                assert_bound(rule, &client.spent[..=last], &steps, longest, &client.strayed);
            }
        }
        length
    });
}

/// Moves the store's clock.
fn step(rng: &mut Rng, rule: Rule, at: &mut Instant, scale: u64) -> Step {
    let by = match rng.u8(..4) {
        0 => rng.u64(1..=scale / 32 + 1),
        1 | 2 => rng.u64(1..=scale),
        _ => rng.u64(1..=scale * 10),
    };
    let before = at.store;
    let forward = rng.bool();
    at.store = if forward { before + by } else { before.saturating_sub(by) };
    let start =
        |now| if let Rule::Aligned { calendar, .. } = rule { calendar.edges(now)[0] } else { 0 };
    Step { real: at.real, forward, over_an_edge: start(before) != start(at.store) }
}

/// After a denial, which has re-booked, a retry at its wait passes. Beyond the edges that come with
/// a charge, where only holds reach that the clock left in the future, nothing is known.
fn assert_retry(counters: &HashMap<Key, Counter>, ask: &Ask, rule: Rule, at: Instant, wait: Wait) {
    let Wait::For(wait) = wait else { return };
    let later = at.store + wait.get();
    if let Rule::Aligned { calendar, .. } = rule
        && later > calendar.edges(at.store)[2]
    {
        return;
    }
    let mut alone = counters.clone();
    let retry = Ask { terms: rule.terms(later), ..*ask };
    let outcome = decide(&mut alone, &[retry].into(), Timestamp::new(later)).unwrap();
    assert!(outcome.allowed, "denied after {wait} µs from {at:?}: {ask:?} {counters:?}");
}

/// The forward steps after which holds may have been cut short that are still spent now.
fn recent(steps: &[Step], at: Instant, longest: u64) -> u64 {
    let reaches = |step: &&Step| step.forward && at.real <= step.real + longest;
    steps.iter().filter(reaches).count() as u64
}

/// In real time: one extra capacity for each forward step that an interval starts before, or
/// within one longest hold after; none for a step back, but over an edge. What strayed is on top.
fn assert_bound(rule: Rule, spent: &[Spent], steps: &[Step], longest: u64, strays: &[Spent]) {
    let Some(last) = spent.last() else { return };
    let longest = longest + longest.div_ceil(16);
    let mut passed = 0_u128;
    for from in spent.iter().rev() {
        let length = last.at.real - from.at.real;
        let reaches =
            |step: &&Step| step.real <= last.at.real && from.at.real <= step.real + longest;
        let extra = steps.iter().filter(|step| step.forward).filter(reaches).count();
        let (capacity, extra) = (u128::from(rule.capacity()), extra as u128);
        let reaches = |stray: &&Spent| {
            stray.at.real <= last.at.real && from.at.real <= stray.at.real + longest
        };
        let strayed = strays.iter().filter(reaches).map(|stray| u128::from(stray.tokens));
        let strayed: u128 = strayed.sum();
        match rule {
            Rule::Bucket { rate, .. } => {
                passed += u128::from(from.tokens);
                let parts = u128::from(rate.ticks) * u128::from(rate.tick.get());
                let refill = u128::from(rate.tokens) * u128::from(length);
                let bound = (capacity * (1 + extra) + strayed) * parts + refill;
                assert!(passed * parts <= bound, "{passed} in {length} µs: {rule:?} {steps:?}");
            }
            Rule::Window { window, .. } if length < window => {
                passed += u128::from(from.tokens);
                let bound = capacity * (1 + extra) + strayed;
                assert!(passed <= bound, "{passed} in {length} µs: {rule:?} {steps:?} {spent:?}");
            }
            Rule::Aligned { calendar, .. } => {
                let start = |spent: &Spent| calendar.edges(spent.at.store)[0];
                let same = start(from) == start(last);
                passed += if same { u128::from(from.tokens) } else { 0 };
                let extra = steps.iter().filter(|step| step.forward || step.over_an_edge).count();
                let bound = capacity * (1 + extra as u128) + strayed;
                assert!(passed <= bound, "{passed} between edges: {rule:?} {steps:?} {spent:?}");
            }
            Rule::Window { .. } | Rule::Concurrency { .. } => break,
        }
    }
}
