//! A limit's number, window or algorithm changes while its counter is in use, once or back and
//! forth as by replicas on two revisions: never more passes than by the larger limit.

use std::collections::HashMap;

use fastrand::Rng;
use sluicegate_limits::counter::Counter;
use sluicegate_limits::decide::{Key, decide};
use sluicegate_limits::time::Timestamp;

use crate::client::{Client, Instant, Spent};
use crate::rule::{ALL, Algorithm, Rule};
use crate::{numbers, seeds, world};

const OPERATIONS: u64 = 1_000_000;
const START: u64 = 1_700_000_000_000_000;

#[test]
fn a_bucket_with_changing_numbers_passes_no_more_than_the_larger() {
    change("change, token bucket", &[Algorithm::Bucket]);
}

#[test]
fn a_sliding_window_with_changing_numbers_passes_no_more_than_the_larger() {
    change("change, sliding window", &[Algorithm::Window]);
}

#[test]
fn an_aligned_window_with_changing_numbers_passes_no_more_than_the_larger() {
    change("change, aligned window", &[Algorithm::Aligned]);
}

#[test]
fn a_limit_with_a_changing_algorithm_passes_no_more_than_the_larger() {
    change("change, algorithms", &[Algorithm::Bucket, Algorithm::Window, Algorithm::Aligned]);
}

#[test]
fn any_change_is_survived() {
    seeds::run("change, all", OPERATIONS / 4, |rng| {
        let rules: Vec<Rule> = ALL.iter().map(|&algorithm| Rule::random(rng, algorithm)).collect();
        let mut client = Client::new(world::key(0), numbers::window(rng));
        let mut counters: HashMap<Key, Counter> = HashMap::new();
        let mut now = START;
        for _ in 0..100 {
            let rule = numbers::pick(rng, &rules);
            now = numbers::later(rng, now, rule.scale());
            let at = Instant { real: now, store: now };
            let now = Timestamp::new(now);
            client.act(rng, rule, at, |asks| decide(&mut counters, asks, now).unwrap());
        }
        100
    });
}

fn change(property: &str, algorithms: &[Algorithm]) {
    seeds::run(property, OPERATIONS / 4, |rng| {
        let rules = rules(rng, algorithms);
        let scale = rules.iter().map(|rule| rule.scale()).min().unwrap();
        let longest = numbers::pick(rng, &[scale / 64, scale / 7, scale, 1_000]).max(1);
        let mut client = Client::new(world::key(0), longest);
        let mut counters: HashMap<Key, Counter> = HashMap::new();
        let (mut now, mut rule, often) = (START, rules[0], rng.u8(1..=40));
        let length = rng.u64(1..=150);
        for _ in 0..length {
            now = numbers::later(rng, now, scale);
            if rng.u8(..8) == 0 {
                counters.retain(|_, counter| counter.fresh_at().get() > now);
            }
            if rng.u8(..often) == 0 {
                rule = numbers::pick(rng, &rules);
            }
            let spent = client.spent.len();
            let at = Instant { real: now, store: now };
            client.act(rng, rule, at, |asks| {
                decide(&mut counters, asks, Timestamp::new(now)).unwrap()
            });
            for last in spent..client.spent.len() {
                assert_bound(&rules, &client.spent[..=last]);
            }
        }
        length
    });
}

/// Two or three limits. A bucket cuts what takes longer than 100 years to refill, so that limits
/// further apart than that forget; they are left out.
fn rules(rng: &mut Rng, algorithms: &[Algorithm]) -> Vec<Rule> {
    loop {
        let mut rule = || {
            let algorithm = numbers::pick(rng, algorithms);
            Rule::random(rng, algorithm)
        };
        let rules =
            if algorithms.len() == 1 { vec![rule(), rule()] } else { vec![rule(), rule(), rule()] };
        let capacity = rules.iter().map(|rule| rule.capacity()).max().unwrap_or(0);
        let keeps = |rule: &Rule| match rule {
            Rule::Bucket { rate, .. } => numbers::refills(*rate, capacity),
            _ => true,
        };
        if rules.iter().all(keeps) {
            return rules;
        }
    }
}

/// In any interval shorter than the shortest window, and between the edges of every calendar: at
/// most the largest capacity and the fastest refill, the latter since the last period of a slower
/// bucket began: what came back of it by then counts as tokens only at its end.
fn assert_bound(rules: &[Rule], spent: &[Spent]) {
    let Some(last) = spent.last() else { return };
    let now = last.at.store;
    let capacity = rules.iter().map(|rule| rule.capacity()).max().unwrap_or(0);
    let begun = rules.iter().map(|rule| rule.longest_repeat()).max().unwrap_or(0);
    let mut passed = 0;
    for from in spent.iter().rev() {
        let length = now - from.at.store;
        let within = rules.iter().all(|rule| match rule {
            Rule::Window { window, .. } => length < *window,
            Rule::Aligned { calendar, .. } => calendar.edges(now)[0] <= from.at.store,
            Rule::Bucket { .. } | Rule::Concurrency { .. } => true,
        });
        if !within {
            break;
        }
        passed += u128::from(from.tokens);
        let over = passed.saturating_sub(u128::from(capacity));
        let refilled = rules.iter().any(|rule| match rule {
            Rule::Bucket { rate, .. } => {
                let parts = u128::from(rate.ticks) * u128::from(rate.tick.get());
                over * parts <= u128::from(rate.tokens) * u128::from(length + begun)
            }
            _ => over == 0,
        });
        assert!(refilled, "{passed} in {length} µs until {now}: {rules:?} {spent:?}");
    }
}
