//! Strikes: how often a key was denied in a window, and until when that blocks it.
//!
//! The windows are multiples of `within` since 1970. A counter of strikes stands beside the
//! counter that denies and has no holds; only [`Op::Strike`](super::Op::Strike) writes it.

use crate::time::{Micros, Timestamp, Tokens};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Penalty {
    /// The end of the window that `strikes` counts, µs since 1970.
    pub(super) end: u64,
    pub(super) strikes: u64,
    /// The key is blocked while now is before this; 0 for never. A block that is over becomes 0
    /// at the next strike.
    pub(super) blocked_until: u64,
}

impl Penalty {
    /// A window or a block that reaches further than one that begins now comes from other terms or
    /// from a clock that went back: it is cut to that.
    pub(super) fn rebase(&mut self, within: Micros, block: Micros, now: Timestamp) -> bool {
        let before = *self;
        if self.strikes > 0 {
            self.end = self.end.min(end_of(within, now));
        }
        self.blocked_until = self.blocked_until.min(now.after(block).get());
        *self != before
    }

    /// Counts a strike at `now`, when nothing blocks. Answers whether a block begins.
    pub(super) fn strike(
        &mut self,
        after: Tokens,
        within: Micros,
        block: Micros,
        now: Timestamp,
    ) -> bool {
        if self.end <= now.get() || self.strikes == 0 {
            (self.end, self.strikes) = (end_of(within, now), 0);
        }
        self.strikes += 1;
        self.blocked_until = 0;
        let blocks = self.strikes >= after.get();
        if blocks {
            (self.strikes, self.blocked_until) = (0, now.after(block).get());
        }
        blocks
    }

    /// Strikes left at `now` until a block, none while one lasts, and when the counter equals a
    /// fresh one.
    pub(super) fn state(&self, after: u64, now: u64) -> (u64, u64) {
        let counts = self.strikes > 0 && self.end > now;
        let fresh_at = self.blocked_until.max(if counts { self.end } else { 0 });
        let left = match counts {
            _ if self.blocked_until > now => 0,
            true => after.saturating_sub(self.strikes),
            false => after,
        };
        (left, fresh_at)
    }
}

/// The end of the window that `now` lies in.
fn end_of(within: Micros, now: Timestamp) -> u64 {
    let within = within.get().max(1);
    Timestamp::new(now.get() - now.get() % within + within).get()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Tokens = Tokens::new(2);
    const WITHIN: Micros = Micros::new(100);
    const BLOCK: Micros = Micros::new(250);

    fn strike(penalty: &mut Penalty, now: u64) -> bool {
        penalty.strike(AFTER, WITHIN, BLOCK, Timestamp::new(now))
    }

    #[test]
    fn enough_strikes_in_one_window_block_and_count_anew_after() {
        let mut penalty = Penalty::default();
        assert!(!strike(&mut penalty, 150));
        assert_eq!(penalty.state(2, 150), (1, 200));
        assert_eq!(penalty.state(2, 200), (2, 0));
        assert!(!strike(&mut penalty, 200), "the window is over");
        assert!(strike(&mut penalty, 299));
        assert_eq!(penalty, Penalty { end: 300, strikes: 0, blocked_until: 549 });
        assert_eq!((penalty.state(2, 548), penalty.state(2, 549)), ((0, 549), (2, 549)));
        assert!(!strike(&mut penalty, 560));
        assert_eq!(penalty, Penalty { end: 600, strikes: 1, blocked_until: 0 });
    }

    #[test]
    fn a_clock_that_went_back_cuts_window_and_block() {
        let mut penalty = Penalty { end: 900, strikes: 1, blocked_until: 0 };
        assert!(penalty.rebase(WITHIN, BLOCK, Timestamp::new(150)));
        assert_eq!(penalty, Penalty { end: 200, strikes: 1, blocked_until: 0 });
        let mut penalty = Penalty { end: 900, strikes: 0, blocked_until: 900 };
        assert!(penalty.rebase(WITHIN, BLOCK, Timestamp::new(150)));
        assert_eq!(penalty, Penalty { end: 900, strikes: 0, blocked_until: 400 });
        assert!(!penalty.rebase(WITHIN, BLOCK, Timestamp::new(150)));
        assert!(!strike(&mut penalty, 400));
        assert_eq!(penalty.end, 500, "an end that counts nothing says nothing");
    }
}
