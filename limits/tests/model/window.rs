//! Sliding windows: what must count, and that even traffic passes.

use std::collections::HashMap;

use sluicegate_limits::counter::{Counter, Op};
use sluicegate_limits::decide::{Key, decide};
use sluicegate_limits::time::Timestamp;

use crate::client::Client;
use crate::ledger::Booked;
use crate::rule::Rule;
use crate::world;

/// The tokens that must count at `now`: those of the last `window` µs.
pub(crate) fn least_used(log: &[Booked], window: u64, now: u64) -> u64 {
    recent(log, window, now)
}

/// The most tokens that may count: above a limit of 64, up to a 64th of the window longer.
pub(crate) fn most_used(log: &[Booked], limit: u64, window: u64, now: u64) -> u64 {
    let blur = if limit <= 64 { 0 } else { window / 64 };
    recent(log, window + blur, now)
}

/// G5, looked at from the last token of the log: an interval that ends with it.
pub(crate) fn assert_bound(spent: &[Booked], limit: u64, window: u64) {
    let Some(last) = spent.last() else { return };
    let passed = recent(spent, window, last.at);
    assert!(passed <= limit, "{passed} tokens in {window} µs until {}, limit {limit}", last.at);
}

fn recent(log: &[Booked], window: u64, now: u64) -> u64 {
    log.iter().rev().take_while(|booked| booked.at + window > now).map(|booked| booked.tokens).sum()
}

#[test]
fn even_traffic_at_the_limit_passes_whole_up_to_64_and_nearly_above() {
    let windows = [1_000, 64_000, 1_000_003, 60_000_000, 86_400_000_000];
    for window in windows {
        for limit in [1, 2, 3, 7, 60, 63, 64, 65, 66, 100, 500, 999, 1_000, 4_999, 100_000] {
            if limit > window {
                continue;
            }
            let asked = (20 * limit).min(200_000);
            let passed = even_traffic(limit, window, asked);
            let least = if limit <= 64 { asked } else { (asked * 98).div_ceil(100) };
            assert!(passed >= least, "{passed} of {asked} passed, limit {limit} in {window} µs");
        }
    }
}

/// Request number i comes at i windows by the limit: exactly `limit` in every window.
fn even_traffic(limit: u64, window: u64, asked: u64) -> u64 {
    let rule = Rule::Window { limit, window };
    let client = Client::new(world::key(0), 1);
    let mut counters: HashMap<Key, Counter> = HashMap::new();
    let mut passes = |number: &u64| {
        let now = 1_700_000_000_000_000 + number * window / limit;
        let ask = client.ask(Op::Take, 1, rule, now);
        decide(&mut counters, &[ask].into(), Timestamp::new(now)).unwrap().allowed
    };
    (0..asked).filter(|number| passes(number)).count() as u64
}
