//! A window between two edges that come with the charge: fixed windows and calendar periods.
//!
//! The ledger keeps the end of the window it counts, so that it knows by itself when it is over.
//! A hold never outlives the window it was granted in, so it books there or vanishes with it.

use super::MOST;
use super::holds::{self, Hold};
use crate::time::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AlignedWindow {
    /// The end of the window that `used` counts, µs since 1970.
    pub(super) end: u64,
    pub(super) used: u64,
}

impl AlignedWindow {
    pub(super) fn new(edges: &[Timestamp; 3], now: Timestamp) -> Self {
        Self { end: current(edges, now).1.get(), used: 0 }
    }

    /// A ledger that is not over but ends elsewhere comes from other terms or from a clock that
    /// went back: what it counts now belongs to the current window.
    pub(super) fn rebase(&mut self, edges: &[Timestamp; 3], now: Timestamp) -> bool {
        let (_, end) = current(edges, now);
        let moved = self.end > now.get() && self.end != end.get() && self.used > 0;
        if moved {
            self.end = end.get();
        }
        moved
    }

    /// Begins the current window where the ledger's is over, and books the expired holds that
    /// ended inside it.
    pub(super) fn fold(&mut self, edges: &[Timestamp; 3], expired: &[Hold], now: Timestamp) {
        let (start, end) = current(edges, now);
        if self.end <= now.get() {
            self.used = 0;
        }
        self.end = end.get();
        for hold in expired.iter().filter(|hold| hold.end > start.get()) {
            self.book(hold.tokens);
        }
    }

    pub(super) fn book(&mut self, n: u64) {
        self.used = (self.used + n).min(MOST);
    }

    /// Tokens left at `now`, and when all are back if nobody takes.
    pub(super) fn state(
        &self,
        limit: u64,
        edges: &[Timestamp; 3],
        list: &[Hold],
        now: Timestamp,
    ) -> (u64, u64) {
        let window = self.folded(edges, list, now);
        let held = holds::held(list, now.get());
        let left = limit.saturating_sub(window.used + held);
        if window.used + held == 0 {
            return (left, 0);
        }
        (left, window.end.max(holds::last_end(list)))
    }

    /// The earliest instant from `now` on at which `n` tokens pass; `n` is at most `limit`.
    ///
    /// Holds that outlive their window exist only after the terms changed. Then the answer is
    /// exact to the last edge that is known, and after that the last end.
    pub(super) fn passes_at(
        &self,
        limit: u64,
        edges: &[Timestamp; 3],
        list: &[Hold],
        n: u64,
        now: Timestamp,
    ) -> u64 {
        let window = self.folded(edges, list, now);
        if window.used + holds::held(list, now.get()) + n <= limit {
            return now.get();
        }
        for edge in edges.iter().map(|edge| edge.get()).filter(|&edge| edge > now.get()) {
            if holds::held(list, edge) + n <= limit {
                return edge;
            }
        }
        holds::last_end(list)
    }

    fn folded(&self, edges: &[Timestamp; 3], list: &[Hold], now: Timestamp) -> Self {
        let mut window = *self;
        window.fold(edges, holds::expired(list, now.get()), now);
        window
    }
}

/// Start and end of the window that `now` lies in; `now` is not stale.
pub(super) fn current(edges: &[Timestamp; 3], now: Timestamp) -> (Timestamp, Timestamp) {
    let [first, second, third] = *edges;
    if now < second { (first, second) } else { (second, third) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGES: [Timestamp; 3] = [Timestamp::new(0), Timestamp::new(100), Timestamp::new(200)];

    fn at(now: u64) -> Timestamp {
        Timestamp::new(now)
    }

    #[test]
    fn starts_anew_at_the_edge() {
        let window = AlignedWindow { end: 100, used: 5 };
        assert_eq!(window.passes_at(5, &EDGES, &[], 1, at(99)), 100);
        assert_eq!(window.passes_at(5, &EDGES, &[], 5, at(100)), 100);
        assert_eq!(window.state(5, &EDGES, &[], at(99)), (0, 100));
        assert_eq!(window.state(5, &EDGES, &[], at(100)), (5, 0));
    }

    #[test]
    fn a_hold_books_in_its_window_and_vanishes_at_the_edge() {
        let list = [Hold { end: 50, tokens: 2 }, Hold { end: 100, tokens: 3 }];
        let mut window = AlignedWindow { end: 100, used: 0 };
        assert_eq!(window.state(5, &EDGES, &list, at(60)), (0, 100));
        window.fold(&EDGES, &list, at(100));
        assert_eq!(window, AlignedWindow { end: 200, used: 0 });
    }

    #[test]
    fn a_longer_or_shorter_window_keeps_what_is_used() {
        let mut window = AlignedWindow { end: 400, used: 5 };
        assert!(window.rebase(&EDGES, at(10)));
        assert_eq!(window, AlignedWindow { end: 100, used: 5 });
        assert!(!window.rebase(&EDGES, at(150)), "it is over");
    }
}
