//! Puts requests in the order of their times, in bounded memory.
//!
//! Several threads or servers write one log, and Envoy writes a request when it ends with the time
//! at which it began. So a request waits until the log has come a while further; one that comes
//! later still is decided at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use sluicegate_limits::time::{Micros, Timestamp};

use super::Entry;

/// The most requests that wait, about 100 MB; further ones do not wait the whole window.
const MAX_WAITING: usize = 131_072;

/// A request that is further than this ahead may be one of a clock that is wrong.
const FAR: Micros = Micros::new(86_400_000_000);

/// Requests that wait for earlier ones.
pub(super) struct Reorder {
    window: Micros,
    /// How far the log has come.
    newest: Timestamp,
    /// A request far ahead of that, which counts when another one confirms it.
    ahead: Option<Timestamp>,
    next: u64,
    waiting: BinaryHeap<Reverse<Waiting>>,
}

/// A request and its place among the requests of the log.
pub(super) struct Waiting {
    pub(super) entry: Entry,
    /// From 0.
    pub(super) number: u64,
}

impl Reorder {
    pub(super) fn new(window: Micros) -> Self {
        Self { window, newest: Timestamp::ZERO, ahead: None, next: 0, waiting: BinaryHeap::new() }
    }

    /// Takes the next request of the log.
    pub(super) fn push(&mut self, entry: Entry) {
        self.come_to(entry.at);
        self.waiting.push(Reverse(Waiting { entry, number: self.next }));
        self.next += 1;
    }

    /// Moves `newest`, where an instant is not alone far ahead of all before it.
    fn come_to(&mut self, at: Timestamp) {
        if at <= self.newest.after(FAR) {
            self.newest = self.newest.max(at);
            return;
        }
        match self.ahead.filter(|ahead| at.after(self.window) >= *ahead) {
            Some(ahead) if at <= ahead.after(FAR) => self.newest = ahead.max(at),
            Some(ahead) => (self.newest, self.ahead) = (ahead, Some(at)),
            None => self.ahead = Some(at),
        }
    }

    /// The next request in the order of time, where it has waited long enough.
    pub(super) fn ready(&mut self) -> Option<Waiting> {
        let Reverse(first) = self.waiting.peek()?;
        let is_due = first.entry.at.after(self.window) <= self.newest;
        if is_due || self.waiting.len() > MAX_WAITING { self.rest() } else { None }
    }

    /// The next request in the order of time, at the end of the log.
    pub(super) fn rest(&mut self) -> Option<Waiting> {
        self.waiting.pop().map(|Reverse(first)| first)
    }
}

impl Waiting {
    fn rank(&self) -> (Timestamp, u64) {
        (self.entry.at, self.number)
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluicegate_limits::attributes::Attributes;

    fn entry(at: u64) -> Entry {
        Entry {
            at: Timestamp::new(at),
            attributes: Attributes::default(),
            cost: None,
            lasted: None,
        }
    }

    fn order(window: u64, times: &[u64]) -> Vec<(u64, u64)> {
        let mut reorder = Reorder::new(Micros::new(window));
        let mut out = Vec::new();
        for &at in times {
            reorder.push(entry(at));
            while let Some(next) = reorder.ready() {
                out.push((next.entry.at.get(), next.number));
            }
        }
        while let Some(next) = reorder.rest() {
            out.push((next.entry.at.get(), next.number));
        }
        out
    }

    #[test]
    fn what_is_late_by_less_than_the_window_comes_in_order_and_equals_keep_theirs() {
        let times = [10, 30, 20, 20, 35, 28, 60];
        let expected = [(10, 0), (20, 2), (20, 3), (28, 5), (30, 1), (35, 4), (60, 6)];
        assert_eq!(order(10, &times), expected);
    }

    #[test]
    fn what_is_late_by_more_comes_when_it_comes() {
        assert_eq!(order(10, &[10, 100, 50, 110]), [(10, 0), (50, 2), (100, 1), (110, 3)]);
        assert_eq!(order(0, &[100, 50, 110]), [(100, 0), (50, 1), (110, 2)]);
    }

    #[test]
    fn one_time_far_ahead_holds_nothing_up_but_itself() {
        let times = [10, 1_000_000, 20, 30];
        assert_eq!(order(10, &times), [(10, 0), (20, 2), (30, 3), (1_000_000, 1)]);
    }

    #[test]
    fn no_more_wait_than_the_bound() {
        let mut reorder = Reorder::new(Micros::SECOND);
        let more = MAX_WAITING as u64 + 10;
        let mut ready = 0;
        for at in 0..more {
            reorder.push(entry(at));
            ready += std::iter::from_fn(|| reorder.ready()).count();
        }
        assert_eq!((ready, reorder.waiting.len()), (10, MAX_WAITING));
    }
}
