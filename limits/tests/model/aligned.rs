//! Aligned windows: their edges, and what must count between them.

use crate::ledger::Booked;

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
