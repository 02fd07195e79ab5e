//! What the clock of the store shows, as far as its answers tell.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Instant;

use sluicegate_limits::time::Timestamp;

use crate::clock;

/// How fast an estimate that is too high comes down: an eighth of the difference per answer.
const EASE: i64 = 8;
/// µs of difference that no slow answer explains: the store's clock was set back.
const STEP: i64 = 1_000_000;

/// How far the store's clock is ahead of this process's monotonic clock.
///
/// An answer was given before it arrived, so each one gives a lower bound; the highest counts. So
/// a call whose answer would come after its deadline is the one that is taken for late.
#[derive(Debug)]
pub(super) struct StoreClock {
    base: Instant,
    /// µs between `base` and 1970 by the store's clock; 0 before the first answer.
    ahead: AtomicI64,
}

impl StoreClock {
    pub(super) fn new(base: Instant) -> Self {
        Self { base, ahead: AtomicI64::new(0) }
    }

    /// Learns from an answer that arrived at `arrived`. One that came late shows that the
    /// estimate was wrong, or that nobody waits: it is taken over as it is.
    pub(super) fn learn(&self, now: Timestamp, arrived: Instant, late: bool) {
        let seen = to_i64(now.get()).saturating_sub(self.since_base(arrived));
        let known = self.ahead.load(Relaxed);
        let trusted = late || known == 0 || seen > known || known - seen > STEP;
        let ahead = if trusted { seen } else { known - (known - seen) / EASE };
        self.ahead.store(ahead, Relaxed);
    }

    /// What the store's clock shows at `instant`; nothing before the first answer.
    pub(super) fn at(&self, instant: Instant) -> Option<Timestamp> {
        let ahead = self.ahead.load(Relaxed);
        let shown = ahead.saturating_add(self.since_base(instant));
        (ahead != 0).then(|| Timestamp::new(u64::try_from(shown).unwrap_or(0)))
    }

    /// What it shows now; this machine's clock before the first answer.
    pub(super) fn now(&self) -> Timestamp {
        self.at(clock::instant()).unwrap_or_else(clock::now)
    }

    fn since_base(&self, instant: Instant) -> i64 {
        i64::try_from(instant.saturating_duration_since(self.base).as_micros()).unwrap_or(i64::MAX)
    }
}

fn to_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_fastest_answer_counts_and_a_late_one_corrects() {
        let base = clock::instant();
        let at = |ms| base + Duration::from_millis(ms);
        let clock = StoreClock::new(base);
        assert_eq!(clock.at(base), None);
        clock.learn(Timestamp::new(5_000_000), at(10), false);
        assert_eq!(clock.at(at(11)), Some(Timestamp::new(5_001_000)));
        clock.learn(Timestamp::new(6_000_000), at(1_002), false);
        assert_eq!(clock.at(at(1_002)), Some(Timestamp::new(6_000_000)), "it took 8 ms less");
        clock.learn(Timestamp::new(6_000_000), at(1_010), false);
        assert_eq!(clock.at(at(1_010)), Some(Timestamp::new(6_007_000)), "an eighth lower");
        clock.learn(Timestamp::new(6_000_000), at(1_010), true);
        assert_eq!(clock.at(at(1_010)), Some(Timestamp::new(6_000_000)));
        clock.learn(Timestamp::new(1_000), at(1_010), false);
        assert_eq!(clock.at(at(1_010)), Some(Timestamp::new(1_000)), "a step back");
    }
}
