//! Holds: tokens set aside until an end, summed by end and kept in order of end.

/// The most sums on one counter: their count is one byte.
const MOST_SUMS: usize = 255;

/// The tokens of one counter that are held until one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    /// µs since 1970 on the store's clock; the hold lives while now is before it.
    pub(super) end: u64,
    /// Never 0.
    pub(super) tokens: u64,
}

/// The holds of one counter, ascending by end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Holds(Vec<Hold>);

impl Holds {
    pub(super) fn from_sorted(list: Vec<Hold>) -> Self {
        Self(list)
    }

    pub(super) fn list(&self) -> &[Hold] {
        &self.0
    }

    /// Adds `tokens` to the sum that ends at `end`; adding 0 does nothing.
    pub(super) fn add(&mut self, end: u64, tokens: u64) {
        if tokens == 0 {
            return;
        }
        let place = self.0.partition_point(|hold| hold.end < end);
        match self.0.get_mut(place) {
            Some(hold) if hold.end == end => hold.tokens = hold.tokens.saturating_add(tokens),
            _ => self.0.insert(place, Hold { end, tokens }),
        }
    }

    /// Gives back up to `tokens` of the sum that ends at `end`; answers how many.
    pub(super) fn remove(&mut self, end: u64, tokens: u64) -> u64 {
        let place = self.0.partition_point(|hold| hold.end < end);
        let Some(hold) = self.0.get_mut(place).filter(|hold| hold.end == end) else {
            return 0;
        };
        let removed = tokens.min(hold.tokens);
        hold.tokens -= removed;
        if hold.tokens == 0 {
            self.0.remove(place);
        }
        removed
    }

    /// Removes and answers the holds whose end has come, in order.
    pub(super) fn take_expired(&mut self, now: u64) -> Vec<Hold> {
        let count = expired(&self.0, now).len();
        self.0.drain(..count).collect()
    }

    /// Brings every end after `latest` back to it. Answers whether there was one.
    pub(super) fn cut(&mut self, latest: u64) -> bool {
        let keep = self.0.partition_point(|hold| hold.end <= latest);
        if keep == self.0.len() {
            return false;
        }
        let tokens = self.0.drain(keep..).fold(0, |sum: u64, hold| sum.saturating_add(hold.tokens));
        self.add(latest, tokens);
        true
    }
}

/// The holds whose end has come.
pub(super) fn expired(holds: &[Hold], now: u64) -> &[Hold] {
    holds.get(..holds.partition_point(|hold| hold.end <= now)).unwrap_or_default()
}

/// The holds that live.
pub(super) fn live(holds: &[Hold], now: u64) -> &[Hold] {
    holds.get(holds.partition_point(|hold| hold.end <= now)..).unwrap_or_default()
}

/// The tokens of all holds that live.
pub(super) fn held(holds: &[Hold], now: u64) -> u64 {
    live(holds, now).iter().fold(0, |sum, hold| sum.saturating_add(hold.tokens))
}

/// The tokens held until `end`.
pub(super) fn at(holds: &[Hold], end: u64) -> u64 {
    holds.iter().find(|hold| hold.end == end).map_or(0, |hold| hold.tokens)
}

/// The last end; 0 where there is none.
pub(super) fn last_end(holds: &[Hold]) -> u64 {
    holds.last().map_or(0, |hold| hold.end)
}

/// Whether a sum with this end exists or may be opened.
pub(super) fn takes_end(holds: &[Hold], end: u64, now: u64) -> bool {
    let live = live(holds, now);
    live.len() < MOST_SUMS || at(live, end) > 0
}

/// When `n` more tokens fit beside the holds, where nothing is booked at an end: the earliest
/// sufficient expiry. `n` is at most `limit`.
pub(super) fn passes_at(holds: &[Hold], limit: u64, n: u64, now: u64) -> u64 {
    let mut held = held(holds, now);
    let mut at = now;
    for hold in live(holds, now) {
        if held.saturating_add(n) <= limit {
            break;
        }
        held = held.saturating_sub(hold.tokens);
        at = hold.end;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_by_end_in_order_and_gives_back_no_more_than_it_has() {
        let mut holds = Holds::default();
        holds.add(20, 5);
        holds.add(10, 1);
        holds.add(20, 2);
        holds.add(30, 0);
        assert_eq!(holds.list(), [Hold { end: 10, tokens: 1 }, Hold { end: 20, tokens: 7 }]);
        assert_eq!(holds.remove(15, 3), 0);
        assert_eq!(holds.remove(20, 9), 7);
        assert_eq!(held(holds.list(), 9), 1);
        assert_eq!(held(holds.list(), 10), 0, "an end is exclusive");
    }

    #[test]
    fn a_backward_step_brings_far_ends_to_one() {
        let mut holds = Holds::default();
        for end in [10, 20, 30] {
            holds.add(end, 1);
        }
        assert!(holds.cut(15));
        assert!(!holds.cut(15));
        assert_eq!(holds.list(), [Hold { end: 10, tokens: 1 }, Hold { end: 15, tokens: 2 }]);
    }

    #[test]
    fn the_256th_sum_is_refused() {
        let mut holds = Holds::default();
        for end in 1..=255 {
            holds.add(end, 1);
        }
        assert!(!takes_end(holds.list(), 256, 0));
        assert!(takes_end(holds.list(), 255, 0), "it joins a sum that exists");
        assert!(takes_end(holds.list(), 256, 1), "an expired one makes room");
    }
}
