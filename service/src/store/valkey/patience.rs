//! How long a check waits for the store, and what it means that the wait is over.
//!
//! Only `store.timeout_ms` is evidence against the store. A caller that has less time than that,
//! or whose check never left this process although the store answered others, learns nothing about
//! the store: its limits must not answer as if the store were away, or whoever chooses a deadline
//! or sends enough would choose how limits answer.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::store::StoreError;

/// What the caller needs after the store's answer, to answer in turn.
const ANSWER_MARGIN: Duration = Duration::from_millis(2);

/// Until when one check waits, and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    pub(super) until: Instant,
    /// The caller stops waiting then, before the store has had its time.
    callers: bool,
}

/// Which checks of one core have left the queue, which is in order of arrival.
#[derive(Debug, Default)]
pub(super) struct Turns {
    taken: AtomicU64,
    come: AtomicU64,
}

impl Patience {
    pub(super) fn new(now: Instant, timeout: Duration, deadline: Option<Instant>) -> Self {
        let timed_out = now + timeout;
        let callers = deadline.map(|deadline| deadline.checked_sub(ANSWER_MARGIN).unwrap_or(now));
        match callers {
            Some(until) if until < timed_out => Self { until, callers: true },
            _ => Self { until: timed_out, callers: false },
        }
    }

    /// Why there is no answer to a check that was sent.
    pub(super) const fn ended(self) -> StoreError {
        if self.callers { StoreError::Deadline } else { StoreError::Timeout }
    }

    /// Why there is no answer to a check that was never sent, by whether the store answered what
    /// was sent before.
    pub(super) const fn ended_waiting(self, steady: bool) -> StoreError {
        if steady && !self.callers { StoreError::Overloaded } else { self.ended() }
    }
}

impl Turns {
    /// The turn of the check that was queued last.
    pub(super) fn take(&self) -> u64 {
        self.taken.fetch_add(1, Relaxed)
    }

    /// So many more checks have left the queue.
    pub(super) fn advance(&self, checks: u64) {
        self.come.fetch_add(checks, Relaxed);
    }

    pub(super) fn has_come(&self, turn: u64) -> bool {
        turn < self.come.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const TIMEOUT: Duration = Duration::from_millis(8);

    #[test]
    fn whoever_has_less_time_than_the_store_says_nothing_about_it() {
        let now = clock::instant();
        let of = |millis| Patience::new(now, TIMEOUT, Some(now + Duration::from_millis(millis)));
        let none = Patience::new(now, TIMEOUT, None);
        for patience in [none, of(10), of(11), of(200)] {
            assert_eq!(patience.until, now + TIMEOUT);
            assert_eq!(patience.ended(), StoreError::Timeout);
            assert_eq!(patience.ended_waiting(false), StoreError::Timeout);
            assert_eq!(patience.ended_waiting(true), StoreError::Overloaded);
        }
        for (millis, until) in [(9, 7), (3, 1), (2, 0)] {
            assert_eq!(of(millis).until, now + Duration::from_millis(until));
            assert_eq!(of(millis).ended(), StoreError::Deadline);
            assert_eq!(of(millis).ended_waiting(true), StoreError::Deadline);
        }
        assert!(of(0).until <= now && of(1).until <= now);
    }

    #[test]
    fn turns_come_in_order() {
        let turns = Turns::default();
        let [first, second] = [turns.take(), turns.take()];
        assert!(!turns.has_come(first));
        turns.advance(1);
        assert!(turns.has_come(first) && !turns.has_come(second));
    }
}
