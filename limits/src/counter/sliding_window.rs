//! The strict sliding window: a list of (time, tokens), exact up to 64 tokens, above that with
//! takes within one 64th of the window joined at the later time.
//!
//! Joining only makes tokens leave later, so no interval of one window passes more than the
//! limit, wherever it starts.

use smallvec::SmallVec;

use super::MOST;
use super::holds::{self, Hold};

/// Up to this limit every take keeps a time of its own.
const EXACT_LIMIT: u64 = 64;
/// More entries can only come from changed terms; then the two oldest are joined.
pub(super) const MOST_ENTRIES: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The time of its latest token, µs since 1970.
    pub(super) time: u64,
    pub(super) tokens: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SlidingWindow {
    /// When the newest entry was opened; 0 where there is none.
    pub(super) opening: u64,
    /// The tokens of all entries.
    pub(super) total: u64,
    /// Oldest first. Most counters have few, which then need no memory of their own.
    pub(super) entries: SmallVec<[Entry; 2]>,
}

impl SlidingWindow {
    /// Brings entries after `now` back to it, as one.
    pub(super) fn rebase(&mut self, now: u64) -> bool {
        let keep = self.entries.partition_point(|entry| entry.time <= now);
        if keep == self.entries.len() {
            return false;
        }
        let tokens = self.entries.drain(keep..).map(|entry| entry.tokens).sum();
        self.entries.push(Entry { time: now, tokens });
        self.opening = self.opening.min(now);
        true
    }

    /// Books the expired holds at their ends, and drops what has left the window at `now`.
    pub(super) fn fold(&mut self, limit: u64, window: u64, expired: &[Hold], now: u64) {
        for hold in expired {
            self.drop_old(window, hold.end);
            self.book(limit, window, hold.tokens, hold.end);
        }
        self.drop_old(window, now);
    }

    /// Takes `n` tokens at `at`, which joins the newest entry or opens one.
    pub(super) fn book(&mut self, limit: u64, window: u64, n: u64, at: u64) {
        let joins = at < self.opening + grain(limit, window);
        match self.entries.last_mut().filter(|_| joins) {
            Some(newest) => {
                // A hold may end before usage that a change of algorithm booked later.
                newest.time = newest.time.max(at);
                newest.tokens += n;
            }
            None => {
                self.opening = at;
                self.entries.push(Entry { time: at, tokens: n });
            }
        }
        self.total += n;
        self.shrink();
    }

    /// Tokens left at `now`, and when all are back if nobody takes.
    pub(super) fn state(&self, limit: u64, window: u64, list: &[Hold], now: u64) -> (u64, u64) {
        let total = self.total_at(limit, window, list, now);
        let left = limit.saturating_sub(total + holds::held(list, now));
        let newest = self.entries.last().map_or(0, |entry| entry.time);
        let last = newest.max(holds::last_end(list));
        (left, if last == 0 { 0 } else { last + window })
    }

    /// The earliest instant from `now` on at which `n` tokens pass; `n` is at most `limit`.
    pub(super) fn passes_at(
        &self,
        limit: u64,
        window: u64,
        list: &[Hold],
        n: u64,
        now: u64,
    ) -> u64 {
        let total = self.total_at(limit, window, list, now);
        if total + holds::held(list, now) + n <= limit {
            return now;
        }
        if list.is_empty() {
            let old = self.entries.partition_point(|entry| entry.time + window <= now);
            return leaves_at(self.entries.iter().skip(old), total + n - limit, window);
        }
        let mut all = self.clone();
        all.fold(limit, window, holds::expired(list, now), now);
        for hold in holds::live(list, now) {
            all.book(limit, window, hold.tokens, hold.end);
        }
        leaves_at(all.entries.iter(), (all.total + n).saturating_sub(limit), window).max(now)
    }

    /// The running total at `now`, expired holds booked and old entries left out.
    fn total_at(&self, limit: u64, window: u64, list: &[Hold], now: u64) -> u64 {
        let expired = holds::expired(list, now);
        if expired.is_empty() {
            let old = self.entries.iter().take_while(|entry| entry.time + window <= now);
            return self.total.saturating_sub(old.map(|entry| entry.tokens).sum());
        }
        let mut folded = self.clone();
        folded.fold(limit, window, expired, now);
        folded.total
    }

