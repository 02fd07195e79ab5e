//! Aligned windows: their edges, and what must count between them.

use std::collections::HashMap;

use sluicegate_limits::counter::{Counter, Op};
use sluicegate_limits::decide::{Key, Stale, decide};
use sluicegate_limits::time::Timestamp;

use crate::client::Client;
use crate::ledger::Booked;
use crate::rule::Rule;
use crate::world;

/// A calendar with windows of uneven lengths, as months and daylight saving make them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calendar {
    /// The mean length of a window, in µs.
    pub(crate) window: u64,
}

impl Calendar {
    /// Start and end of the window of `now`, and the end of the next.
    pub(crate) fn edges(self, now: u64) -> [u64; 3] {
        let near = now / self.window;
        let first = if self.edge(near) <= now { near } else { near - 1 };
        [self.edge(first), self.edge(first + 1), self.edge(first + 2)]
    }

    fn edge(self, number: u64) -> u64 {
        number * self.window + number.wrapping_mul(2_654_435_761) % (self.window / 8)
    }
}

/// The tokens that count at `now`, exactly: those since the last edge.
pub(crate) fn used(log: &[Booked], calendar: Calendar, now: u64) -> u64 {
    let [start, ..] = calendar.edges(now);
    log.iter().rev().take_while(|booked| booked.at >= start).map(|booked| booked.tokens).sum()
}

/// At most `limit` tokens between two edges.
pub(crate) fn assert_bound(spent: &[Booked], calendar: Calendar, limit: u64) {
    let Some(last) = spent.last() else { return };
    let passed = used(spent, calendar, last.at);
    assert!(passed <= limit, "{passed} tokens in the window of {}, limit {limit}", last.at);
}

#[test]
fn a_charge_outside_its_edges_is_stale_and_touches_nothing() {
    let calendar = Calendar { window: 1_000 };
    let rule = Rule::Aligned { limit: 5, calendar };
    let (client, other) = (Client::new(world::key(0), 1), Client::new(world::key(1), 1));
    let made = 1_000_000;
    let [start, _, last] = calendar.edges(made);
    let ask = client.ask(Op::Take, 2, rule, made);
    let bucket = other.ask(Op::Take, 1, Rule::Window { limit: 9, window: 10 }, made);
    let mut counters: HashMap<Key, Counter> = HashMap::new();
    for (now, stale) in [(start - 1, true), (start, false), (last - 1, false), (last, true)] {
        let before = counters.clone();
        let outcome = decide(&mut counters, &[bucket, ask].into(), Timestamp::new(now));
        assert_eq!(outcome.is_err(), stale, "at {now} of {start}..{last}");
        if stale {
            assert_eq!(outcome, Err(Stale));
            assert_eq!(before, counters);
        }
    }
}
