//! Holds by their number: what a counter has room for.

use std::collections::HashMap;

use sluicegate_limits::counter::{Counter, Op, Wait};
use sluicegate_limits::decide::{Key, Outcome, decide};
use sluicegate_limits::time::{Micros, Timestamp};

use crate::client::Client;
use crate::rule::{ALL, Rule};
use crate::{numbers, seeds, world};

const START: u64 = 1_700_000_000_000_000;
const LONG: u64 = 100_000;

/// Holds one token for `lasting` µs on a grid of `quantum` µs, where holds last up to `longest`.
fn hold(
    counters: &mut HashMap<Key, Counter>,
    rule: Rule,
    [lasting, longest, quantum]: [u64; 3],
    now: u64,
) -> Outcome {
    let op = Op::Hold { lasting: Micros::new(lasting), quantum: Micros::new(quantum) };
    let ask = Client::new(world::key(0), longest).ask(op, 1, rule, now);
    decide(counters, &[ask].into(), Timestamp::new(now)).unwrap()
}

#[test]
fn the_256th_sum_is_denied_until_the_first_ends() {
    seeds::run("256 sums", 10_000, |rng| {
        let algorithm = numbers::pick(rng, &ALL);
        let rule = Rule::random(rng, algorithm);
        let far = START + 2 * LONG;
        if rule.capacity() < 1_000 || rule.hold_end(far, START) < far {
            return 1;
        }
        let mut counters = HashMap::new();
        let mut ends = Vec::new();
        while ends.len() < 255 {
            let outcome = hold(&mut counters, rule, [rng.u64(1_000..50_000), LONG, 1], START);
            assert!(outcome.allowed);
            ends.push(outcome.replies[0].end.get());
            ends.sort_unstable();
            ends.dedup();
        }
        let joins = hold(&mut counters, rule, [ends[99] - START, LONG, 1], START);
        assert!(joins.allowed, "a sum that exists takes more");
        let lasting = (1..).find(|lasting| !ends.contains(&(START + lasting))).unwrap();
        let denied = hold(&mut counters, rule, [lasting, LONG, 1], START).replies[0];
        assert_eq!(denied.wait, Wait::For(Micros::new(ends[0] - START)));
        assert!(!hold(&mut counters, rule, [LONG, LONG, 1], ends[0] - 1).allowed);
        assert!(hold(&mut counters, rule, [LONG, LONG, 1], ends[0]).allowed);
        256
    });
}

#[test]
fn a_steady_stream_of_holds_keeps_at_most_17_sums() {
    for longest in [1_u64, 15, 16, 17, 1_000, 999_999, 60_000_000] {
        let rule = Rule::Concurrency { limit: 1_000_000 };
        let (mut counters, mut most, mut now) = (HashMap::new(), 0, START);
        for step in 0..4_000 {
            now += longest.div_ceil(97);
            let lasting = if step % 3 == 0 { longest } else { step % longest + 1 };
            assert!(
                hold(&mut counters, rule, [lasting, longest, longest.div_ceil(16)], now).allowed
            );
            let bytes = world::bytes(counters.get(&world::key(0)));
            most = most.max(bytes[1]);
        }
        assert!((1..=17).contains(&most), "{most} sums of holds up to {longest} µs");
    }
}

#[test]
fn waiting_for_concurrency_is_waiting_for_the_earliest_sufficient_end() {
    let rule = Rule::Concurrency { limit: 3 };
    let mut counters = HashMap::new();
    for lasting in [300, 100, 200] {
        assert!(hold(&mut counters, rule, [lasting, 300, 1], START).allowed);
    }
    let client = Client::new(world::key(0), 300);
    let wait = |tokens: u64| {
        let ask = client.ask(Op::Look, tokens, rule, START);
        decide(&mut counters.clone(), &[ask].into(), Timestamp::new(START)).unwrap().replies[0].wait
    };
    assert_eq!(wait(0), Wait::None);
    assert_eq!(wait(1), Wait::For(Micros::new(100)));
    assert_eq!(wait(2), Wait::For(Micros::new(200)));
    assert_eq!(wait(3), Wait::For(Micros::new(300)));
    assert_eq!(wait(4), Wait::Never);
}