    fn drop_old(&mut self, window: u64, now: u64) {
        let old = self.entries.partition_point(|entry| entry.time + window <= now);
        if old == self.entries.len() {
            *self = Self::default();
        } else if old > 0 {
            let dropped: u64 = self.entries.drain(..old).map(|entry| entry.tokens).sum();
            self.total = self.total.saturating_sub(dropped);
        }
    }

    /// Keeps the total at most 2^52 and the entries at most 256.
    fn shrink(&mut self) {
        while let Some(oldest) = self.entries.first_mut().filter(|_| self.total > MOST) {
            let cut = oldest.tokens.min(self.total - MOST);
            oldest.tokens -= cut;
            self.total -= cut;
            if oldest.tokens == 0 {
                self.entries.remove(0);
            }
        }
        if self.entries.len() > MOST_ENTRIES {
            let oldest = self.entries.remove(0);
            if let Some(next) = self.entries.first_mut() {
                next.tokens += oldest.tokens;
            }
        }
    }
}

/// When the entry leaves the window that `over` tokens wait for; 0 where there are too few.
fn leaves_at<'a>(mut entries: impl Iterator<Item = &'a Entry>, over: u64, window: u64) -> u64 {
    let mut gone = 0;
    let last = entries.find(|entry| {
        gone += entry.tokens;
        gone >= over
    });
    last.map_or(0, |entry| entry.time + window)
}

/// How long after its opening the newest entry is joined; 0 joins nothing.
fn grain(limit: u64, window: u64) -> u64 {
    if limit <= EXACT_LIMIT { 0 } else { window / 64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(window: &SlidingWindow) -> Vec<(u64, u64)> {
        window.entries.iter().map(|entry| (entry.time, entry.tokens)).collect()
    }

    #[test]
    fn a_small_limit_keeps_every_take() {
        let mut window = SlidingWindow::default();
        window.book(3, 100, 1, 10);
        window.book(3, 100, 2, 10);
        assert_eq!(entries(&window), [(10, 1), (10, 2)]);
        assert_eq!(window.passes_at(3, 100, &[], 1, 50), 110);
        assert_eq!(window.passes_at(3, 100, &[], 1, 110), 110);
        assert_eq!(window.state(3, 100, &[], 109), (0, 110));
    }

    #[test]
    fn a_large_limit_joins_within_a_64th_and_moves_the_time() {
        let mut window = SlidingWindow::default();
        for at in [0, 99, 100, 150] {
            window.book(1_000, 6_400, 1, 1_000 + at);
        }
        assert_eq!(entries(&window), [(1_099, 2), (1_150, 2)]);
        assert_eq!(window.opening, 1_100);
    }

    #[test]
    fn a_hold_counts_in_full_then_is_booked_at_its_end() {
        let mut window = SlidingWindow::default();
        window.book(5, 100, 2, 10);
        let list = [Hold { end: 50, tokens: 3 }];
        assert_eq!(window.passes_at(5, 100, &list, 1, 20), 110);
        assert_eq!(window.passes_at(5, 100, &list, 3, 20), 150);
        assert_eq!(window.state(5, 100, &list, 120), (2, 150));
        window.fold(5, 100, &list, 120);
        assert_eq!(entries(&window), [(50, 3)]);
    }

    #[test]
    fn a_hold_that_ended_before_converted_usage_moves_nothing_back() {
        let mut window = SlidingWindow::default();
        window.book(5, 100, 4, 90);
        window.fold(5, 100, &[Hold { end: 50, tokens: 1 }], 90);
        assert_eq!(entries(&window), [(90, 5)]);
        assert_eq!(window.passes_at(5, 100, &[], 1, 150), 190);
    }

    #[test]
    fn entries_and_total_are_bounded() {
        let mut window = SlidingWindow::default();
        for at in 0..300 {
            window.book(64, 1_000_000, 1, at);
        }
        assert_eq!(window.entries.len(), MOST_ENTRIES);
        assert_eq!(window.total, 300);
        window.book(64, 1_000_000, MOST, 400);
        assert_eq!((window.total, entries(&window).as_slice()), (MOST, &[(400, MOST)][..]));
    }
}
